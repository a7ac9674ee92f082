//! Rooms and outboxes over sinks in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

mod joining;
mod presence;
mod remote;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;

use super::{CloseReason, Flow, FrameSink, Outbox, OutboxState, Presence, Progress, Room};

/// A sink that takes `room` bytes and then blocks.
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

impl FrameSink for Pipe {
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
fn a_user_with_several_tabs_joins_and_leaves_once() {
    let room = Room::default();
    let (first, second) = (outbox(&Pipe::default(), 10), outbox(&Pipe::default(), 10));
    assert_eq!(room.join("ann", &first).0, Presence::Changed);
    assert_eq!(room.join("ann", &second).0, Presence::Same);
    assert_eq!(room.leave("ann", &first), Presence::Same);
    assert_eq!(room.leave("ann", &first), Presence::Same, "leaving twice counts once");
    assert_eq!(room.leave("ann", &second), Presence::Changed);
}

#[test]
fn everyone_receives_the_same_frames() {
    let room = Room::default();
    let pipes: Vec<Pipe> = (0..3).map(|_| Pipe::with_room(100)).collect();
    for (index, pipe) in pipes.iter().enumerate() {
        room.join(&index.to_string(), &outbox(pipe, 10));
    }
    assert!(room.put("one", None, None, None, None));
    assert!(!room.put("two", None, None, None, None), "there is one publisher");
    assert_eq!(room.publish(), Progress::Done);
    for pipe in &pipes {
        assert_eq!(pipe.taken(), b"\x81\x03one\x81\x03two");
    }
}

#[test]
fn a_connection_that_left_receives_nothing() {
    let room = Room::default();
    let pipes: Vec<Pipe> = (0..3).map(|_| Pipe::with_room(100)).collect();
    let outboxes: Vec<_> = pipes.iter().map(|pipe| outbox(pipe, 10)).collect();
    for (index, outbox) in outboxes.iter().enumerate() {
        room.join(&index.to_string(), outbox);
    }
    room.leave("0", &outboxes[0]);
    assert!(room.put("hi", None, None, None, None));
    assert_eq!(room.publish(), Progress::Done);
    let lengths: Vec<usize> = pipes.iter().map(|pipe| pipe.taken().len()).collect();
    assert_eq!(lengths, [0, 4, 4]);
}

/// A sink that keeps what is written, and then calls a hook.
struct Hooked {
    number: usize,
    written: Pipe,
    then: Box<dyn Fn(usize) + Send + Sync>,
}

impl FrameSink for Hooked {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.written.try_write(bytes);
        (self.then)(self.number);
        written
    }
}

/// A room whose sinks call a hook after each write, with all connections and the number of this one.
struct Crowd {
    room: Arc<Room>,
    outboxes: Arc<Mutex<Vec<Arc<Outbox>>>>,
    pipes: Vec<Pipe>,
}

impl Crowd {
    fn new(members: usize, then: impl Fn(&Room, &[Arc<Outbox>], usize) + Send + Sync + 'static) -> Self {
        let (room, then, outboxes) = (Arc::new(Room::default()), Arc::new(then), Arc::<Mutex<Vec<_>>>::default());
        let pipes: Vec<Pipe> = (0..members).map(|_| Pipe::with_room(1_000_000)).collect();
        for (number, pipe) in pipes.iter().enumerate() {
            let (room_then, then, outboxes_then) = (Arc::clone(&room), Arc::clone(&then), Arc::clone(&outboxes));
            let hook = move |number| {
                let outboxes: Vec<_> = outboxes_then.lock().unwrap().clone();
                then(&room_then, &outboxes, number);
            };
            let sink = Hooked { number, written: pipe.clone(), then: Box::new(hook) };
            let outbox = Arc::new(Outbox::new(Arc::new(sink), 1_000));
            room.join(&number.to_string(), &outbox);
            outboxes.lock().unwrap().push(outbox);
        }
        Self { room, outboxes, pipes }
    }

    fn say(&self, payload: &str, speaker: usize) {
        let speaker = Arc::clone(&self.outboxes.lock().unwrap()[speaker]);
        assert!(self.room.put(payload, None, Some(&speaker), None, None));
        let mut progress = self.room.publish();
        while progress == Progress::Pending {
            progress = self.room.continue_publishing();
        }
    }
}

#[test]
fn payloads_put_while_publishing_leave_together_with_one_write_each() {
    let (flow, last) = (Flow::new(10), Arc::new(AtomicUsize::new(0)));
    let (counted, last_seen, writes) = (Arc::clone(&flow), Arc::clone(&last), Arc::new(AtomicUsize::new(0)));
    let written = Arc::clone(&writes);
    let crowd = Crowd::new(300, move |room, _, number| {
        let pass = written.fetch_add(1, Ordering::Relaxed) / 300;
        match (pass, number) {
            (0, 10) => assert!(!room.put("two", None, None, Some(counted.begin(3)), None)),
            (0, 250) => assert!(!room.put("three", None, None, Some(counted.begin(5)), None)),
            (1, 299) => last_seen.store(counted.bytes(), Ordering::Relaxed),
            _ => {}
        }
    });
    crowd.say("one", 0);
    for (number, pipe) in crowd.pipes.iter().enumerate() {
        assert_eq!(pipe.taken(), b"\x81\x03one\x81\x03two\x81\x05three", "{number}");
    }
    assert_eq!(writes.load(Ordering::Relaxed), 2 * 300);
    assert!(last.load(Ordering::Relaxed) > 500, "both are in flight until the last connection has them");
    assert_eq!(flow.bytes(), 0);
}

/// The order in which the connections of a crowd are written to.
fn order() -> (Arc<Mutex<Vec<usize>>>, impl Fn(usize) + Send + Sync + 'static) {
    let order = Arc::<Mutex<Vec<usize>>>::default();
    let noted = Arc::clone(&order);
    (order, move |number| noted.lock().unwrap().push(number))
}

#[test]
fn in_a_large_room_the_speaker_is_written_to_first() {
    let (order, note) = order();
    let crowd = Crowd::new(100, move |_, _, number| note(number));
    crowd.say("hi", 98);
    let mut order = order.lock().unwrap().clone();
    assert_eq!(order[..3], [98, 0, 1]);
    order.sort_unstable();
    assert_eq!(order, (0..100).collect::<Vec<_>>(), "everyone is written to once");
}

#[test]
fn a_speaker_during_a_pass_receives_their_message_before_it_ends() {
    // While the tenth is written to, two others speak: one that the pass has reached, and one that it has not.
    let (order, note) = order();
    let once = AtomicUsize::new(0);
    let crowd = Crowd::new(300, move |room, outboxes, number| {
        note(number);
        if number == 10 && once.fetch_add(1, Ordering::Relaxed) == 0 {
            assert!(!room.put("two", None, Some(&outboxes[5]), None, None));
            assert!(!room.put("three", None, Some(&outboxes[250]), None, None));
        }
    });
    crowd.say("one", 0);
    for (number, pipe) in crowd.pipes.iter().enumerate() {
        assert_eq!(pipe.taken(), b"\x81\x03one\x81\x03two\x81\x05three", "{number}");
    }
    let order = order.lock().unwrap();
    let first_pass = order.iter().position(|number| *number == 299).unwrap();
    let writes_to = |one| order[..first_pass].iter().filter(|number| **number == one).count();
    assert_eq!((writes_to(5), writes_to(250)), (2, 2), "each has the first message, and then both others");
    assert_eq!(order.len(), 2 * 300, "each connection is written to once per pass");
}

#[test]
fn a_speaker_whose_socket_is_full_waits_for_its_turn() {
    let (order, note) = order();
    let crowd = Crowd::new(100, move |_, _, number| note(number));
    crowd.pipes[98].drain(0);
    let full = Arc::clone(&crowd.outboxes.lock().unwrap()[98]);
    full.send(&Bytes::from_static(b"before"));
    order.lock().unwrap().clear();
    crowd.say("hi", 98);
    assert_eq!(order.lock().unwrap()[..2], [0, 1]);
    crowd.pipes[98].drain(100);
    assert_eq!(full.flush(), OutboxState::Idle);
    assert_eq!(crowd.pipes[98].taken(), b"before\x81\x02hi");
}

#[test]
fn everyone_receives_everything_in_one_order() {
    let said = Arc::new(Mutex::new((1_u64, String::from("\u{1}a"))));
    let talk = Arc::clone(&said);
    let crowd = Crowd::new(200, move |room, outboxes, _| {
        let mut talk = talk.lock().unwrap();
        // Numbers without a pattern (Knuth's linear congruential generator).
        talk.0 = talk.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = talk.0 >> 40;
        if draw % 16 == 0 && talk.1.len() < 600 {
            let letter = char::from(b'a' + u8::try_from(draw / 16 % 26).unwrap());
            let speaker = usize::try_from(draw / 512 % 210).unwrap();
            let _ = room.put(&letter.to_string(), None, outboxes.get(speaker), None, None);
            talk.1.push('\u{1}');
            talk.1.push(letter);
        }
    });
    crowd.say("a", 7);
    let said: Vec<u8> =
        said.lock().unwrap().1.chars().flat_map(|c| if c == '\u{1}' { vec![0x81, 1] } else { vec![c as u8] }).collect();
    assert!(said.len() > 600, "too little was said: {}", said.len());
    for (number, pipe) in crowd.pipes.iter().enumerate() {
        assert!(pipe.taken() == said, "connection {number} received something else");
    }
}

#[test]
fn frames_for_a_full_socket_wait_and_leave_in_order() {
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
fn a_peer_that_does_not_read_is_closed_at_a_frame_boundary() {
    let pipe = Pipe::with_room(2);
    let outbox = outbox(&pipe, 10);
    outbox.send(&Bytes::from_static(b"\x81\x03one"));
    assert_eq!(outbox.state(), OutboxState::Waiting, "frames are accepted whole, whatever their size");
    outbox.send(&Bytes::from_static(b"\x81\x03two"));
    assert_eq!(outbox.state(), OutboxState::Closing(CloseReason::TooSlow));
    outbox.send(&Bytes::from_static(b"\x81\x03ten"));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Closed(CloseReason::TooSlow));
    let taken = pipe.taken();
    assert!(taken.starts_with(b"\x81\x03one\x88"), "{taken:?}");
    assert_eq!(taken[7..9], 1008_u16.to_be_bytes());
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_message_is_in_flight_until_the_last_socket_has_taken_it() {
    let (room, all) = (Room::default(), Flow::new(10_000));
    let speaker = all.child(300);
    let (quick, slow) = (Pipe::with_room(100), Pipe::with_room(2));
    let slow_outbox = outbox(&slow, 100);
    room.join("quick", &outbox(&quick, 100));
    room.join("slow", &slow_outbox);
    for payload in ["one", "two"] {
        let _ = room.put(payload, None, None, Some(speaker.begin(payload.len())), None);
    }
    assert_eq!(room.publish(), Progress::Done);
    assert!(speaker.bytes() > 2 * 3 && all.bytes() == speaker.bytes() && !speaker.is_low());

    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let context = Context::from_waker(&waker);
    assert!(speaker.poll_until(&context, || speaker.is_low()).is_pending());
    slow.drain(5);
    assert_eq!(slow_outbox.flush(), OutboxState::Waiting);
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    slow.drain(5);
    assert_eq!(slow_outbox.flush(), OutboxState::Idle);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(speaker.poll_until(&context, || speaker.is_low()).is_ready());
    assert_eq!((speaker.bytes(), all.bytes()), (0, 0));
}

#[test]
fn a_stalled_peer_is_closed_and_keeps_nothing_in_flight() {
    let (room, flow) = (Room::default(), Flow::new(10));
    let pipe = Pipe::with_room(2);
    let outbox = outbox(&pipe, 1_000);
    room.join("idle", &outbox);
    for payload in ["one", "two"] {
        assert!(room.put(payload, None, None, Some(flow.begin(3)), None));
        assert_eq!(room.publish(), Progress::Done);
    }
    assert!(!outbox.drop_stalled(std::time::Duration::from_secs(3_600)), "it has waited for less than an hour");
    assert!(flow.bytes() > 0);
    assert!(outbox.drop_stalled(std::time::Duration::ZERO));
    assert_eq!((outbox.state(), flow.bytes()), (OutboxState::Closing(CloseReason::TooSlow), 0));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Closed(CloseReason::TooSlow));
    let taken = pipe.taken();
    assert!(taken.starts_with(b"\x81\x03one\x88"), "the frame that was begun is sent whole: {taken:?}");
    assert!(String::from_utf8_lossy(&taken).contains("stall_ms_max"));
}
