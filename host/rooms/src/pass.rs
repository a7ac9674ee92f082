//! One pass of frames through a room. Knows nothing of who joins and leaves.
//!
//! A pass through a large room takes as long as many commits, and clients usually wait for their own message before they send
//! the next. So a speaker receives it early: the publisher stops every [`STOP_EVERY`] connections and sends the speakers
//! what was put meanwhile. Everyone else receives that in the next pass, with one write. Each connection still receives every
//! byte once, in the same order.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::outbox::Outbox;

/// How many connections are sent to between two looks for speakers. Smaller rooms need none.
pub(super) const STOP_EVERY: usize = 64;

/// The frames of a pass, and what some connections have received of them early.
pub(super) struct Pass {
    pub(super) frames: Bytes,
    /// The messages among them.
    pub(super) messages: u64,
    /// How much that is, by the id of the connection.
    pub(super) received: HashMap<u64, Received>,
}

/// How much of the frames a connection has received.
#[derive(Clone, Copy, Default)]
pub(super) struct Received {
    pub(super) bytes: usize,
    pub(super) messages: u64,
}

/// What a speaker receives ahead of the next pass.
pub(super) struct Early {
    pub(super) speaker: Arc<Outbox>,
    pub(super) frames: Bytes,
    /// The messages among them.
    pub(super) messages: u64,
}

impl Early {
    /// Sends it. Returns how many messages the speaker has received by it.
    pub(super) fn send(&self) -> u64 {
        if self.speaker.send(&self.frames) { self.messages } else { 0 }
    }
}

impl Pass {
    /// Sends the frames to every connection. `early` says who is to receive what ahead of the next pass. Returns the
    /// messages that were delivered, each counted once for each connection.
    pub(super) fn send(mut self, connections: &[Arc<Outbox>], early: impl Fn() -> Vec<Early>) -> u64 {
        let mut delivered = 0;
        for (index, connection) in connections.iter().enumerate() {
            if index > 0 && index.is_multiple_of(STOP_EVERY) {
                let (_, to_come) = connections.split_at(index);
                delivered += early().into_iter().map(|early| self.send_early(&early, to_come)).sum::<u64>();
            }
            delivered += self.send_to(connection);
        }
        delivered
    }

    /// Sends a speaker the frames of this pass, unless it has received them, and then those of the next.
    fn send_early(&mut self, early: &Early, to_come: &[Arc<Outbox>]) -> u64 {
        let speaker = &early.speaker;
        let mut delivered = 0;
        if to_come.iter().any(|connection| connection.id == speaker.id) {
            delivered += self.send_to(speaker);
            self.received.insert(speaker.id, Received { bytes: self.frames.len(), messages: self.messages });
        }
        delivered + early.send()
    }

    fn send_to(&self, connection: &Outbox) -> u64 {
        let (took, messages) = match self.received.get(&connection.id) {
            None => (connection.send(&self.frames), self.messages),
            Some(received) if received.bytes < self.frames.len() => {
                (connection.send(&self.frames.slice(received.bytes..)), self.messages - received.messages)
            }
            Some(_) => (false, 0),
        };
        if took { messages } else { 0 }
    }
}
