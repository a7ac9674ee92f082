//! Who is present, as the connections of several hosts hear of it.

use std::sync::{Arc, Mutex};

use super::{Pipe, outbox};
use crate::{Change, Presence, Progress, Remote, Room, Run};
use ondol_host_model::{Speaker, User};

fn user(id: &str) -> Arc<Speaker> {
    let (nickname, email) = (id.to_owned(), format!("{id}@example.com"));
    Arc::new(Speaker::new(User { id: id.to_owned(), nickname, email, profile_url: None }))
}

fn comes(id: &str) -> Change {
    Change { user: user(id), is_present: true }
}

fn goes(id: &str) -> Change {
    Change { user: user(id), is_present: false }
}

/// Users, in the order of their ids.
fn ids(users: &[Arc<Speaker>]) -> Vec<&str> {
    let mut ids: Vec<_> = users.iter().map(|user| user.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Changes: a plus for who comes and a minus for who goes.
fn signs(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|Change { user, is_present }| format!("{}{}", if *is_present { '+' } else { '-' }, user.id))
        .collect()
}

/// A host that keeps the changes that it receives.
#[derive(Default)]
struct Host(Mutex<Vec<String>>);

impl Remote for Host {
    fn receive(&self, run: Run) {
        self.0.lock().unwrap().extend(signs(&run.changes));
    }
}

fn announce(room: &Room, change: &Change) {
    assert!(room.announce("{}", change, []));
    assert_eq!(room.publish(), Progress::Done);
}

#[test]
fn a_host_that_attaches_learns_who_is_present_and_then_each_change_once() {
    let room = Room::default();
    assert!(room.begin_as_home().is_none(), "nothing is known of an earlier home");
    announce(&room, &comes("ann"));
    announce(&room, &comes("ben"));
    // Put, and not sent yet.
    assert!(room.announce("{}", &goes("ben"), []));
    let host = Arc::new(Host::default());
    let (_, present) = room.attach(2, Arc::clone(&host) as Arc<dyn Remote>);
    assert_eq!(ids(&present), ["ann"]);
    assert!(!room.announce("{}", &comes("carl"), []), "the publisher takes both");
    assert_eq!(room.publish(), Progress::Done);
    room.note(&comes("dan"));
    announce(&room, &goes("ann"));
    assert_eq!(*host.0.lock().unwrap(), ["+carl", "+dan", "-ann"], "and not what was put before");
    assert_eq!(ids(&room.announced()), ["carl", "dan"]);
}

#[test]
fn connections_hear_what_they_lack_of_who_is_present() {
    let (room, pipe) = (Room::default(), Pipe::with_room(100));
    let present = [user("ann"), user("ben")];
    assert!(!room.put_changes(b"", &room.changes_to(&present)), "the first ones are in no frame");
    room.join("zoe", &outbox(&pipe, 100));
    assert!(room.put_run(b"\x81\x03ben", None, 0, &[], [], &[goes("ben")]));
    assert_eq!(room.publish(), Progress::Done);
    let changes = room.changes_to(&[user("ben"), user("carl")]);
    assert_eq!(signs(&changes), ["-ann", "+ben", "+carl"]);
    assert!(room.put_changes(b"\x81\x01-\x81\x01+\x81\x01+", &changes));
    assert_eq!(room.publish(), Progress::Done);
    assert_eq!(pipe.taken(), b"\x81\x03ben\x81\x01-\x81\x01+\x81\x01+");
    assert_eq!(signs(&room.changes_to(&[user("carl"), user("ben")])), [""; 0]);
}

#[test]
fn a_home_that_knows_nothing_adopts_those_who_are_not_there() {
    let room = Room::default();
    room.join("ann", &outbox(&Pipe::default(), 10));
    assert!(room.begin_as_home().is_none());
    let adopted = room.adopt(vec![user("ann"), user("ben")]);
    assert_eq!((ids(&adopted), ids(&room.announced())), (vec!["ben"], vec!["ben"]));
    assert_eq!(room.join_remote("ben"), Presence::Same, "who comes back");
    assert_eq!([room.leave_remote("ben"), room.leave_remote("ben")], [Presence::Same, Presence::Changed]);
    assert_eq!(ids(&room.begin_as_home().unwrap()), ["ben"], "it is known by now");
}

#[test]
fn a_room_of_one_host_keeps_no_one() {
    let room = Room::default();
    announce(&room, &comes("ann"));
    assert!(room.announced().is_empty());
}
