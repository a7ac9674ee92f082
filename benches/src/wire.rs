//! The client's half of HTTP and WebSocket, as cheap as possible so that the load costs less than what it measures.
//! Knows no events. Frames are masked with zeros, which leaves the text as it is and costs the server the same.

use std::io::{Cursor, Read as _, Write as _};

use anyhow::{Context as _, ensure};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::connection::{Address, Connection};

const HEAD_BYTES_MAX: usize = 16 * 1024;

pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A whole frame of a server.
pub(crate) struct Frame<'a> {
    pub(crate) opcode: OpCode,
    pub(crate) payload: &'a [u8],
    /// What follows the frame.
    pub(crate) rest: &'a [u8],
}

/// The first frame in `bytes`, or none until all of it has arrived. Errors for a masked or fragmented frame, which
/// neither server sends.
pub(crate) fn next_frame(bytes: &[u8]) -> anyhow::Result<Option<Frame<'_>>> {
    let mut cursor = Cursor::new(bytes);
    let Some((header, length)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
    ensure!(header.is_final && header.mask.is_none(), "a frame of the server is masked or a fragment: {header:?}");
    let rest = bytes.get(usize::try_from(cursor.position())?..).unwrap_or_default();
    let frame = rest.split_at_checked(usize::try_from(length)?);
    Ok(frame.map(|(payload, rest)| Frame { opcode: header.opcode, payload, rest }))
}

/// Appends a text frame.
pub(crate) fn put_text(out: &mut Vec<u8>, payload: &[u8]) -> anyhow::Result<()> {
    let header = FrameHeader { opcode: TEXT, mask: Some([0; 4]), ..FrameHeader::default() };
    header.format(payload.len() as u64, out)?;
    out.extend_from_slice(payload);
    Ok(())
}

/// Opens a WebSocket, which does not block from then on. Also gives the bytes that followed the server's answer.
///
/// Errors when the server does not answer in time, or with anything but 101.
pub(crate) fn open(address: Address, target: &str) -> anyhow::Result<(Connection, Vec<u8>)> {
    let mut stream = Connection::open(address)?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: b25kb2wgb25kb2wgb25kbw==\r\n\r\n",
        address.socket
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            break end + 4;
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).context("no answer to the handshake")?;
        ensure!(count > 0 && answer.len() < HEAD_BYTES_MAX, "the answer to the handshake is not complete");
        answer.extend(chunk.iter().take(count));
    };
    let rest = answer.split_off(end);
    let head = String::from_utf8_lossy(&answer);
    ensure!(head.starts_with("HTTP/1.1 101"), "WebSocket refused: {}", head.lines().next().unwrap_or_default());
    stream.set_nonblocking()?;
    Ok((stream, rest))
}

/// One request on a connection of its own, such as `GET /path`; gives the JSON of the answer.
pub(crate) fn request(address: Address, request: &str, body: &str) -> anyhow::Result<serde_json::Value> {
    let body = exchange(address, request, body)?;
    serde_json::from_str(&body).with_context(|| format!("{request}: the answer is not JSON"))
}

/// What is at a path.
pub(crate) fn get(address: Address, path: &str) -> anyhow::Result<String> {
    exchange(address, &format!("GET {path}"), "")
}

/// The body of the answer to a request on a connection of its own.
fn exchange(address: Address, request: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = Connection::open(address)?;
    let head = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", address.socket);
    let content = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all((head + &content).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no answer to {request}"))?;
    ensure!(answer.starts_with("HTTP/1.1 2"), "{request}: {answer}");
    Ok(answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}
