//! The one writer, which is whoever brings a message while nobody writes: the leader commits for all who bring one
//! meanwhile. Whatever has gathered while a transaction was under way is the next one, so a batch is a single message when
//! it is quiet and grows by itself under load, and no message waits for a thread to wake.
//! What is written, and how, is the [desk](super::desk)'s.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::desk::Desk;
use super::ids;
use super::runs::Runs;
use super::{RoomOutcome, StoreError};
use crate::config::Limits;
use crate::model::{Message, MessageId, RoomDraft};

/// What an errand leaves to others after it.
const BREATH: Duration = Duration::from_micros(100);

/// A message on its way to the disk, and what the caller wants back with it.
#[derive(Debug)]
pub struct Entry<T> {
    /// What is stored. None: nothing is, and this only comes back in its turn.
    pub message: Option<Message>,
    /// What comes back.
    pub then: T,
}

/// An entry that was not stored.
#[derive(Debug)]
pub struct Failed<T> {
    /// The entry.
    pub entry: Entry<T>,
    /// Why.
    pub error: StoreError,
}

/// What one transaction did.
#[derive(Debug)]
pub struct Batch<T> {
    /// Committed, or with nothing to commit, in the order in which they were handed over.
    pub stored: Vec<Entry<T>>,
    /// Not stored.
    pub failed: Vec<Failed<T>>,
}

/// Whose turn it is to commit.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The caller's: it has to call [`super::Store::commit`] soon.
    Yours,
    /// Somebody else's, who commits this too.
    Theirs,
}

/// The way to the file for everything that changes it.
pub(super) struct Writer<T> {
    queue: Mutex<Queue<T>>,
    desk: Mutex<Desk>,
    door: Mutex<()>,
    queue_max: usize,
    batch_max: usize,
}

struct Queue<T> {
    entries: Vec<Entry<T>>,
    /// Somebody is to commit what is here.
    led: bool,
    closed: bool,
}

impl<T> Writer<T> {
    pub(super) fn new(connection: Connection, runs: Runs, limits: &Limits) -> Self {
        Self {
            queue: Mutex::new(Queue { entries: Vec::new(), led: false, closed: false }),
            desk: Mutex::new(Desk::new(connection, runs)),
            door: Mutex::default(),
            queue_max: limits.commit_queue_max,
            batch_max: limits.commit_batch_max,
        }
    }

    pub(super) fn append(&self, entry: Entry<T>) -> Result<Turn, Box<Failed<T>>> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Box::new(Failed { entry, error: StoreError::Closed }));
        }
        if queue.entries.len() >= self.queue_max {
            return Err(Box::new(Failed { entry, error: StoreError::Busy(self.queue_max) }));
        }
        queue.entries.push(entry);
        Ok(if std::mem::replace(&mut queue.led, true) { Turn::Theirs } else { Turn::Yours })
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue().entries.len()
    }

    pub(super) fn commit(&self, report: impl FnOnce(Batch<T>)) -> Turn {
        let lead = Lead(self);
        let mut desk = self.desk();
        let entries = {
            let mut queue = self.queue();
            let rest = match queue.entries.len() {
                count if count > self.batch_max => queue.entries.split_off(self.batch_max),
                // The next batch is likely to be like this one.
                count => Vec::with_capacity(count),
            };
            std::mem::replace(&mut queue.entries, rest)
        };
        if !entries.is_empty() {
            report(desk.store(entries));
        }
        drop(desk);
        lead.end()
    }

    pub(super) fn create_room(
        &self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        if self.queue().closed {
            return Err(StoreError::Closed);
        }
        self.desk().create_room(draft, post_id, owner)
    }

    /// Does something while nobody commits.
    pub(super) fn hold<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _desk = self.desk();
        meanwhile()
    }

    /// Does something else between two batches, with transactions of its own. For what is rare: messages wait meanwhile. Not
    /// for a worker.
    pub(super) fn run<R>(
        &self,
        errand: impl FnOnce(&mut Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        if self.queue().closed {
            return Err(StoreError::Closed);
        }
        let done = errand(&mut self.desk().connection);
        // Whoever waited has the desk next; this gives them a CPU as well, before there is another errand.
        std::thread::sleep(BREATH);
        done
    }

    pub(super) fn close(&self) {
        self.queue().closed = true;
    }

    pub(super) fn keep_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        Ok(ids::keep(&self.desk().connection, next.0)?)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk, as it has to be found: whoever panicked at it may have left a transaction open. By way of a door, so that
    /// the leader who comes again at once does not pass by whoever waits.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.desk.lock().unwrap_or_else(|poisoned| {
            let mut desk = poisoned.into_inner();
            desk.start_over();
            self.desk.clear_poison();
            desk
        })
    }
}

/// The lead over what has gathered, given up even by a panic: the next who brings a message takes it.
struct Lead<'a, T>(&'a Writer<T>);

impl<T> Lead<'_, T> {
    /// Keeps it when more has gathered.
    fn end(self) -> Turn {
        let mut queue = self.0.queue();
        queue.led = !queue.entries.is_empty();
        let turn = if queue.led { Turn::Yours } else { Turn::Theirs };
        drop(queue);
        std::mem::forget(self);
        turn
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        self.0.queue().led = false;
    }
}
