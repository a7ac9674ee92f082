//! Where a connection's frames begin, and what comes ahead of them.

use bytes::Bytes;

use super::{CloseReason, Flow, OutboxState, Pipe, Room, outbox};
use ondol_host_model::Seq;

#[test]
fn a_connection_receives_what_is_put_after_it_joined_and_knows_the_message_before() {
    let room = Room::default();
    let (early, late) = (Pipe::with_room(100), Pipe::with_room(100));
    assert_eq!(room.join("ann", &outbox(&early, 10)).1, None, "no message is known");
    let _ = room.put("one", Some(Seq(7)), None, None);
    let _ = room.put("joined", None, None, None);
    assert_eq!(room.join("ben", &outbox(&late, 10)).1, Some(Seq(7)));
    let _ = room.put("two", Some(Seq(8)), None, None);
    let _ = room.publish();
    assert_eq!(early.taken(), b"\x81\x03one\x81\x06joined\x81\x03two");
    assert_eq!(late.taken(), b"\x81\x03two");
    assert_eq!((room.last(), room.learn_last(Seq(5))), (Some(Seq(8)), Seq(8)), "what was put counts");
    assert_eq!(Room::default().learn_last(Seq(5)), Seq(5));
}

#[test]
fn a_replay_is_sent_ahead_of_what_was_held_back_and_does_not_count() {
    let pipe = Pipe::with_room(0);
    let outbox = outbox(&pipe, 200);
    outbox.send(&Bytes::from_static(b"before."));
    outbox.hold();
    outbox.send(&Bytes::from_static(b"live."));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Waiting);
    assert_eq!(pipe.taken(), b"", "nothing is sent while it is held");
    let counted = outbox.waiting_bytes();
    let replay = Bytes::from(vec![b'r'; 900]);
    pipe.drain(30);
    outbox.release(replay);
    assert_eq!(outbox.waiting_bytes(), counted);
    assert_eq!(outbox.flush(), OutboxState::Waiting, "the socket takes a part of it");
    outbox.send(&Bytes::from_static(b"more."));
    assert_ne!(outbox.state(), OutboxState::Closing(CloseReason::TooSlow));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Idle);
    let expected = ["before.", &"r".repeat(900), "live.", "more."].concat();
    assert_eq!(String::from_utf8(pipe.taken()).unwrap(), expected);
    assert_eq!(outbox.waiting_bytes(), 0);
}

#[test]
fn a_connection_that_falls_behind_while_it_is_held_is_closed() {
    let (pipe, flow) = (Pipe::with_room(1_000), Flow::new(10));
    let (room, outbox) = (Room::default(), outbox(&pipe, 4));
    room.join("slow", &outbox);
    outbox.hold();
    for payload in ["one", "two", "three"] {
        let _ = room.put(payload, None, None, Some(flow.begin(3)));
        let _ = room.publish();
    }
    outbox.release(Bytes::from_static(b"replay"));
    assert_eq!((outbox.flush(), flow.bytes()), (OutboxState::Closed(CloseReason::TooSlow), 0));
    assert!(!String::from_utf8_lossy(&pipe.taken()).contains("replay"));
}
