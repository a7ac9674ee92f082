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
    /// The number of bytes, by the id of the connection.
    pub(super) received: HashMap<u64, usize>,
}

/// What a speaker receives ahead of the next pass.
pub(super) struct Early {
    pub(super) speaker: Arc<Outbox>,
    pub(super) frames: Bytes,
}

impl Pass {
    /// Sends the frames to every connection. `early` says who is to receive what ahead of the next pass.
    pub(super) fn send(mut self, connections: &[Arc<Outbox>], early: impl Fn() -> Vec<Early>) {
        for (index, connection) in connections.iter().enumerate() {
            if index > 0 && index.is_multiple_of(STOP_EVERY) {
                let (_, to_come) = connections.split_at(index);
                early().into_iter().for_each(|early| self.send_early(early, to_come));
            }
            self.send_to(connection);
        }
    }

    /// Sends a speaker the frames of this pass, unless it has received them, and then those of the next.
    fn send_early(&mut self, Early { speaker, frames }: Early, to_come: &[Arc<Outbox>]) {
        if to_come.iter().any(|connection| connection.id == speaker.id) {
            self.send_to(&speaker);
            self.received.insert(speaker.id, self.frames.len());
        }
        speaker.send(&frames);
    }

    fn send_to(&self, connection: &Outbox) {
        match self.received.get(&connection.id) {
            None => connection.send(&self.frames),
            Some(&received) if received < self.frames.len() => connection.send(&self.frames.slice(received..)),
            Some(_) => {}
        }
    }
}
