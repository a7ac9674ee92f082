//! The messages of the load, and the order in which a member must receive them. A text carries its sender and the time
//! it was sent, padded to 100 bytes; the server adds a room and a `seq`. Knows no sockets.

use anyhow::ensure;
use memchr::memmem;

/// Bytes of every text.
const TEXT_BYTES: usize = 100;

/// A message as a client receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sender: usize,
    /// When it was sent, in nanoseconds on the clients' own clock.
    pub(crate) sent_ns: u64,
    room: u64,
    seq: u64,
}

/// A room, as one side knows it.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Its number at the server.
    pub(crate) id: u64,
    /// The `seq` of its last message.
    pub(crate) last_seq: u64,
}

impl Room {
    /// Takes the next message a member receives. Errors for a gap, a double, a wrong order and a message of another
    /// room.
    pub(crate) fn receive(&mut self, message: &Message) -> anyhow::Result<()> {
        let Self { id, last_seq } = self;
        ensure!(message.room == *id, "room {id} received a message of another room: {message:?}");
        ensure!(message.seq == *last_seq + 1, "room {id}: seq {} came after {last_seq}", message.seq);
        *last_seq = message.seq;
        Ok(())
    }
}

/// Writes a client's frame, replacing what `out` held.
pub(crate) fn write(out: &mut Vec<u8>, sender: usize, sent_ns: u64) {
    out.clear();
    out.extend_from_slice(br#"{"type":"chat.message","message":""#);
    let start = out.len();
    out.extend_from_slice(format!("{sender}:{sent_ns}:").as_bytes());
    out.resize(start + TEXT_BYTES, b'.');
    out.extend_from_slice(br#""}"#);
}

/// Reads an event; none unless it is a message of the load with its whole text.
pub(crate) fn read(event: &[u8]) -> Option<Message> {
    let (text, rest) = after(event, br#""message":""#)?.split_at_checked(TEXT_BYTES)?;
    let (sender, text) = digits(text)?;
    let (sent_ns, padding) = digits(text.strip_prefix(b":")?)?;
    let is_whole = padding.starts_with(b":") && padding.ends_with(b".") && rest.starts_with(b"\"");
    let (room, _) = digits(after(rest, br#""room":"#)?)?;
    let (seq, _) = digits(after(rest, br#""seq":"#)?)?;
    is_whole.then_some(Message { sender: usize::try_from(sender).ok()?, sent_ns, room, seq })
}

fn after<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    bytes.get(memmem::find(bytes, key)? + key.len()..)
}

/// The number at the beginning of `bytes`, and what follows it.
fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at(bytes.iter().take_while(|byte| byte.is_ascii_digit()).count());
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_and_other_events_and_shortened_texts_are_not() {
        let mut frame = Vec::new();
        write(&mut frame, 7, 345_678);
        let event = String::from_utf8_lossy(&frame).replace('}', r#","room":3,"seq":45}"#);
        assert_eq!(read(event.as_bytes()), Some(Message { sender: 7, sent_ns: 345_678, room: 3, seq: 45 }));
        assert_eq!(read(event.replacen("..", ".", 1).as_bytes()), None);
        assert_eq!(read(br#"{"type":"chat.user.join","username":"ann"}"#), None);
    }

    #[test]
    fn only_the_next_message_is_right() {
        let next = Message { sender: 0, sent_ns: 0, room: 9, seq: 51 };
        let room = Room { id: 9, last_seq: 50 };
        assert!({ room }.receive(&next).is_ok());
        for wrong in [Message { seq: 50, ..next }, Message { seq: 52, ..next }, Message { room: 8, ..next }] {
            assert!({ room }.receive(&wrong).is_err(), "{wrong:?}");
        }
    }
}
