//! What every room works with, and the leader's commit: whoever brings a message while nobody commits sees to it that what
//! has gathered is committed, and then publishes it.
//!
//! The commit runs on the worker that brought the message, so a quiet message wakes no thread on its way to the disk and
//! back. Before it begins, the worker takes what other connections have ready: under load that is a batch, and when it is
//! quiet it is nothing and costs nothing. While the leader waits for the disk or writes to sockets, the next batch gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::place::Place;
use super::reply::{Reply, SayError};
use crate::config::Limits;
use crate::model::MessageId;
use crate::store::{Batch, Entry, Failed, Store, Turn};

/// A commit that takes longer than this leaves its worker to others the next time. A disk with a cache or a flash memory
/// answers in less.
const SLOW_COMMIT: Duration = Duration::from_millis(5);

/// How many times the leader lets others bring more before it commits.
const GATHER_MAX: usize = 8;

/// What every room works with.
pub(super) struct Work {
    pub(super) store: Store<Posted>,
    pub(super) limits: Limits,
    pub(super) runtime: Handle,
    next_id: AtomicU64,
    slow_disk: AtomicBool,
}

/// What comes back from the store with each message.
pub(super) struct Posted {
    pub(super) place: Arc<Place>,
    pub(super) payload: String,
    /// None for what nobody waits to hear of.
    pub(super) reply: Option<Reply>,
}

impl Work {
    pub(super) fn new(store: Store<Posted>, limits: Limits, runtime: Handle) -> Self {
        let next_id = AtomicU64::new(store.first_free_id().0);
        Self { store, limits, runtime, next_id, slow_disk: AtomicBool::new(false) }
    }

    pub(super) fn next_id(&self) -> MessageId {
        MessageId(self.next_id.fetch_add(1, Ordering::Relaxed))
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

    /// Lets the worker take what is ready on other connections, for as long as that brings more.
    async fn gather(&self) {
        let mut waiting = self.store.waiting();
        for _ in 0..GATHER_MAX {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut waiting, self.store.waiting());
            if waiting == before {
                return;
            }
        }
    }

    /// Takes nothing more, and commits what was taken.
    pub(super) fn close(&self) {
        self.store.close();
        while self.commit() == Turn::Yours {}
    }

    /// Commits what has gathered and publishes it.
    fn commit(&self) -> Turn {
        if self.slow_disk.load(Ordering::Relaxed) {
            tokio::task::block_in_place(|| self.commit_here())
        } else {
            self.commit_here()
        }
    }

    fn commit_here(&self) -> Turn {
        let started = Instant::now();
        let mut rooms = Vec::new();
        let turn = self.store.commit(|batch| rooms = report(batch));
        self.slow_disk.store(started.elapsed() > SLOW_COMMIT, Ordering::Relaxed);
        for place in rooms {
            place.publish(&self.runtime);
        }
        turn
    }
}

/// Puts what was stored into its rooms and tells the senders of what was not. Gives the rooms that are to be published.
fn report(batch: Batch<Posted>) -> Vec<Arc<Place>> {
    let mut rooms = Vec::new();
    for Entry { message, then: Posted { place, payload, reply } } in batch.stored {
        let due = place.room.put(&payload);
        place.came_back(false);
        if let Some(message) = message {
            if message.draft.client_id.is_some() {
                place.give_back(&message.sender, &message.draft);
            }
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
        place.fail(entry, &SayError::NotStored);
    }
    rooms
}
