//! Where a connection's frames begin, and in which order they come.

use bytes::Bytes;

use super::{CloseReason, Flow, OutboxState, Pipe, Room, outbox};
use ondol_host_model::Seq;

#[test]
fn a_connection_receives_what_is_put_after_it_joined_and_knows_the_message_before() {
    let room = Room::default();
    let (early, late) = (Pipe::with_room(100), Pipe::with_room(100));
    assert_eq!(room.join("ann", &outbox(&early, 10)).1, None, "no message is known");
    let _ = room.put("one", Some(Seq(7)), None, None, None);
    let _ = room.put("joined", None, None, None, None);
    assert_eq!(room.join("ben", &outbox(&late, 10)).1, Some(Seq(7)));
    let _ = room.put("two", Some(Seq(8)), None, None, None);
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
        let _ = room.put(payload, None, None, Some(flow.begin(3)), None);
        let _ = room.publish();
    }
    outbox.release(Bytes::from_static(b"replay"));
    assert_eq!((outbox.flush(), flow.bytes()), (OutboxState::Closed(CloseReason::TooSlow), 0));
    let taken = pipe.taken();
    assert!(!String::from_utf8_lossy(&taken).contains("replay"));
    assert_eq!(taken.first(), Some(&0x88), "nothing of what was held back comes before the close frame: {taken:?}");
}

#[test]
fn what_was_held_back_is_not_sent_without_what_comes_ahead_of_it() {
    for closes_before in [false, true] {
        let (pipe, flow) = (Pipe::with_room(1_000), Flow::new(10));
        let (room, outbox) = (Room::default(), outbox(&pipe, 1_000));
        room.join("ann", &outbox);
        outbox.hold();
        let _ = room.put("live", None, None, Some(flow.begin(4)), None);
        let _ = room.publish();
        if closes_before {
            outbox.close(1001, "bye");
        }
        outbox.close_held(1011, "failed");
        assert_eq!((outbox.flush(), flow.bytes()), (OutboxState::Closed(CloseReason::Asked), 0));
        let expected: &[u8] = if closes_before { b"\x88\x05\x03\xe9bye" } else { b"\x88\x08\x03\xf3failed" };
        assert_eq!((pipe.taken(), outbox.waiting_bytes()), (expected.to_vec(), 0));
    }
}

#[test]
fn an_answer_never_comes_ahead_of_an_earlier_message() {
    let (room, pipe, flow) = (Room::default(), Pipe::with_room(1_000), Flow::new(10));
    let ann = outbox(&pipe, 1_000);
    room.join("ann", &ann);
    let _ = room.put("five", Some(Seq(5)), None, None, None);
    room.answer(&ann, "four", Seq(4), flow.begin(1));
    assert_eq!(pipe.taken(), b"", "five is put and not sent yet");
    room.answer(&ann, "six", Seq(6), flow.begin(1));
    assert!(flow.bytes() > 0, "an answer that waits is in flight");
    let _ = room.publish();
    assert_eq!(pipe.taken(), b"\x81\x04five\x81\x04four", "six comes when it is put");
    room.answer(&ann, "five", Seq(5), flow.begin(1));
    assert!(pipe.taken().ends_with(b"\x81\x04five"), "nothing waits");
    let elsewhere = outbox(&pipe, 1_000);
    room.answer(&elsewhere, "six", Seq(6), flow.begin(1));
    assert!(pipe.taken().ends_with(b"\x81\x03six"), "a connection that is not in the room does not hear it otherwise");
}
