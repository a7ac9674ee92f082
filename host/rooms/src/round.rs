//! One run on its way to everyone in a room, and who may hear of the next one before it is there. Knows nothing of who is in
//! the room.
//!
//! A round through a large room takes as long as many commits, and whoever spoke waits for their own event before they say
//! the next. So what has been put meanwhile goes to those who said it, and to nobody else: they go on, and the others hear of
//! more in the next round, with one write each. Everyone still receives every byte once, in the one order.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Outbox;

/// How many connections are written to before the round looks for what its speakers wait for.
pub(super) const LOOK_EVERY: usize = 64;

/// Frames that were put, and who put them.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) run: Bytes,
    pub(super) speakers: Vec<Arc<Outbox>>,
}

/// Runs that come after the one that is on its way to everyone, and those who have heard some of them already.
#[derive(Default)]
pub(super) struct Ahead {
    runs: Vec<Bytes>,
    /// With how many of the runs each has heard.
    by: Vec<(Arc<Outbox>, usize)>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds a run, and sends it, and what they have missed before it, to those who spoke in it.
    fn add(&mut self, taken: Taken) {
        if !taken.run.is_empty() {
            self.runs.push(taken.run);
        }
        for speaker in taken.speakers {
            let place = self.by.iter().position(|(outbox, _)| Arc::ptr_eq(outbox, &speaker));
            let place = place.unwrap_or_else(|| {
                self.by.push((speaker, 0));
                self.by.len() - 1
            });
            if let Some((outbox, heard)) = self.by.get_mut(place) {
                catch_up(&self.runs, outbox, heard);
            }
        }
    }

    /// All runs as one, and those who have heard it, once they all have.
    fn into_whole(mut self) -> (Bytes, Vec<Arc<Outbox>>) {
        for (outbox, heard) in &mut self.by {
            catch_up(&self.runs, outbox, heard);
        }
        let whole = match self.runs.len() {
            0 | 1 => self.runs.pop().unwrap_or_default(),
            _ => Bytes::from_owner(Whole::of(self.runs)),
        };
        (whole, self.by.into_iter().map(|(outbox, _)| outbox).collect())
    }
}

/// Several runs as one. It holds them as well: their messages are in flight until every socket has taken the whole.
struct Whole {
    bytes: Bytes,
    _runs: Vec<Bytes>,
}

impl Whole {
    fn of(runs: Vec<Bytes>) -> Self {
        let mut bytes = BytesMut::with_capacity(runs.iter().map(Bytes::len).sum());
        runs.iter().for_each(|run| bytes.extend_from_slice(run));
        Self { bytes: bytes.freeze(), _runs: runs }
    }
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sends a connection the runs that it has not heard.
fn catch_up(runs: &[Bytes], outbox: &Outbox, heard: &mut usize) {
    for run in runs.get(*heard..).unwrap_or_default() {
        outbox.send(run);
    }
    *heard = runs.len();
}

/// Sends what was taken, after what some have heard ahead, to all connections. `look` gives what has been put meanwhile by
/// somebody who waits for it. What was told of that ahead of the next round comes back.
pub(super) fn go_round(
    mut ahead: Ahead,
    taken: Taken,
    connections: &[Arc<Outbox>],
    mut look: impl FnMut() -> Option<Taken>,
) -> Ahead {
    let (whole, mut heard) = if ahead.is_empty() && taken.speakers.is_empty() {
        (taken.run, Vec::new())
    } else {
        ahead.add(taken);
        ahead.into_whole()
    };
    let mut next = Ahead::default();
    for (index, connection) in connections.iter().enumerate() {
        if index % LOOK_EVERY == LOOK_EVERY - 1
            && let Some(taken) = look()
        {
            let to_come = connections.get(index..).unwrap_or_default();
            for speaker in &taken.speakers {
                // Nobody hears of a run before the one before it.
                if holds(to_come, speaker) && !holds(&heard, speaker) {
                    speaker.send(&whole);
                    heard.push(Arc::clone(speaker));
                }
            }
            next.add(taken);
        }
        if !holds(&heard, connection) {
            connection.send(&whole);
        }
    }
    next
}

fn holds(connections: &[Arc<Outbox>], one: &Arc<Outbox>) -> bool {
    connections.iter().any(|connection| Arc::ptr_eq(connection, one))
}
