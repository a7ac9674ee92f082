//! Rooms and outboxes over wires that are made of memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Outbox, OutboxState, Presence, Rest, Room, Why, Wire};

/// A wire that takes `room` bytes and then blocks.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<(Vec<u8>, usize)>>);

impl Pipe {
    fn with_room(room: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), room))))
    }

    fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }

    fn drain(&self, room: usize) {
        self.0.lock().unwrap().1 = room;
    }
}

impl Wire for Pipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock().unwrap();
        let fits = bytes.len().min(pipe.1);
        if fits == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.0.extend_from_slice(&bytes[..fits]);
        pipe.1 -= fits;
        Ok(fits)
    }
}

fn outbox(pipe: &Pipe, bytes_max: usize) -> Arc<Outbox> {
    Arc::new(Outbox::new(Arc::new(pipe.clone()), bytes_max))
}

#[test]
fn a_user_comes_once_and_goes_once_however_many_tabs() {
    let room = Room::default();
    let (first, second) = (outbox(&Pipe::default(), 10), outbox(&Pipe::default(), 10));
    assert_eq!(room.join("ann", &first), Presence::Changed);
    assert_eq!(room.join("ann", &second), Presence::Same);
    assert_eq!(room.leave("ann", &first), Presence::Same);
    assert_eq!(room.leave("ann", &first), Presence::Same, "leaving twice counts once");
    assert_eq!(room.leave("ann", &second), Presence::Changed);
}

#[test]
fn everyone_receives_the_same_run() {
    let room = Room::default();
    let pipes: Vec<Pipe> = (0..3).map(|_| Pipe::with_room(100)).collect();
    for (index, pipe) in pipes.iter().enumerate() {
        room.join(&index.to_string(), &outbox(pipe, 10));
    }
    assert!(room.put("one"));
    assert!(!room.put("two"), "one publishes");
    assert_eq!(room.publish(), Rest::Nothing);
    for pipe in &pipes {
        assert_eq!(pipe.taken(), b"\x81\x03one\x81\x03two");
    }
}

#[test]
fn who_has_left_receives_nothing_more() {
    let room = Room::default();
    let pipes: Vec<Pipe> = (0..3).map(|_| Pipe::with_room(100)).collect();
    let outboxes: Vec<_> = pipes.iter().map(|pipe| outbox(pipe, 10)).collect();
    for (index, outbox) in outboxes.iter().enumerate() {
        room.join(&index.to_string(), outbox);
    }
    room.leave("0", &outboxes[0]);
    assert!(room.put("hi"));
    assert_eq!(room.publish(), Rest::Nothing);
    let lengths: Vec<usize> = pipes.iter().map(|pipe| pipe.taken().len()).collect();
    assert_eq!(lengths, [0, 4, 4]);
}

#[test]
fn what_a_full_socket_does_not_take_waits_and_goes_out_in_order() {
    let pipe = Pipe::with_room(3);
    let outbox = outbox(&pipe, 100);
    outbox.send(&Bytes::from_static(b"abcdef"));
    outbox.send(&Bytes::from_static(b"ghi"));
    assert_eq!(outbox.state(), OutboxState::Waiting);
    pipe.drain(5);
    assert_eq!(outbox.flush(), OutboxState::Waiting);
    pipe.drain(5);
    assert_eq!(outbox.flush(), OutboxState::Idle);
    assert_eq!(pipe.taken(), b"abcdefghi");
}

#[test]
fn a_peer_that_does_not_read_is_dropped_at_a_frame_boundary() {
    let pipe = Pipe::with_room(2);
    let outbox = outbox(&pipe, 10);
    outbox.send(&Bytes::from_static(b"\x81\x03one"));
    assert_eq!(outbox.state(), OutboxState::Waiting, "a run is taken whole, however long");
    outbox.send(&Bytes::from_static(b"\x81\x03two"));
    assert_eq!(outbox.state(), OutboxState::Closing(Why::TooSlow));
    outbox.send(&Bytes::from_static(b"\x81\x03ten"));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Closed(Why::TooSlow));
    let taken = pipe.taken();
    assert!(taken.starts_with(b"\x81\x03one\x88"), "{taken:?}");
    assert_eq!(taken[7..9], 1008_u16.to_be_bytes());
}
