//! A room whose members are on several hosts: the others that receive what is put, and who is present, as all are to hear.

use std::sync::Arc;

use super::Room;
use crate::announced::Change;
use crate::flow::InFlight;
use crate::members::Presence;
use crate::remote::Remote;
use ondol_host_model::{Seq, Speaker, frame};

impl Room {
    /// Adds a connection of `user` to another host. It counts for the user's presence alone.
    pub fn join_remote(&self, user: &str) -> Presence {
        self.lock().members.join_remote(user)
    }

    /// Removes it again. Nothing changes if there is none.
    pub fn leave_remote(&self, user: &str) -> Presence {
        self.lock().members.leave_remote(user)
    }

    /// Adds another host, in place of an earlier one of this number. It receives what is put from now on, and nothing that
    /// was put before. Returns the last message before that, if it is known, and who is present, as far as was put.
    pub fn attach(&self, host: i32, remote: Arc<dyn Remote>) -> (Option<Seq>, Vec<Arc<Speaker>>) {
        let mut inner = self.lock();
        let from = inner.outgoing.len();
        inner.remotes.attach(host, remote, from);
        (inner.last, inner.announced.users())
    }

    /// Removes it again. It receives nothing more of what is put and not sent.
    pub fn detach(&self, host: i32) {
        self.lock().remotes.detach(host);
    }

    /// Like [`Room::put`], of a payload that tells of a user who comes or goes.
    #[must_use]
    pub fn announce(&self, payload: &str, change: &Change, in_flight: impl IntoIterator<Item = InFlight>) -> bool {
        let mut inner = self.lock();
        inner.in_flight.extend(in_flight);
        inner.note(change);
        let due = inner.is_due();
        frame::text(&mut inner.outgoing, payload);
        due
    }

    /// Notes that a user comes or goes of whom the connections hear nothing. Other hosts learn it with what is put next.
    pub fn note(&self, change: &Change) {
        self.lock().note(change);
    }

    /// The users of whom the connections have heard that they are present, if that is kept.
    pub fn announced(&self) -> Vec<Arc<Speaker>> {
        self.lock().announced.users()
    }

    /// What the connections have to hear so that they know these as present, and no others.
    pub fn changes_to(&self, present: &[Arc<Speaker>]) -> Vec<Change> {
        self.lock().announced.changes_to(present)
    }

    /// Like [`Room::put_run`], of frames that tell of these changes. What was announced is kept from now on.
    #[must_use]
    pub fn put_changes(&self, frames: &[u8], changes: &[Change]) -> bool {
        self.lock().announced.begin();
        self.put_run(frames, None, 0, &[], [], changes)
    }

    /// This host is the room's home. The users of whom the connections have heard that they are present. None: that was not
    /// known, and is kept from now on.
    pub fn begin_as_home(&self) -> Option<Vec<Arc<Speaker>>> {
        let announced = &mut self.lock().announced;
        if announced.begin() { None } else { Some(announced.users()) }
    }

    /// Counts users as present of whom the connections of another host have heard, and who have no connection that is
    /// known: as one of another host each. The connections here take them for present. Returns them.
    pub fn adopt(&self, users: Vec<Arc<Speaker>>) -> Vec<Arc<Speaker>> {
        let mut inner = self.lock();
        let mut adopted = users;
        adopted.retain(|user| !inner.members.has(&user.id));
        for user in &adopted {
            let _ = inner.members.join_remote(&user.id);
            inner.announced.note(&Change { user: Arc::clone(user), is_present: true });
        }
        adopted
    }
}
