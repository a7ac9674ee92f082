//! Group commit: the first to append an entry while no commit runs becomes the leader and commits for all who append one
//! meanwhile, its followers. A batch is a single message when it is quiet and grows by itself under load, and no message waits
//! for a thread to wake. What is written, and how, is the [desk](super::desk)'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::commit_time::CommitTime;
use super::desk::Desk;
use super::health::Health;
use super::ids;
use super::reopen::is_failed_sync;
use super::{RoomOutcome, StoreError};
use crate::limits::StoreLimits;
use ondol_host_model::{Message, MessageId, RoomDraft};
use ondol_host_process::{exit, worker};

/// A message that waits to be committed, and what the caller wants back with it.
#[derive(Debug)]
pub struct Entry<T> {
    /// What is stored. None: nothing is, and this only comes back in its turn.
    pub message: Option<Message>,
    /// What comes back.
    pub context: T,
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

/// The way to the file for everything that changes it.
pub(super) struct Writer<T> {
    queue: Mutex<Queue<T>>,
    desk: Mutex<Desk>,
    health: Health,
    commit_time: CommitTime,
    queue_max: usize,
    batch_max: usize,
}

struct Queue<T> {
    entries: Vec<Entry<T>>,
    /// A leader will commit what is here.
    led: bool,
    closed: bool,
}

impl<T> Writer<T> {
    pub(super) fn new(desk: Desk, limits: &StoreLimits) -> Self {
        Self {
            queue: Mutex::new(Queue { entries: Vec::new(), led: false, closed: false }),
            desk: Mutex::new(desk),
            health: Health::default(),
            commit_time: CommitTime::default(),
            queue_max: limits.commit_queue_max,
            batch_max: limits.commit_batch_max,
        }
    }

    pub(super) fn append(self: &Arc<Self>, entry: Entry<T>) -> Result<Option<Leader<T>>, Box<Failed<T>>> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Box::new(Failed { entry, error: StoreError::Closed }));
        }
        if queue.entries.len() >= self.queue_max {
            return Err(Box::new(Failed { entry, error: StoreError::Busy(self.queue_max) }));
        }
        queue.entries.push(entry);
        let led = std::mem::replace(&mut queue.led, true);
        Ok((!led).then(|| Leader { writer: Arc::clone(self), leads: true }))
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue().entries.len()
    }

    pub(super) fn lead_the_rest(self: &Arc<Self>) -> Option<Leader<T>> {
        let mut queue = self.queue();
        if queue.led || queue.entries.is_empty() {
            return None;
        }
        queue.led = true;
        Some(Leader { writer: Arc::clone(self), leads: true })
    }

    /// The entries of the next batch.
    fn next_batch(&self) -> Vec<Entry<T>> {
        let mut queue = self.queue();
        let rest = match queue.entries.len() {
            count if count > self.batch_max => queue.entries.split_off(self.batch_max),
            // The next batch is likely to be like this one.
            count => Vec::with_capacity(count),
        };
        std::mem::replace(&mut queue.entries, rest)
    }

    /// One transaction for all of them. When it fails, none is stored; after a failed sync the disk tells which are.
    fn store(&self, desk: &mut Desk, entries: Vec<Entry<T>>) -> Batch<T> {
        match desk.store(&entries) {
            Ok(stored) => {
                if stored.written {
                    self.health.recovered();
                }
                let mut refused = stored.refused;
                if refused.is_empty() {
                    return Batch { stored: entries, failed: Vec::new() };
                }
                part(entries, |index, _| refused.remove(&index))
            }
            Err(error) => {
                tracing::error!(%error, messages = entries.len(), "messages could not be stored");
                let unknown = is_failed_sync(&error);
                let error = StoreError::from(error);
                self.health.failed(&error.to_string());
                if !unknown {
                    return part(entries, |_, entry| entry.message.is_some().then(|| error.clone()));
                }
                self.reopen(desk);
                part(entries, |_, entry| {
                    let message = entry.message.as_ref()?;
                    let there = desk.holds(message).unwrap_or_else(|error| give_up(&error.to_string()));
                    (!there).then(|| error.clone())
                })
            }
        }
    }

    pub(super) fn create_room(
        &self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        self.write_or_end(|desk| desk.create_room(draft, post_id, owner))
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
        self.write_or_end(|desk| errand(&mut desk.connection))
    }

    /// Writes something that will be answered. When its sync failed, the disk may have it or not, and either answer could be wrong:
    /// the process ends before it gives one, and the next start has what the disk has.
    fn write_or_end<R>(&self, write: impl FnOnce(&mut Desk) -> Result<R, StoreError>) -> Result<R, StoreError> {
        self.write(|desk| {
            let done = write(desk);
            if let Err(StoreError::Sqlite(error)) = &done
                && is_failed_sync(error)
            {
                desk.refuse_readers();
                give_up(&format!("a sync failed, so it is not known whether a room or a release is stored: {error}"));
            }
            done
        })
    }

    /// Writes with a transaction of its own, and reopens the database when its sync failed.
    fn write<R>(&self, write: impl FnOnce(&mut Desk) -> Result<R, StoreError>) -> Result<R, StoreError> {
        if self.queue().closed {
            return Err(StoreError::Closed);
        }
        let mut desk = self.desk();
        let done = write(&mut desk);
        self.health.note(&done);
        if let Err(StoreError::Sqlite(error)) = &done
            && is_failed_sync(error)
        {
            self.reopen(&mut desk);
        }
        done
    }

    /// Remembers that a release was answered as recorded.
    pub(super) fn answered_release(&self, number: u64) {
        self.desk().answered_release(number);
    }

    /// What keeps the database from being written to.
    pub(super) fn failure(&self) -> Option<String> {
        self.health.failure()
    }

    /// Looks after the database between commits: whether its files are still those that were opened, and, after a failure,
    /// whether it can be written to again.
    pub(super) fn look_after(&self) {
        if self.queue().closed {
            return;
        }
        let failing = self.health.failure().is_some();
        let mut desk = self.desk();
        // One that was closed meanwhile may have lost its files.
        if desk.files_were_replaced() && !self.queue().closed {
            let reason = "the database's files were deleted or replaced";
            tracing::error!(reason);
            self.health.failed(reason);
            self.reopen(&mut desk);
        } else if failing {
            drop(desk);
            let _ = self.write(|desk| desk.probe());
        }
    }

    /// A checkpoint's sync failed.
    pub(super) fn distrust(&self, reason: &str) {
        self.health.failed(reason);
        let mut desk = self.desk();
        self.reopen(&mut desk);
    }

    /// Reopens the database, which tells what of it the disk holds. Ends the process when that is less than what was answered.
    fn reopen(&self, desk: &mut Desk) {
        worker::hand_off();
        match desk.reopen() {
            Ok(()) => tracing::warn!("the database was reopened, and everything that was answered is there"),
            Err(reason) => {
                desk.refuse_readers();
                give_up(&reason)
            }
        }
    }

    pub(super) fn close(&self) {
        self.queue().closed = true;
    }

    /// Closes the file: what the write-ahead log holds goes into the database, and the log is removed.
    pub(super) fn finish(&self) {
        self.desk().close();
    }

    pub(super) fn keep_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        Ok(ids::keep(&self.desk().connection, next.0)?)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk, as it has to be found: whoever panicked at it may have left a transaction open.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(|poisoned| {
            let mut desk = poisoned.into_inner();
            desk.start_over();
            self.desk.clear_poison();
            desk
        })
    }
}

/// Ends the process: the disk lost what was answered as stored, cannot be read any more, or may hold what would be answered as
/// failed. Nothing more is answered.
fn give_up(reason: &str) -> ! {
    tracing::error!(reason, "the disk can no longer be trusted with what was answered: the server ends");
    exit::now(1)
}

/// Parts those that failed from those that did not, in their order.
fn part<T>(entries: Vec<Entry<T>>, mut why: impl FnMut(usize, &Entry<T>) -> Option<StoreError>) -> Batch<T> {
    let mut batch = Batch { stored: Vec::with_capacity(entries.len()), failed: Vec::new() };
    for (index, entry) in entries.into_iter().enumerate() {
        match why(index, &entry) {
            Some(error) => batch.failed.push(Failed { entry, error }),
            None => batch.stored.push(entry),
        }
    }
    batch
}

/// The leader of a group commit: it alone commits, and it stays the leader until what it committed is published, so batches are
/// published in the order of their commits. Dropped, by a panic too, it gives up the lead: the next to append takes it.
#[must_use]
pub struct Leader<T> {
    writer: Arc<Writer<T>>,
    /// Not after it stepped down: another may lead by now.
    leads: bool,
}

impl<T> Leader<T> {
    /// Commits the entries that have gathered as one transaction, and returns what became of them.
    ///
    /// With SQLite it is ready at once and has waited for the disk meanwhile; where commits are usually slow, the worker's other
    /// tasks were handed off before.
    #[expect(clippy::unused_async, reason = "a database across a network answers later")]
    pub async fn commit(&mut self) -> Batch<T> {
        let writer = &self.writer;
        writer.commit_time.run(|| {
            let mut desk = writer.desk();
            let entries = writer.next_batch();
            writer.store(&mut desk, entries)
        })
    }

    /// Gives up the lead unless more has gathered.
    pub fn step_down(mut self) -> Option<Self> {
        let mut queue = self.writer.queue();
        if !queue.entries.is_empty() {
            drop(queue);
            return Some(self);
        }
        queue.led = false;
        drop(queue);
        self.leads = false;
        None
    }
}

impl<T> Drop for Leader<T> {
    fn drop(&mut self) {
        if self.leads {
            self.writer.queue().led = false;
        }
    }
}
