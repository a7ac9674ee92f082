//! The position in a client's stream of frames: whether a message is incomplete, since when, and its number of
//! fragments. Reads the frame heads (RFC 6455, section 5.2) as they pass; tungstenite validates them.

use tokio::time::Instant;

/// The longest head: two bytes, eight for the length, four for the mask.
const HEAD_BYTES_MAX: usize = 14;

/// A position in a stream of frames.
pub(super) struct Position {
    head: [u8; HEAD_BYTES_MAX],
    /// How many bytes of a head have been read.
    head_bytes: usize,
    /// The bytes of the frame's payload still to come.
    payload_left: u64,
    /// The fragments of the incomplete message, 0 if there is none.
    fragments: usize,
    fragments_max: usize,
    too_many: bool,
    /// When the incomplete frame or message began.
    begun: Option<Instant>,
}

impl Position {
    pub(super) fn new(fragments_max: usize) -> Self {
        let head = [0; HEAD_BYTES_MAX];
        Self { head, head_bytes: 0, payload_left: 0, fragments: 0, fragments_max, too_many: false, begun: None }
    }

    /// Advances over bytes that were read.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skipped = bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
                self.payload_left -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else {
                if let Some(place) = self.head.get_mut(self.head_bytes) {
                    *place = *first;
                }
                self.head_bytes += 1;
                bytes = rest;
                if self.head_bytes == self.head_size() {
                    self.end_head();
                }
            }
        }
        match (self.is_unfinished(), self.begun) {
            (false, _) => self.begun = None,
            (true, None) => self.begun = Some(Instant::now()),
            (true, Some(_)) => {}
        }
    }

    /// Whether a frame or a fragmented message is incomplete.
    pub(super) fn is_unfinished(&self) -> bool {
        self.head_bytes > 0 || self.payload_left > 0 || self.fragments > 0
    }

    /// When the incomplete frame or message began, if there is one.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// Restarts the clock of an incomplete message, after a pause in reading.
    pub(super) fn begin_anew(&mut self) {
        self.begun = self.begun.map(|_| Instant::now());
    }

    /// Whether a message has exceeded `fragments_max`.
    pub(super) fn has_too_many_fragments(&self) -> bool {
        self.too_many
    }

    /// The length of the head, as far as its bytes show.
    fn head_size(&self) -> usize {
        let [_, second, ..] = self.head;
        if self.head_bytes < 2 {
            return 2;
        }
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn end_head(&mut self) {
        let [first, second, length @ .., _, _, _, _] = self.head;
        self.payload_left = match second & 0x7f {
            126 => u64::from_be_bytes(length) >> 48,
            127 => u64::from_be_bytes(length),
            short => u64::from(short),
        };
        self.head_bytes = 0;
        let (fin, is_control) = (first & 0x80 != 0, first & 0x08 != 0);
        if !is_control {
            self.fragments += 1;
            self.too_many |= self.fragments > self.fragments_max;
            if fin {
                self.fragments = 0;
            }
        }
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame of zeros.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap_or(0)),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0; 4 + length]);
        frame
    }

    #[test]
    fn frame_boundaries_are_found_in_every_split() {
        let whole: Vec<u8> =
            [0, 1, 125, 126, 300, 65_535, 65_536].into_iter().flat_map(|length| frame(0x81, length)).collect();
        for piece in [1, 7, 1_024, whole.len()] {
            let mut position = Position::new(2);
            for bytes in whole.chunks(piece) {
                position.advance(bytes);
            }
            assert!(!position.is_unfinished() && position.begun().is_none(), "in pieces of {piece}");
            position.advance(&frame(0x81, 70_000)[..69_000]);
            assert!(position.is_unfinished() && position.begun().is_some());
            assert!(!position.has_too_many_fragments());
        }
    }

    #[test]
    fn fragments_count_by_message_and_control_frames_do_not() {
        let mut position = Position::new(3);
        for _ in 0..5 {
            for first in [0x01, 0x89, 0x00, 0x8a, 0x80] {
                position.advance(&frame(first, 0));
            }
            assert!(!position.is_unfinished());
        }
        assert!(!position.has_too_many_fragments());
        for first in [0x02, 0x00, 0x00] {
            position.advance(&frame(first, 0));
        }
        assert!(position.is_unfinished() && !position.has_too_many_fragments());
        position.advance(&frame(0x80, 0));
        assert!(position.has_too_many_fragments(), "even where the last one ends it");
    }
}
