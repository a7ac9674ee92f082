//! What holds for every stream of a client's bytes, however the network cuts it, and for every frame that the server writes.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use bytes::BytesMut;
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::{cut, holds, pieces, text};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::Position;
use crate::http::socket::READ_BYTES;
use ondol_host_model::frame;

/// What a client may send: the first byte of a frame, its payload, and whether it is masked.
type Sent = (u8, Vec<u8>, bool);

const FRAGMENTS_MAX: usize = 3;
const FRAME_BYTES_MAX: usize = 300;

fn frame_bytes((first, payload, is_masked): &Sent) -> Vec<u8> {
    let mask = if *is_masked { 0x80 } else { 0 };
    let mut bytes = vec![*first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => bytes.push(mask | length),
        _ => {
            bytes.push(mask | 126);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    if *is_masked {
        bytes.extend([0; 4]);
    }
    bytes.extend(payload);
    bytes
}

/// Frames in an order that need not make sense.
fn frames() -> impl Strategy<Value = Vec<Sent>> {
    let first = prop_oneof![8 => select(vec![0x81, 0x01, 0x00, 0x80, 0x82, 0x89, 0x8a, 0x88]), 1 => any::<u8>()];
    let payload = prop_oneof![
        4 => text().prop_map(|text| text.into_bytes().into_iter().take(400).collect()),
        1 => prop::collection::vec(any::<u8>(), 0..10),
        1 => (0..400_usize).prop_map(|length| vec![b'a'; length]),
    ];
    prop::collection::vec((first, payload, prop::bool::weighted(0.95)), 0..12)
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let sent = frames().prop_map(|frames| frames.iter().flat_map(frame_bytes).collect::<Vec<u8>>()).boxed();
    let cut_off = sent.clone().prop_perturb(|mut bytes, mut random| {
        bytes.truncate(random.random_range(0..=bytes.len()));
        bytes
    });
    prop_oneof![4 => sent, 2 => cut_off, 1 => any::<Vec<u8>>()]
}

/// A connection that delivers one piece in each read.
struct Pieces {
    left: VecDeque<Vec<u8>>,
    written: Vec<u8>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.left.front_mut() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let read = piece.as_slice().read(buffer)?;
        piece.drain(..read);
        if piece.is_empty() {
            self.left.pop_front();
        }
        Ok(read)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages in a stream, the error at its end, and what is written to the client.
fn read(pieces: &[&[u8]]) -> (Vec<Message>, String, Vec<u8>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let left = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
    let stream = Pieces { left, written: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock && !socket.get_ref().left.is_empty() => {
            }
            Err(error) => return (messages, error.to_string(), socket.get_mut().written.clone()),
        }
    }
}

#[test]
fn a_stream_is_read_alike_however_it_is_cut() {
    holds([], cut(stream()), |(bytes, places)| {
        let whole = read(&[&bytes]);
        prop_assert_eq!(&whole, &read(&pieces(&bytes, &places)));
        prop_assert_eq!(&whole, &read(&bytes.chunks(1).collect::<Vec<_>>()));
        Ok(())
    });
}

#[test]
fn a_position_is_the_same_however_the_stream_is_cut() {
    holds([], cut(stream()), |(bytes, places)| {
        let at = |pieces: &[&[u8]]| {
            let mut position = Position::new(FRAGMENTS_MAX);
            pieces.iter().for_each(|piece| position.advance(piece));
            (position.is_unfinished(), position.begun().is_some(), position.has_too_many_fragments())
        };
        let whole = at(&[&bytes]);
        prop_assert_eq!(whole, at(&pieces(&bytes, &places)));
        prop_assert_eq!(whole, at(&bytes.chunks(1).collect::<Vec<_>>()));
        prop_assert_eq!(whole.0, whole.1, "an unfinished message began some time");
        Ok(())
    });
}

#[test]
fn a_position_knows_the_ends_of_messages_and_counts_their_fragments() {
    holds([], frames(), |frames| {
        let mut position = Position::new(FRAGMENTS_MAX);
        let (mut fragments, mut too_many) = (0, false);
        for sent in &frames {
            let bytes = frame_bytes(sent);
            let (last, before) = bytes.split_last().unwrap();
            position.advance(before);
            prop_assert!(position.is_unfinished());
            position.advance(&[*last]);
            let (is_last, is_control) = (sent.0 & 0x80 != 0, sent.0 & 0x08 != 0);
            if !is_control {
                fragments += 1;
                too_many |= fragments > FRAGMENTS_MAX;
                fragments = if is_last { 0 } else { fragments };
            }
            prop_assert_eq!(position.is_unfinished(), fragments > 0);
            prop_assert_eq!(position.has_too_many_fragments(), too_many);
        }
        Ok(())
    });
}

#[test]
fn a_client_reads_what_the_server_writes() {
    let payload = (text(), select(vec![0, 1, 125, 126, 65_535, 65_536])).prop_map(|(text, length)| {
        let padding = " ".repeat(length - text.len().min(length));
        format!("{padding}{text}")
    });
    let close = (prop_oneof![1000..=1003_u16, 1007..=1011_u16, 3000..=4999_u16], text());
    holds([], (prop::collection::vec(payload, 0..3), prop::collection::vec(any::<u8>(), 0..=125), close), |sent| {
        let (texts, pong, (code, reason)) = sent;
        let mut run = BytesMut::new();
        for text in &texts {
            let before = run.len();
            frame::text(&mut run, text);
            prop_assert_eq!(run.len() - before, frame::size(text.len()));
        }
        frame::ping(&mut run);
        frame::pong(&mut run, &pong);
        frame::close(&mut run, code, &reason);
        let stream = Pieces { left: VecDeque::from([run.to_vec()]), written: Vec::new() };
        let mut client = WebSocket::from_raw_socket(stream, Role::Client, None);
        for text in texts {
            prop_assert_eq!(client.read().unwrap(), Message::text(text));
        }
        prop_assert!(matches!(client.read().unwrap(), Message::Ping(payload) if payload.is_empty()));
        prop_assert_eq!(client.read().unwrap(), Message::Pong(pong.into()));
        let Message::Close(Some(close)) = client.read().unwrap() else { return Err(TestCaseError::fail("no close")) };
        prop_assert_eq!(u16::from(close.code), code);
        let kept = close.reason.as_str();
        // As much of it as fits: one more character would not.
        let next = reason.strip_prefix(kept).unwrap().chars().next();
        prop_assert!(next.is_none_or(|next| kept.len() + next.len_utf8() > 123), "{kept:?}");
        Ok(())
    });
}
