//! A WebSocket client's half of the wire, as cheap as it can be, so that the load costs less than what it measures.
//! Knows no events. Frames go out masked with zeros, which leaves the text as it is and costs the server the same.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// How long a server may take to accept a connection or to answer a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A whole frame of a server.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// What follows the frame.
    pub(crate) rest: &'a [u8],
}

/// The opcodes of RFC 6455 that a server sends here.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;

/// The first frame in `bytes`, or none when it is not all there yet. Errors for one that is masked or fragmented, which
/// no server compared here sends.
pub(crate) fn next_frame(bytes: &[u8]) -> anyhow::Result<Option<Frame<'_>>> {
    let Some((&[head, length], _)) = bytes.split_first_chunk() else { return Ok(None) };
    ensure!(head & 0x80 != 0 && length & 0x80 == 0, "a frame of the server is masked or a fragment: {head:#x}");
    Ok(split_frame(bytes))
}

fn split_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (&[head, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
        }
        length => (usize::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some(Frame { opcode: head & 0x0f, payload, rest })
}

/// Appends a text frame.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_frame(out, TEXT, text);
}

/// Appends the answer to a ping.
pub(crate) fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put_frame(out, PONG, payload);
}

fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => out.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Asks for a WebSocket and does not wait for the answer.
pub(crate) fn ask(address: SocketAddr, target: &str) -> anyhow::Result<TcpStream> {
    let mut stream = dial(address)?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: b25kb2wgb25kb2wgb25kbw==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// Takes the answer of a server that was asked for a WebSocket, and leaves that non-blocking. Also gives what the server
/// has sent already beyond its answer.
///
/// Errors when the server does not answer in time, or with anything but 101.
pub(crate) fn answered(mut stream: TcpStream) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            break end + 4;
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).context("no answer to the handshake")?;
        ensure!(count > 0 && answer.len() < HEAD_BYTES_MAX, "the handshake ends early: {}", first_line(&answer));
        answer.extend(chunk.iter().take(count));
    };
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "the WebSocket was refused: {}", first_line(&answer));
    stream.set_nonblocking(true)?;
    Ok((stream, answer.split_off(end)))
}

/// Posts JSON and gives the status and the body.
pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let length = body.len();
    let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    exchange(address, &format!("POST {path}"), &head, body)
}

/// Gets a resource: the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    exchange(address, &format!("GET {path}"), "", "")
}

/// One request on a connection of its own.
fn exchange(address: SocketAddr, asked: &str, head: &str, body: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = dial(address)?;
    let request = format!("{asked} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no answer to {asked}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("{asked}: no head in {answer:?}") };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("{asked}: no status in {head:?}"))?, body.to_owned()))
}

fn dial(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    Ok(stream)
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().next().unwrap_or("nothing was sent").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn a_frame_is_read_once_it_is_whole() {
        for length in [0, 5, 125, 126, 300, 70_000] {
            let mut bytes = Vec::new();
            put_frame(&mut bytes, TEXT, &vec![b'x'; length]);
            // As a server would send it: without the mask.
            let mask_at = bytes.len() - length - 4;
            bytes.drain(mask_at..mask_at + 4);
            bytes[1] &= 0x7f;
            assert!(next_frame(&bytes[..bytes.len() - 1]).unwrap().is_none());
            bytes.push(7);
            let frame = next_frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.len(), frame.rest), (TEXT, length, &[7][..]));
        }
    }

    #[test]
    fn a_masked_frame_is_an_error() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, b"hi");
        assert!(next_frame(&bytes).is_err());
    }
}
