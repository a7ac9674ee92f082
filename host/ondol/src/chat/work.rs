//! What every room works with, and the leader's commit: whoever brings a message while nobody commits sees to it that what
//! has gathered is committed, and then publishes it.
//!
//! The commit runs on the worker that brought the message, so a quiet message wakes no thread on its way to the disk and
//! back. Before it begins, the worker takes what other connections have ready: under load that is a batch, and when it is
//! quiet it is nothing and costs nothing. While the leader waits for the disk or writes to sockets, the next batch gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::claims::{self, Claim, Waiter};
use super::place::Place;
use super::reply::{Reply, SayError};
use crate::config::Limits;
use ondol_host_model::MessageId;
use ondol_host_rooms::{Flow, InFlight};
use ondol_host_store::{Batch, Entry, Failed, Store, Turn};

/// Where commits usually take longer than this, they leave their worker to others. A disk with a cache or a flash memory
/// answers in less.
const SLOW_COMMIT: Duration = Duration::from_millis(5);

/// A room of at most so many connections is written to by whoever committed; others by a task of their own.
pub(super) const SMALL_ROOM: usize = 64;

/// How often the end of a process looks whether all is done.
const SETTLE_LOOK: Duration = Duration::from_millis(1);

/// How many times the leader lets others bring more before it commits.
const GATHER_MAX: usize = 8;

/// What every room works with.
pub(super) struct Work {
    pub(super) store: Store<Posted>,
    pub(super) limits: Limits,
    pub(super) runtime: Handle,
    next_id: AtomicU64,
    /// What is accepted and not committed.
    queued: Arc<Flow>,
    /// How long a commit takes.
    commits: Usual,
    /// Batches that are being committed or published.
    under_way: AtomicUsize,
    /// How many messages the last batch had.
    last_batch: AtomicUsize,
}

/// What comes back from the store with each message.
pub(super) struct Posted {
    pub(super) place: Arc<Place>,
    pub(super) payload: String,
    /// None for what nobody waits to hear of.
    pub(super) reply: Option<Reply>,
    /// None for joins and leaves.
    pub(super) accepted: Option<Accepted>,
    /// Its client's own id for it.
    pub(super) claim: Option<Claim>,
}

/// What was accepted, as it is counted until dropped: among all that waits for the disk, and in flight.
pub(super) struct Accepted {
    queued: InFlight,
    in_flight: InFlight,
}

impl Accepted {
    pub(super) fn of(queued: InFlight, in_flight: InFlight) -> Self {
        Self { queued, in_flight }
    }

    pub(super) fn apart(self) -> (InFlight, InFlight) {
        (self.queued, self.in_flight)
    }

    /// Counts the event as well, once it is known.
    pub(super) fn cover(&mut self, event_bytes: usize) {
        self.queued.cover(event_bytes);
        self.in_flight.cover(event_bytes);
    }
}

impl Work {
    pub(super) fn new(store: Store<Posted>, limits: Limits, runtime: Handle) -> Self {
        let next_id = AtomicU64::new(store.first_free_id().0);
        let (commits, under_way, last_batch) = Default::default();
        let queued = Flow::new(limits.commit_queue_bytes_max);
        Self { store, limits, runtime, next_id, queued, commits, under_way, last_batch }
    }

    pub(super) fn next_id(&self) -> MessageId {
        MessageId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts what is accepted, in `flow` as well. None: `commit_queue_bytes_max` wait already.
    pub(super) fn accept(&self, flow: &Arc<Flow>, bytes: usize) -> Option<Accepted> {
        if !self.queued.is_low() {
            tracing::warn!(
                max = self.limits.commit_queue_bytes_max,
                "a message was not taken: commit_queue_bytes_max bytes wait for the disk"
            );
            return None;
        }
        Some(Accepted::of(self.queued.begin(bytes), flow.begin(bytes)))
    }

    /// Hands a message to the store, and sees to its commit when nobody does yet.
    pub(super) fn append(self: &Arc<Self>, entry: Entry<Posted>) -> Result<(), Box<Failed<Posted>>> {
        if self.store.append(entry)? == Turn::Yours {
            let work = Arc::clone(self);
            self.runtime.spawn(async move {
                loop {
                    work.gather().await;
                    if work.commit() == Turn::Theirs {
                        return;
                    }
                }
            });
        }
        Ok(())
    }

    /// Lets the worker take what is ready on other connections, for as long as that brings more. Not when the last batch was a
    /// single message and this one is: then it is quiet, and asking all sockets would wake another worker for nothing.
    async fn gather(&self) {
        let mut waiting = self.store.waiting();
        if waiting <= 1 && self.last_batch.load(Ordering::Relaxed) <= 1 {
            return;
        }
        for _ in 0..GATHER_MAX {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut waiting, self.store.waiting());
            if waiting == before {
                return;
            }
        }
    }

    /// Commits and publishes what was taken, then takes nothing more. Blocks until that is done.
    pub(super) fn close(self: &Arc<Self>) {
        self.settle();
        self.store.close();
        self.settle();
        if let Err(error) = self.store.keep_next_id(self.next_id()) {
            tracing::warn!(%error, "the next id was not recorded: some ids are left out");
        }
        self.store.finish();
    }

    /// Waits until nothing is on its way to the disk or from there to the sockets.
    fn settle(self: &Arc<Self>) {
        loop {
            match (self.under_way.load(Ordering::Acquire), self.store.waiting()) {
                (0, 0) => return,
                (0, _) => while self.commit() == Turn::Yours {},
                _ => std::thread::sleep(SETTLE_LOOK),
            }
        }
    }

    /// Commits what has gathered and publishes it. To hand a worker's other tasks to a thread costs as much as a tenth of a
    /// busy commit, so it is not done for a single commit that took long, as happens where the CPUs are busy.
    fn commit(self: &Arc<Self>) -> Turn {
        if self.commits.time() <= SLOW_COMMIT {
            return self.commit_here();
        }
        tokio::task::block_in_place(|| self.commit_here())
    }

    fn commit_here(self: &Arc<Self>) -> Turn {
        let batch = Arc::new(UnderWay::begin(self));
        let started = Instant::now();
        let mut rooms = Vec::new();
        let turn = self.store.commit(|batch| {
            self.last_batch.store(batch.stored.len(), Ordering::Relaxed);
            rooms = report(batch);
        });
        self.commits.took(started.elapsed());
        for place in rooms {
            if place.room.connections() <= SMALL_ROOM {
                place.publish();
                continue;
            }
            // The next batch does not wait for a large room's sockets.
            let batch = Arc::clone(&batch);
            self.runtime.spawn(async move {
                place.publish();
                drop(batch);
            });
        }
        turn
    }
}

/// How long something usually takes: each time counts a sixteenth, and those before it the rest. For one at a time to tell.
#[derive(Default)]
struct Usual(AtomicU64);

impl Usual {
    fn time(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn took(&self, time: Duration) {
        let time = self.time() * 15 / 16 + time / 16;
        self.0.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A batch from before its commit until it is published.
struct UnderWay(Arc<Work>);

impl UnderWay {
    fn begin(work: &Arc<Work>) -> Self {
        work.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(work))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Puts what was stored into its rooms and tells the senders of what was not. Gives the rooms that are to be published.
fn report(batch: Batch<Posted>) -> Vec<Arc<Place>> {
    let mut rooms = Vec::new();
    for Entry { message, then } in batch.stored {
        let Posted { place, payload, reply, accepted, claim } = then;
        // The id is freed before the room is told: a waiter is in the room by now, and a later frame finds the message stored.
        let (waiting, shared): (Vec<_>, Vec<_>) = match claim {
            Some(claim) => claim.end().into_iter().map(|Waiter { reply, in_flight }| (reply, in_flight)).unzip(),
            None => Default::default(),
        };
        let in_flight = accepted.map(|accepted| accepted.apart().1).into_iter().chain(shared);
        let due = place.room.put(&payload, reply.as_ref().and_then(Reply::outbox), in_flight);
        place.came_back(false);
        if let Some(message) = message {
            claims::stored(waiting, &message);
            if let Some(reply) = reply {
                reply.stored(message);
            }
        }
        if due {
            rooms.push(place);
        }
    }
    for Failed { entry, error } in batch.failed {
        let place = Arc::clone(&entry.then.place);
        tracing::warn!(room = place.id.0, %error, "a message was not stored");
        place.came_back(true);
        fail(entry, &SayError::NotStored);
    }
    rooms
}

/// Tells a sender, and all who sent the same, that their message came to nothing.
pub(super) fn fail(entry: Entry<Posted>, error: &SayError) {
    let Posted { reply, claim, .. } = entry.then;
    let client_id = entry.message.as_ref().and_then(|message| message.draft.client_id.as_deref());
    claims::fail(claim, error, || {
        if let Some(reply) = reply {
            reply.failed(error.clone(), client_id);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_told_from_one_slow_commit() {
        let commits = Usual::default();
        let slow_after = |ms: &[u64]| {
            ms.iter().for_each(|ms| commits.took(Duration::from_millis(*ms)));
            commits.time() > SLOW_COMMIT
        };
        assert!(!slow_after(&[1; 100]));
        assert!(!slow_after(&[30]), "the CPU was somebody else's");
        assert!(!slow_after(&[1, 1, 1, 30]));
        assert!(slow_after(&[12; 8]), "a disk that turns");
        assert!(slow_after(&[12, 1, 12, 12]));
        assert!(!slow_after(&[1; 16]), "it is quick again");
        assert!(slow_after(&[10_000]) && !slow_after(&[1; 100]), "one that stood still is forgotten");
    }
}
