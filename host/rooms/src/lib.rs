//! Who is in a room, and fan-out to them. Knows nothing of sockets, storage or wasm: a member is a user's id, and a
//! connection is an [`Outbox`].
//!
//! What is published to a room goes out in one order to everyone. Whoever publishes writes for all who publish meanwhile:
//! while a room's sockets are busy its events gather, and leave as one run of bytes with one write to each connection.

mod flow;
mod outbox;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

pub use flow::{Flow, InFlight};
pub use outbox::{Outbox, State as OutboxState, Why, Wire};

use ondol_host_model::frame;

/// One room's members, and the way to them.
#[derive(Default)]
pub struct Room {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Connections of each user.
    members: HashMap<String, usize>,
    /// Every connection, in no order: one that leaves is replaced by the last.
    connections: Vec<Arc<Outbox>>,
    places: HashMap<u64, usize>,
    /// What publishers write to: `connections` as they were when it was last needed.
    snapshot: Option<Arc<[Arc<Outbox>]>>,
    /// Frames that wait to be written.
    outgoing: BytesMut,
    /// Their messages, which are in flight until every socket has taken the run.
    in_flight: Vec<InFlight>,
    publishing: bool,
    /// A publisher panicked, and left frames that wait to be published.
    orphaned: bool,
}

/// A run of frames, and the messages that are in flight for as long as an outbox holds any of it.
struct Run {
    run: Bytes,
    _in_flight: Vec<InFlight>,
}

impl AsRef<[u8]> for Run {
    fn as_ref(&self) -> &[u8] {
        &self.run
    }
}

/// How a user stands after a connection of theirs came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was the first to come, or the last to go.
    Changed,
    /// They have others in the room.
    Same,
}

/// How many writes a publisher does for others before it lets go of its own work.
const WRITES_MAX: usize = 1_024;

/// What is left when a publisher has done its share.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, or another publisher sees to it.
    Nothing,
    /// More than [`WRITES_MAX`] writes: [`Room::go_on`] has to be called, from somewhere with time.
    More,
}

impl Room {
    /// Brings a connection of `user` in.
    pub fn join(&self, user: &str, outbox: &Arc<Outbox>) -> Presence {
        self.lock().join(user, outbox)
    }

    /// Takes it out again. One that is not in it changes nothing.
    pub fn leave(&self, user: &str, outbox: &Outbox) -> Presence {
        self.lock().leave(user, outbox)
    }

    /// Puts a payload after all that was put before. True: the caller has to see to it that [`Room::publish`] is called.
    /// Otherwise somebody does already. `in_flight` is dropped when the last socket has taken the payload.
    #[must_use]
    pub fn put(&self, payload: &str, in_flight: impl IntoIterator<Item = InFlight>) -> bool {
        let mut inner = self.lock();
        inner.in_flight.extend(in_flight);
        let due = !inner.publishing && (inner.outgoing.is_empty() || inner.orphaned);
        frame::text(&mut inner.outgoing, payload);
        due
    }

    /// How many bytes have been put and wait for their turn.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().outgoing.len()
    }

    /// How many connections are in it.
    pub fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Sends what was put to every connection in the room, at once, unless somebody is sending already, who then sends
    /// this too.
    pub fn publish(&self) -> Rest {
        let mut inner = self.lock();
        if inner.publishing || inner.outgoing.is_empty() {
            return Rest::Nothing;
        }
        inner.publishing = true;
        drop(inner);
        self.go_on()
    }

    /// Goes on sending where a publisher left [`Rest::More`].
    pub fn go_on(&self) -> Rest {
        let publisher = Publisher(self);
        let mut writes = 0;
        while writes < WRITES_MAX {
            let (run, connections) = {
                let mut inner = self.lock();
                if inner.outgoing.is_empty() {
                    inner.publishing = false;
                    inner.orphaned = false;
                    publisher.end();
                    return Rest::Nothing;
                }
                (inner.take(), inner.snapshot())
            };
            writes += connections.len().max(1);
            for connection in connections.iter() {
                connection.send(&run);
            }
        }
        publisher.end();
        Rest::More
    }

    /// Closes every connection that is in the room.
    pub fn close(&self, code: u16, reason: &str) {
        let connections = self.lock().snapshot();
        for connection in connections.iter() {
            connection.close(code, reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A publisher's turn. It ends even by a panic: the next frame that is put then publishes what was left.
struct Publisher<'a>(&'a Room);

impl Publisher<'_> {
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.publishing = false;
        inner.orphaned = true;
    }
}

impl Inner {
    fn join(&mut self, user: &str, outbox: &Arc<Outbox>) -> Presence {
        self.places.insert(outbox.id, self.connections.len());
        self.connections.push(Arc::clone(outbox));
        self.snapshot = None;
        let count = self.members.entry(user.to_owned()).or_default();
        *count += 1;
        if *count == 1 { Presence::Changed } else { Presence::Same }
    }

    fn leave(&mut self, user: &str, outbox: &Outbox) -> Presence {
        let Some(place) = self.places.remove(&outbox.id) else { return Presence::Same };
        self.connections.swap_remove(place);
        if let Some(moved) = self.connections.get(place) {
            self.places.insert(moved.id, place);
        }
        self.snapshot = None;
        let Some(count) = self.members.get_mut(user) else { return Presence::Same };
        *count -= 1;
        if *count > 0 {
            return Presence::Same;
        }
        self.members.remove(user);
        Presence::Changed
    }

    /// What has been put, as one run.
    fn take(&mut self) -> Bytes {
        let run = self.outgoing.split().freeze();
        let next = Vec::with_capacity(self.in_flight.len());
        let in_flight = std::mem::replace(&mut self.in_flight, next);
        if in_flight.is_empty() { run } else { Bytes::from_owner(Run { run, _in_flight: in_flight }) }
    }

    /// Joins and leaves between two runs cost one copy of the list together, not one each.
    fn snapshot(&mut self) -> Arc<[Arc<Outbox>]> {
        let connections = &self.connections;
        Arc::clone(self.snapshot.get_or_insert_with(|| connections.iter().cloned().collect()))
    }
}

#[cfg(test)]
mod tests;
