//! WebSocket frames as a server writes them (RFC 6455, section 5.2): unfragmented and unmasked. The frames of clients
//! are read by tungstenite, in the binary.

use bytes::{BufMut as _, BytesMut};

/// Appends a text frame.
pub fn text(frames: &mut BytesMut, payload: &str) {
    append(frames, 0x1, payload.as_bytes());
}

/// Appends a close frame: a code of section 7.4, and a reason, truncated to the 123 bytes that fit.
pub fn close(frames: &mut BytesMut, code: u16, reason: &str) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let body = [&code.to_be_bytes(), reason.get(..end).unwrap_or_default().as_bytes()].concat();
    append(frames, 0x8, &body);
}

/// Appends a ping without a payload.
pub fn ping(frames: &mut BytesMut) {
    append(frames, 0x9, &[]);
}

/// Appends the pong to a ping.
pub fn pong(frames: &mut BytesMut, payload: &[u8]) {
    append(frames, 0xA, payload);
}

/// The size of a frame with a payload of `payload` bytes.
#[must_use]
pub fn size(payload: usize) -> usize {
    payload
        + 2
        + if payload < 126 {
            0
        } else if payload < 65_536 {
            2
        } else {
            8
        }
}

fn append(frames: &mut BytesMut, opcode: u8, payload: &[u8]) {
    const FIN: u8 = 0x80;
    frames.reserve(size(payload.len()));
    frames.put_u8(FIN | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frames.put_u8(short),
        (_, Ok(medium)) => {
            frames.put_u8(126);
            frames.put_u16(medium);
        }
        _ => {
            frames.put_u8(127);
            frames.put_u64(payload.len() as u64);
        }
    }
    frames.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_standard_says() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xFF, 0xFF]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut frames = BytesMut::new();
            text(&mut frames, &"a".repeat(length));
            assert!(frames.starts_with(&head), "{length}");
            assert_eq!(frames.len(), size(length));
            assert_eq!(frames.len(), head.len() + length);
        }
    }

    #[test]
    fn a_long_reason_is_truncated_between_characters() {
        let mut frames = BytesMut::new();
        close(&mut frames, 1008, &"가".repeat(50));
        assert_eq!(frames[1], 2 + 123);
        assert!(std::str::from_utf8(&frames[4..]).is_ok());
    }
}
