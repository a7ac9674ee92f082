//! WebSocket frames as the server writes them (RFC 6455, section 5.2): whole, unmasked. Knows no sockets; what clients
//! send is read by tungstenite, at the edge.

use bytes::{BufMut as _, BytesMut};

/// Appends one text frame to a run of frames.
pub fn text(run: &mut BytesMut, payload: &str) {
    append(run, 0x1, payload.as_bytes());
}

/// Appends a close frame: a code of section 7.4, and a reason, cut to the 123 bytes that such a frame has for it.
pub fn close(run: &mut BytesMut, code: u16, reason: &str) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let body = [&code.to_be_bytes(), reason.get(..end).unwrap_or_default().as_bytes()].concat();
    append(run, 0x8, &body);
}

/// Appends a ping without a payload.
pub fn ping(run: &mut BytesMut) {
    append(run, 0x9, &[]);
}

/// Appends the pong for a ping.
pub fn pong(run: &mut BytesMut, payload: &[u8]) {
    append(run, 0xA, payload);
}

/// How many bytes a frame takes that carries `payload` bytes.
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

fn append(run: &mut BytesMut, opcode: u8, payload: &[u8]) {
    const FIN: u8 = 0x80;
    run.reserve(size(payload.len()));
    run.put_u8(FIN | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => run.put_u8(short),
        (_, Ok(medium)) => {
            run.put_u8(126);
            run.put_u16(medium);
        }
        _ => {
            run.put_u8(127);
            run.put_u64(payload.len() as u64);
        }
    }
    run.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_standard_has_them() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xFF, 0xFF]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut run = BytesMut::new();
            text(&mut run, &"a".repeat(length));
            assert!(run.starts_with(&head), "{length}");
            assert_eq!(run.len(), size(length));
            assert_eq!(run.len(), head.len() + length);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut run = BytesMut::new();
        close(&mut run, 1008, &"가".repeat(50));
        assert_eq!(run[1], 2 + 123);
        assert!(std::str::from_utf8(&run[4..]).is_ok());
    }
}
