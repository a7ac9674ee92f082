//! Rooms and outboxes over wires that are made of memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use bytes::Bytes;

use super::{Flow, Outbox, OutboxState, Presence, Rest, Room, Why, Wire};

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
    assert!(room.put("one", None, None));
    assert!(!room.put("two", None, None), "one publishes");
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
    assert!(room.put("hi", None, None));
    assert_eq!(room.publish(), Rest::Nothing);
    let lengths: Vec<usize> = pipes.iter().map(|pipe| pipe.taken().len()).collect();
    assert_eq!(lengths, [0, 4, 4]);
}

/// A wire that keeps what is written, tells a shared book of it, and then does something.
struct Hooked {
    number: usize,
    written: Pipe,
    book: Arc<Mutex<Vec<usize>>>,
    then: Box<dyn Fn(usize) + Send + Sync>,
}

impl Wire for Hooked {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.written.try_write(bytes);
        self.book.lock().unwrap().push(self.number);
        (self.then)(self.number);
        written
    }
}

/// A room whose wires do something after each write, which is told who was written to.
struct Crowd {
    room: Arc<Room>,
    outboxes: Arc<Mutex<Vec<Arc<Outbox>>>>,
    pipes: Vec<Pipe>,
    book: Arc<Mutex<Vec<usize>>>,
}

impl Crowd {
    fn new(members: usize, then: impl Fn(&Room, &[Arc<Outbox>], usize) + Send + Sync + 'static) -> Self {
        let (room, outboxes) = (Arc::new(Room::default()), Arc::new(Mutex::new(Vec::new())));
        let (book, then) = (Arc::default(), Arc::new(then));
        let pipes: Vec<Pipe> = (0..members).map(|_| Pipe::with_room(1_000_000)).collect();
        for (number, pipe) in pipes.iter().enumerate() {
            let (room_then, outboxes_then, then) = (Arc::clone(&room), Arc::clone(&outboxes), Arc::clone(&then));
            let hook = move |number| {
                let outboxes: Vec<_> = outboxes_then.lock().unwrap().clone();
                then(&room_then, &outboxes, number);
            };
            let wire = Hooked { number, written: pipe.clone(), book: Arc::clone(&book), then: Box::new(hook) };
            let outbox = Arc::new(Outbox::new(Arc::new(wire), 1_000));
            room.join(&number.to_string(), &outbox);
            outboxes.lock().unwrap().push(outbox);
        }
        Self { room, outboxes, pipes, book }
    }

    fn say(&self, payload: &str, speaker: usize) {
        let speaker = Arc::clone(&self.outboxes.lock().unwrap()[speaker]);
        assert!(self.room.put(payload, Some(&speaker), None));
        let mut rest = self.room.publish();
        while rest == Rest::More {
            rest = self.room.go_on();
        }
    }

    fn book(&self) -> Vec<usize> {
        self.book.lock().unwrap().clone()
    }
}

#[test]
fn who_speaks_hears_of_it_first() {
    let crowd = Crowd::new(100, |_, _, _| {});
    crowd.say("hi", 98);
    let mut book = crowd.book();
    assert_eq!(book[..3], [98, 0, 1]);
    book.sort_unstable();
    assert_eq!(book, (0..100).collect::<Vec<_>>(), "everyone is written to once");
}

#[test]
fn who_speaks_in_the_midst_of_a_round_does_not_wait_for_its_end() {
    // When the tenth hears of the first event, two others have something to say: one whom the round has passed, one to come.
    let once = AtomicBool::new(true);
    let crowd = Crowd::new(300, move |room, outboxes, number| {
        if number == 10 && once.swap(false, Ordering::Relaxed) {
            assert!(!room.put("two", Some(&outboxes[5]), None));
            assert!(!room.put("three", Some(&outboxes[250]), None));
        }
    });
    crowd.say("one", 0);
    for (number, pipe) in crowd.pipes.iter().enumerate() {
        assert_eq!(pipe.taken(), b"\x81\x03one\x81\x03two\x81\x05three", "{number}");
    }
    let book = crowd.book();
    let first_round = book.iter().position(|number| *number == 299).unwrap();
    assert_eq!(book[..first_round].iter().filter(|number| **number == 5).count(), 2, "it has heard of both");
    assert_eq!(book[..first_round].iter().filter(|number| **number == 250).count(), 2, "of the first before its own");
    assert_eq!(book.len(), 2 * 300, "and nobody else is written to more often for it");
}

#[test]
fn everyone_hears_everything_in_one_order_whoever_speaks_when() {
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
            let _ = room.put(&letter.to_string(), outboxes.get(speaker), None);
            talk.1.push('\u{1}');
            talk.1.push(letter);
        }
    });
    crowd.say("a", 7);
    let said: Vec<u8> =
        said.lock().unwrap().1.chars().flat_map(|c| if c == '\u{1}' { vec![0x81, 1] } else { vec![c as u8] }).collect();
    assert!(said.len() > 600, "there was something to say: {}", said.len());
    for (number, pipe) in crowd.pipes.iter().enumerate() {
        assert!(pipe.taken() == said, "{number} heard something else");
    }
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
    let speaker = all.part(300);
    let (quick, slow) = (Pipe::with_room(100), Pipe::with_room(2));
    let slow_outbox = outbox(&slow, 100);
    room.join("quick", &outbox(&quick, 100));
    room.join("slow", &slow_outbox);
    for payload in ["one", "two"] {
        let _ = room.put(payload, None, Some(speaker.begin(payload.len())));
    }
    assert_eq!(room.publish(), Rest::Nothing);
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
fn a_peer_that_takes_nothing_is_dropped_and_holds_nothing_in_flight() {
    let (room, flow) = (Room::default(), Flow::new(10));
    let pipe = Pipe::with_room(2);
    let outbox = outbox(&pipe, 1_000);
    room.join("idle", &outbox);
    for payload in ["one", "two"] {
        assert!(room.put(payload, None, Some(flow.begin(3))));
        assert_eq!(room.publish(), Rest::Nothing);
    }
    assert!(!outbox.drop_stalled(std::time::Duration::from_secs(3_600)), "it has waited for less than that");
    assert!(flow.bytes() > 0);
    assert!(outbox.drop_stalled(std::time::Duration::ZERO));
    assert_eq!((outbox.state(), flow.bytes()), (OutboxState::Closing(Why::TooSlow), 0));
    pipe.drain(1_000);
    assert_eq!(outbox.flush(), OutboxState::Closed(Why::TooSlow));
    let taken = pipe.taken();
    assert!(taken.starts_with(b"\x81\x03one\x88"), "the begun frame goes out whole: {taken:?}");
    assert!(String::from_utf8_lossy(&taken).contains("stall_ms_max"));
}

#[test]
fn messages_told_ahead_are_in_flight_until_everyone_has_them() {
    let (flow, last) = (Flow::new(10), Arc::new(AtomicUsize::new(0)));
    let (counted, last_seen, looks) = (Arc::clone(&flow), Arc::clone(&last), AtomicUsize::new(0));
    let crowd = Crowd::new(300, move |room, outboxes, number| {
        // Two runs are told ahead in one round, and leave as one in the next.
        if number == 10 || number == 150 {
            match looks.fetch_add(1, Ordering::Relaxed) {
                0 => drop(room.put("two", Some(&outboxes[5]), Some(counted.begin(3)))),
                1 => drop(room.put("three", Some(&outboxes[7]), Some(counted.begin(5)))),
                _ => {}
            }
        }
        if number == 299 {
            last_seen.store(counted.bytes(), Ordering::Relaxed);
        }
    });
    crowd.say("one", 0);
    assert!(last.load(Ordering::Relaxed) > 500, "both were, when the last one heard of them");
    assert_eq!(flow.bytes(), 0);
}
