//! What the clients say, and how they know it again. A text carries who said it, its number with that sender and when,
//! padded to 100 bytes; a server may give it a room and a `seq`. Knows no sockets.

use memchr::memmem;

/// Bytes of every text.
pub(crate) const TEXT_BYTES: usize = 100;

/// A message as it came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) sender: usize,
    /// 1, 2, 3 … with its sender.
    pub(crate) n: u64,
    /// When it was sent, in nanoseconds since the crowd's own beginning.
    pub(crate) sent_ns: u64,
    /// None when the server does not tell.
    pub(crate) room: Option<u64>,
    /// None when the server does not number its messages.
    pub(crate) seq: Option<u64>,
}

/// Writes the client's frame for a message, in place of what `out` held.
pub(crate) fn write(out: &mut Vec<u8>, sender: usize, n: u64, sent_ns: u64) {
    out.clear();
    out.extend_from_slice(br#"{"type":"chat.message","message":""#);
    let start = out.len();
    out.extend_from_slice(format!("{sender}:{n}:{sent_ns}:").as_bytes());
    out.resize(start + TEXT_BYTES, b'.');
    out.extend_from_slice(br#""}"#);
}

/// Reads an event; none when it is not a message of ours, or its text was changed.
pub(crate) fn read(event: &[u8]) -> Option<Echo> {
    const TEXT: &[u8] = br#""message":""#;
    let text = event.get(memmem::find(event, TEXT)? + TEXT.len()..)?;
    let (text, rest) = text.split_at_checked(TEXT_BYTES)?;
    if rest.first() != Some(&b'"') {
        return None;
    }
    let (sender, text) = number(text)?;
    let (n, text) = number(text.strip_prefix(b":")?)?;
    let (sent_ns, text) = number(text.strip_prefix(b":")?)?;
    if text.first() != Some(&b':') || text.last() != Some(&b'.') {
        return None;
    }
    let sender = usize::try_from(sender).ok()?;
    Some(Echo { sender, n, sent_ns, room: field(rest, br#""room":"#), seq: field(rest, br#""seq":"#) })
}

fn field(rest: &[u8], key: &[u8]) -> Option<u64> {
    let value = rest.get(memmem::find(rest, key)? + key.len()..)?;
    Some(number(value)?.0)
}

/// The number that `bytes` begin with, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
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
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn a_message_is_known_again() {
        let mut frame = Vec::new();
        write(&mut frame, 7, 12, 345_678);
        assert_eq!(read(&frame), Some(Echo { sender: 7, n: 12, sent_ns: 345_678, room: None, seq: None }));

        let numbered = String::from_utf8(frame).unwrap().replace('}', r#","room":3,"seq":45}"#);
        let read = read(numbered.as_bytes());
        assert_eq!(read, Some(Echo { sender: 7, n: 12, sent_ns: 345_678, room: Some(3), seq: Some(45) }));
    }

    #[test]
    fn other_events_are_not_ours() {
        assert_eq!(read(br#"{"type":"chat.user.join","username":"ann"}"#), None);
        assert_eq!(read(br#"{"type":"error","message":"too long"}"#), None);
    }

    #[test]
    fn a_text_that_was_cut_is_not_ours() {
        let mut frame = Vec::new();
        write(&mut frame, 1, 1, 1);
        let cut = String::from_utf8(frame).unwrap().replacen("..", ".", 1);
        assert_eq!(read(cut.as_bytes()), None);
    }
}
