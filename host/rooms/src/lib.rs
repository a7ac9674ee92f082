//! Who is in a room, and fan-out to them. Knows nothing of sockets, storage or wasm: a member is a user's id, and a
//! connection is an [`Outbox`].
//!
//! What is published to a room goes out in one order to everyone. Whoever publishes writes for all who publish meanwhile:
//! while a room's sockets are busy its events gather, and leave as one run of bytes with one write to each connection.
//! Whoever spoke is the first to hear that they were heard, so what they say next is in the next run.

mod flow;
mod outbox;
mod round;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

pub use flow::{Flow, InFlight};
pub use outbox::{Outbox, State as OutboxState, Why, Wire};

use ondol_host_model::frame;
use round::{Ahead, Taken};

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
    /// Who waits for one of them, in a room where that is worth knowing.
    speakers: Vec<Arc<Outbox>>,
    /// What only those have heard who said it, while nobody publishes.
    ahead: Ahead,
    /// The bytes of what they have heard, while somebody does.
    ahead_bytes: usize,
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

/// In a room of at most so many connections everyone is told in the order in which they came.
const ALL_IN_FRONT: usize = 16;

/// How many are told before the others.
const SPEAKERS_MAX: usize = 16;

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

    /// Puts a payload after all that was put before, for a connection that spoke or for none. True: the caller has to see to
    /// it that [`Room::publish`] is called. Otherwise somebody does already. `in_flight` is dropped when the last socket has
    /// taken the payload.
    #[must_use]
    pub fn put(
        &self,
        payload: &str,
        speaker: Option<&Arc<Outbox>>,
        in_flight: impl IntoIterator<Item = InFlight>,
    ) -> bool {
        let mut inner = self.lock();
        inner.in_flight.extend(in_flight);
        let due = !inner.publishing && (inner.outgoing.is_empty() || inner.orphaned);
        frame::text(&mut inner.outgoing, payload);
        if let Some(speaker) = speaker {
            inner.heed(speaker);
        }
        due
    }

    /// How many bytes have been put and not yet sent to all.
    pub fn waiting_bytes(&self) -> usize {
        let inner = self.lock();
        inner.outgoing.len() + inner.ahead_bytes
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
        let mut ahead = std::mem::take(&mut self.lock().ahead);
        let mut writes = 0;
        while writes < WRITES_MAX {
            let (taken, connections) = {
                let mut inner = self.lock();
                if inner.outgoing.is_empty() && ahead.is_empty() {
                    inner.publishing = false;
                    inner.orphaned = false;
                    publisher.end();
                    return Rest::Nothing;
                }
                inner.ahead_bytes = 0;
                (inner.take(), inner.snapshot())
            };
            writes += connections.len().max(1);
            ahead = round::go_round(ahead, taken, &connections, || self.lock().take_ahead());
        }
        self.lock().ahead = ahead;
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

    /// Remembers who waits for what was put last.
    fn heed(&mut self, speaker: &Arc<Outbox>) {
        let worth_it = self.connections.len() > ALL_IN_FRONT && self.speakers.len() < SPEAKERS_MAX;
        if worth_it && !self.speakers.iter().any(|known| Arc::ptr_eq(known, speaker)) {
            self.speakers.push(Arc::clone(speaker));
        }
    }

    /// What has been put.
    fn take(&mut self) -> Taken {
        let run = self.outgoing.split().freeze();
        let next = Vec::with_capacity(self.in_flight.len());
        let in_flight = std::mem::replace(&mut self.in_flight, next);
        let run = if in_flight.is_empty() { run } else { Bytes::from_owner(Run { run, _in_flight: in_flight }) };
        Taken { run, speakers: std::mem::take(&mut self.speakers) }
    }

    /// The same in the midst of a round, when somebody waits for it.
    fn take_ahead(&mut self) -> Option<Taken> {
        if self.speakers.is_empty() {
            return None;
        }
        self.ahead_bytes += self.outgoing.len();
        Some(self.take())
    }

    /// Joins and leaves between two runs cost one copy of the list together, not one each.
    fn snapshot(&mut self) -> Arc<[Arc<Outbox>]> {
        let connections = &self.connections;
        Arc::clone(self.snapshot.get_or_insert_with(|| connections.iter().cloned().collect()))
    }
}

#[cfg(test)]
mod tests;
