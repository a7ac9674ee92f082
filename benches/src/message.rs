//! The messages of the load. A text carries its sender, its number and the time it was sent, padded to 100 bytes; the server
//! adds a room and a `seq`. Knows no sockets.

use memchr::memmem;

/// Bytes of every text.
const TEXT_BYTES: usize = 100;

/// A message as a client receives it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sender: usize,
    /// Each sender counts its messages from 1.
    pub(crate) number: u64,
    /// When it was sent, in nanoseconds on the clients' own clock.
    pub(crate) sent_ns: u64,
    pub(crate) room: u64,
    pub(crate) seq: u64,
}

/// Writes a client's frame, replacing what `out` held.
pub(crate) fn write(out: &mut Vec<u8>, sender: usize, number: u64, sent_ns: u64) {
    out.clear();
    out.extend_from_slice(br#"{"type":"chat.message","message":""#);
    let start = out.len();
    out.extend_from_slice(format!("{sender}:{number}:{sent_ns}:").as_bytes());
    out.resize(start + TEXT_BYTES, b'.');
    out.extend_from_slice(br#""}"#);
}

/// Reads an event; none unless it is a message of the load with its whole text.
pub(crate) fn read(event: &[u8]) -> Option<Message> {
    const TEXT: &[u8] = br#""message":""#;
    let text = event.get(memmem::find(event, TEXT)? + TEXT.len()..)?;
    let (text, rest) = text.split_at_checked(TEXT_BYTES)?;
    let (sender, text) = digits(text)?;
    let (number, text) = digits(text.strip_prefix(b":")?)?;
    let (sent_ns, padding) = digits(text.strip_prefix(b":")?)?;
    let is_whole = padding.starts_with(b":") && padding.ends_with(b".") && rest.starts_with(b"\"");
    let sender = usize::try_from(sender).ok()?;
    let (room, seq) = (field(rest, br#""room":"#)?, field(rest, br#""seq":"#)?);
    is_whole.then_some(Message { sender, number, sent_ns, room, seq })
}

fn field(rest: &[u8], key: &[u8]) -> Option<u64> {
    let value = rest.get(memmem::find(rest, key)? + key.len()..)?;
    Some(digits(value)?.0)
}

/// The number at the beginning of `bytes`, and what follows it.
fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = bytes;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = after;
    }
    (rest.len() < bytes.len()).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event that a server makes of a frame.
    fn event(sender: usize, number: u64, sent_ns: u64) -> String {
        let mut frame = Vec::new();
        write(&mut frame, sender, number, sent_ns);
        String::from_utf8_lossy(&frame).replace('}', r#","room":3,"seq":45}"#)
    }

    #[test]
    fn a_message_is_recognised() {
        let message = Message { sender: 7, number: 12, sent_ns: 345_678, room: 3, seq: 45 };
        assert_eq!(read(event(7, 12, 345_678).as_bytes()), Some(message));
    }

    #[test]
    fn other_events_and_shortened_texts_are_not() {
        assert_eq!(read(br#"{"type":"chat.user.join","username":"ann"}"#), None);
        assert_eq!(read(br#"{"type":"error","message":"too long"}"#), None);
        assert_eq!(read(event(1, 1, 1).replacen("..", ".", 1).as_bytes()), None);
    }
}
