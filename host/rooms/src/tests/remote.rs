//! What other hosts receive of a room, and which users are there by them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};

use super::{Crowd, Flow, Pipe, outbox};
use crate::{Outbox, Presence, Progress, Remote, Room, Run};
use ondol_host_model::Seq;

/// A host that keeps what it receives.
#[derive(Default)]
struct Host(Mutex<Vec<Run>>);

impl Remote for Host {
    fn receive(&self, run: Run) {
        self.0.lock().unwrap().push(run);
    }
}

/// What a host received: first and last message, how many, and the frames.
type Received = (Option<u64>, Option<u64>, u64, String);

impl Host {
    fn attach(room: &Room, host: i32) -> Arc<Self> {
        let remote = Arc::new(Self::default());
        room.attach(host, Arc::clone(&remote) as Arc<dyn Remote>);
        remote
    }

    /// What it received since the last call.
    fn received(&self) -> Vec<Received> {
        let runs = std::mem::take(&mut *self.0.lock().unwrap());
        let number = |seq: Option<Seq>| seq.map(|seq| seq.0);
        let text = |run: &Run| String::from_utf8_lossy(&run.frames).replace(char::REPLACEMENT_CHARACTER, "|");
        runs.iter().map(|run| (number(run.first), number(run.last), run.messages, text(run))).collect()
    }
}

fn put(room: &Room, payload: &str, seq: u64) -> bool {
    room.put(payload, Some(Seq(seq)), None, None, None)
}

/// A run of text frames, as [`Host::received`] shows it.
fn run(first: u64, last: u64, payloads: &[&str]) -> Received {
    let frames = payloads.iter().map(|payload| format!("|{}{payload}", char::from(payload.len() as u8)));
    (Some(first), Some(last), last + 1 - first, frames.collect())
}

#[test]
fn a_host_receives_what_is_put_after_it_attached_and_knows_the_message_before() {
    let room = Room::default();
    let early = Host::attach(&room, 1);
    assert!(put(&room, "five", 5));
    let late = Arc::new(Host::default());
    assert_eq!(room.attach(2, Arc::clone(&late) as Arc<dyn Remote>).0, Some(Seq(5)));
    assert!(!put(&room, "six", 6) && !put(&room, "seven", 7));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(early.received(), [run(5, 7, &["five", "six", "seven"])]);
    assert_eq!(late.received(), [run(6, 7, &["six", "seven"])]);
    assert!(put(&room, "eight", 8));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!((early.received(), late.received()), (vec![run(8, 8, &["eight"])], vec![run(8, 8, &["eight"])]));
    assert_eq!(Room::default().attach(1, early).0, None, "no message is known");
}

#[test]
fn a_host_that_attached_after_all_that_waits_receives_nothing() {
    let room = Room::default();
    assert!(put(&room, "one", 1));
    let host = Host::attach(&room, 1);
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(host.received(), []);
    assert!(room.put("typing", None, None, None, Some(9)));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(host.received(), [(None, None, 0, "|\u{6}typing".to_owned())], "a relay has no number");
}

#[test]
fn a_host_that_detached_receives_nothing_and_one_that_is_replaced_neither() {
    let room = Room::default();
    let (gone, before) = (Host::attach(&room, 1), Host::attach(&room, 2));
    assert!(put(&room, "one", 1));
    let now = Host::attach(&room, 2);
    room.detach(1);
    room.detach(3);
    assert!(!put(&room, "two", 2));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!((gone.received(), before.received()), (vec![], vec![]));
    assert_eq!(now.received(), [run(2, 2, &["two"])]);
}

#[test]
fn a_run_tells_which_forwarded_frames_it_settles() {
    let room = Room::default();
    let early = Host::attach(&room, 1);
    let _ = room.put("one", Some(Seq(1)), None, None, Some(11));
    let late = Host::attach(&room, 2);
    for (payload, seq, origin) in [("two", 2, None), ("three", 3, Some(22)), ("four", 4, Some(12))] {
        let _ = room.put(payload, Some(Seq(seq)), None, None, origin);
    }
    let _ = room.publish();
    let settled = |host: &Host| host.0.lock().unwrap()[0].settled.clone();
    assert_eq!(settled(&early), [(11, Seq(1)), (22, Seq(3)), (12, Seq(4))]);
    assert_eq!(settled(&late), [(22, Seq(3)), (12, Seq(4))]);
    let _ = put(&room, "five", 5);
    let _ = room.publish();
    assert_eq!(early.0.lock().unwrap()[1].settled, []);
}

#[test]
fn other_hosts_are_told_before_any_socket() {
    let host = Arc::new(Host::default());
    let seen = Arc::clone(&host);
    let crowd = Crowd::new(100, move |_, _, _| assert_eq!(seen.0.lock().unwrap().len(), 1));
    crowd.room.attach(1, Arc::clone(&host) as Arc<dyn Remote>);
    crowd.say("hi", 98);
    assert!(crowd.pipes.iter().all(|pipe| pipe.taken() == b"\x81\x02hi"));
    assert_eq!(host.received(), [(None, None, 0, "|\u{2}hi".to_owned())]);
}

#[test]
fn what_is_put_while_sockets_are_written_to_is_the_next_run() {
    let host = Arc::new(Host::default());
    let crowd = Crowd::new(100, |room, _, number| {
        if number == 50 && room.last() == Some(Seq(1)) {
            assert!(!put(room, "two", 2) && !put(room, "three", 3));
        }
    });
    crowd.room.attach(1, Arc::clone(&host) as Arc<dyn Remote>);
    assert!(put(&crowd.room, "one", 1));
    assert_eq!(crowd.room.publish(), Progress::Done);
    assert_eq!(host.received(), [run(1, 1, &["one"]), run(2, 3, &["two", "three"])]);
}

#[test]
fn a_run_keeps_its_messages_in_flight() {
    let (room, flow) = (Room::default(), Flow::new(10));
    let host = Host::attach(&room, 1);
    assert!(room.put("one", Some(Seq(1)), None, Some(flow.begin(3)), None));
    assert_eq!(room.publish(), Progress::Done);
    assert!(flow.bytes() > 0);
    drop(host.received());
    assert_eq!(flow.bytes(), 0);
}

#[test]
fn a_panic_in_the_middle_of_a_pass_leaves_the_next_run_whole() {
    let host = Arc::new(Host::default());
    let crowd = Crowd::new(3, |room, _, number| {
        if number == 1 && room.last() == Some(Seq(1)) {
            assert!(!put(room, "two", 2));
            panic!("a sink that fails");
        }
    });
    crowd.room.attach(1, Arc::clone(&host) as Arc<dyn Remote>);
    assert!(put(&crowd.room, "one", 1));
    assert!(catch_unwind(AssertUnwindSafe(|| crowd.room.publish())).is_err());
    assert_eq!(host.received(), [run(1, 1, &["one"])], "it was told first");
    assert!(put(&crowd.room, "three", 3), "the next one publishes what was left");
    assert_eq!(crowd.room.publish(), Progress::Done);
    assert_eq!(host.received(), [run(2, 3, &["two", "three"])]);
    assert_eq!(crowd.pipes[0].taken(), b"\x81\x03one\x81\x03two\x81\x05three");
}

/// A host that fails at its first run, while something is put.
struct Failing(Weak<Room>, Host);

impl Remote for Failing {
    fn receive(&self, run: Run) {
        if run.first == Some(Seq(1)) {
            assert!(!put(&self.0.upgrade().unwrap(), "two", 2));
            panic!("a host that fails");
        }
        self.1.receive(run);
    }
}

#[test]
fn after_a_host_that_panicked_the_others_see_by_the_numbers_what_they_lack() {
    let room = Arc::new(Room::default());
    let failing = Arc::new(Failing(Arc::downgrade(&room), Host::default()));
    room.attach(1, Arc::clone(&failing) as Arc<dyn Remote>);
    let other = Host::attach(&room, 2);
    assert!(put(&room, "one", 1));
    assert!(catch_unwind(AssertUnwindSafe(|| room.publish())).is_err());
    assert!(put(&room, "three", 3));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(other.received(), [run(2, 3, &["two", "three"])]);
    assert_eq!(failing.1.received(), [run(2, 3, &["two", "three"])]);
}

#[test]
fn a_run_of_another_host_goes_to_the_connections_as_it_is() {
    let (room, pipe) = (Room::default(), Pipe::with_room(100));
    room.join("ann", &outbox(&pipe, 10));
    assert!(!room.put_run(b"", Some(Seq(3)), 0, &[], [], &[]), "there is nothing to send");
    assert_eq!(room.last(), Some(Seq(3)));
    assert!(room.put_run(b"\x81\x04four\x81\x04five", Some(Seq(5)), 2, &[], [], &[]));
    assert!(!room.put_run(b"\x81\x06typing", None, 0, &[], [], &[]), "there is one publisher");
    let late = Pipe::with_room(100);
    assert_eq!(room.join("ben", &outbox(&late, 10)).1, Some(Seq(5)));
    assert!(!room.put_run(b"\x81\x03six", Some(Seq(6)), 1, &[], [], &[]));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(pipe.taken(), b"\x81\x04four\x81\x04five\x81\x06typing\x81\x03six");
    assert_eq!((late.taken(), room.last()), (b"\x81\x03six".to_vec(), Some(Seq(6))));
}

#[test]
fn in_a_large_room_the_speakers_of_a_run_are_written_to_first() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let crowd = Crowd::new(100, move |_, _, number| noted.lock().unwrap().push(number));
    let speakers: Vec<Arc<Outbox>> = [98, 70].map(|number| Arc::clone(&crowd.outboxes.lock().unwrap()[number])).into();
    assert!(crowd.room.put_run(b"\x81\x02hi", Some(Seq(1)), 1, &speakers, [], &[]));
    assert_eq!(crowd.room.publish(), Progress::Done);
    assert_eq!(order.lock().unwrap()[..4], [98, 70, 0, 1]);
    assert!(crowd.pipes.iter().all(|pipe| pipe.taken() == b"\x81\x02hi"));
}

#[test]
fn a_run_that_is_passed_on_has_the_numbers_of_its_messages() {
    let room = Room::default();
    let host = Host::attach(&room, 1);
    assert!(room.put_run(b"\x81\x04four\x81\x04five", Some(Seq(5)), 2, &[], [], &[]));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(host.received(), [run(4, 5, &["four", "five"])]);
}

#[test]
fn a_user_with_connections_to_several_hosts_joins_and_leaves_once() {
    let room = Room::default();
    let here = outbox(&Pipe::default(), 10);
    assert_eq!(room.join_remote("ann"), Presence::Changed);
    assert_eq!(room.join("ann", &here).0, Presence::Same);
    assert_eq!(room.join_remote("ann"), Presence::Same);
    assert_eq!(room.leave_remote("ann"), Presence::Same);
    assert_eq!(room.leave("ann", &here), Presence::Same);
    assert_eq!(room.leave_remote("ann"), Presence::Changed);
    assert_eq!(room.leave_remote("ann"), Presence::Same, "leaving twice counts once");
    assert_eq!(room.join("ann", &here).0, Presence::Changed);
    assert_eq!(room.leave_remote("ann"), Presence::Same, "the connection here is another one");
    assert_eq!(room.leave("ann", &here), Presence::Changed);
    assert_eq!(room.connections(), 0);
}

#[test]
fn a_room_is_idle_without_connections_and_hosts() {
    let (room, here) = (Room::default(), outbox(&Pipe::default(), 10));
    assert!(room.is_idle());
    room.join("ann", &here);
    assert!(!room.is_idle());
    room.leave("ann", &here);
    room.join_remote("ann");
    assert!(!room.is_idle());
    room.leave_remote("ann");
    let _host = Host::attach(&room, 1);
    assert!(!room.is_idle());
    room.detach(1);
    assert!(room.is_idle());
}
