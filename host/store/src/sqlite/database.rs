//! The database as everything that changes it sees it: one writer at a time, and what follows a failed write.
//!
//! After a failed sync the kernel's page cache cannot be trusted, so the database is reopened and compared with what
//! was acknowledged. If the disk holds less, or a caller would get an answer that may be wrong, the process ends: the
//! next start serves what the disk holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::Connection;

use super::health::Health;
use super::message_ids;
use super::oldest::Oldest;
use super::recovery::is_failed_sync;
use super::transaction::BatchWriter;
use super::unused_senders::UnusedSenders;
use crate::batch::{Batch, Entry};
use crate::cache::Cache;
use crate::error::StoreError;
use crate::outcomes::{Deletion, RoomOutcome};
use ondol_host_model::{MessageId, RoomDraft, RoomId, Seq};
use ondol_host_process::{exit, worker};

/// The writing connection behind its lock, and whether writing works.
pub(super) struct Database {
    writer: Mutex<BatchWriter>,
    cache: Arc<Cache>,
    health: Health,
    closed: AtomicBool,
}

impl Database {
    pub(super) fn new(writer: BatchWriter, cache: Arc<Cache>) -> Self {
        Self { writer: Mutex::new(writer), cache, health: Health::default(), closed: AtomicBool::new(false) }
    }

    /// Commits the batch that `next_batch` takes, in one transaction. The batch is taken last, so entries gather while
    /// another write holds the lock. If the transaction fails, no message is stored; after a failed sync the disk
    /// decides.
    pub(super) fn commit<T>(&self, next_batch: impl FnOnce() -> Vec<Entry<T>>) -> Batch<T> {
        let mut writer = self.writer();
        let entries = next_batch();
        let batch = match writer.store(&entries) {
            Ok(outcome) => {
                if outcome.written {
                    self.health.recovered();
                }
                let mut rejected = outcome.rejected;
                if rejected.is_empty() {
                    Batch::all_stored(entries)
                } else {
                    Batch::split(entries, |index, _| rejected.remove(&index))
                }
            }
            Err(error) => self.fail(&mut writer, entries, error),
        };
        // Before a member hears of it, and may ask for more.
        self.cache.committed(batch.stored.iter().filter_map(|entry| entry.message.as_ref()));
        batch
    }

    fn fail<T>(&self, writer: &mut BatchWriter, entries: Vec<Entry<T>>, error: rusqlite::Error) -> Batch<T> {
        let count = entries.len();
        tracing::error!(%error, entries = count, "batch of {count} entries not stored: {error}");
        let is_unknown = is_failed_sync(&error);
        let error = StoreError::from(error);
        self.health.failed(&error.to_string());
        if !is_unknown {
            return Batch::split(entries, |_, entry| entry.message.is_some().then(|| error.clone()));
        }
        self.reopen(writer);
        Batch::split(entries, |_, entry| {
            let message = entry.message.as_ref()?;
            let is_stored = writer.holds(message).unwrap_or_else(|error| end_process(&error.to_string()));
            (!is_stored).then(|| error.clone())
        })
    }

    /// Creates a room, or finds the one that its post has.
    pub(super) fn create_room(
        &self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        self.write_or_exit(|writer| writer.create_room(draft, post_id, owner))
    }

    /// Writes between two batches, in transactions of its own. Messages wait meanwhile, and so does the calling thread:
    /// it must not be a worker.
    pub(super) fn write<R>(
        &self,
        write: impl FnOnce(&mut Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.write_or_exit(|writer| write(&mut writer.connection))
    }

    /// Deletes messages of a room between two batches. The calling thread must not be a worker.
    pub(super) fn delete(&self, room: RoomId, seqs: &[Seq]) -> Result<Deletion, StoreError> {
        self.write_or_exit(|writer| {
            let deletion = writer.delete(room, seqs)?;
            self.cache.forget(room);
            Ok(deletion)
        })
    }

    /// Removes the oldest messages of rooms between two batches.
    pub(super) fn remove_oldest(&self, oldest: &Oldest) -> Result<(), StoreError> {
        self.try_write(|writer| {
            writer.remove_oldest(oldest)?;
            oldest.firsts.iter().for_each(|(room, first)| self.cache.forget_before(*room, *first));
            Ok(())
        })
    }

    /// Removes senders without messages between two batches.
    pub(super) fn remove_senders(&self, unused: &UnusedSenders) -> Result<(), StoreError> {
        self.try_write(|writer| Ok(writer.remove_senders(unused)?))
    }

    /// Runs `meanwhile` between two commits.
    pub(super) fn between_commits<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _writer = self.writer();
        meanwhile()
    }

    /// Records that a caller was told that this release is stored.
    pub(super) fn acknowledge_release(&self, number: u64) {
        self.writer().acknowledge_release(number);
    }

    /// Records that ids below `next` are used up.
    pub(super) fn save_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        Ok(message_ids::save_next(&self.writer().connection, next.0)?)
    }

    /// The reason why the database cannot be written to. None: it can.
    pub(super) fn failure(&self) -> Option<String> {
        self.health.failure()
    }

    /// Checks that the files are still those that were opened and, after a failure, whether writing works again.
    pub(super) fn check(&self) {
        if self.is_closed() {
            return;
        }
        let is_failing = self.health.failure().is_some();
        let mut writer = self.writer();
        if writer.was_changed_by_others() {
            self.cache.clear();
        }
        // A store that was closed meanwhile may have lost its files.
        if writer.files_were_replaced() && !self.is_closed() {
            self.verify(&mut writer, "the database's files were deleted or replaced");
        } else if is_failing {
            drop(writer);
            let _ = self.try_write(|writer| writer.probe());
        }
    }

    /// Compares the database with the disk after a checkpoint's sync has failed.
    pub(super) fn checkpoint_sync_failed(&self, reason: &str) {
        self.verify(&mut self.writer(), &format!("a checkpoint's sync failed: {reason}"));
    }

    /// Rejects rooms and releases from now on. Batches are still committed.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Closes the file: SQLite copies the write-ahead log into the database and removes it. Runs `last` on the connection
    /// before, unless the file is closed already.
    pub(super) fn finish(&self, last: impl FnOnce(&Connection)) {
        self.writer().close(last);
    }

    /// Writes something whose outcome the caller will report. After a failed sync the disk may hold it or not, and
    /// either answer could be wrong: the process ends before it gives one.
    fn write_or_exit<R>(&self, write: impl FnOnce(&mut BatchWriter) -> Result<R, StoreError>) -> Result<R, StoreError> {
        self.try_write(|writer| {
            let outcome = write(writer);
            if let Err(StoreError::Sqlite(error)) = &outcome
                && is_failed_sync(error)
            {
                writer.refuse_readers();
                end_process(&format!("a sync failed, so what was written may or may not be stored: {error}"));
            }
            outcome
        })
    }

    /// Writes in a transaction of its own, and reopens the database if its sync fails.
    fn try_write<R>(&self, write: impl FnOnce(&mut BatchWriter) -> Result<R, StoreError>) -> Result<R, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut writer = self.writer();
        let outcome = write(&mut writer);
        self.health.note(&outcome);
        if let Err(StoreError::Sqlite(error)) = &outcome
            && is_failed_sync(error)
        {
            self.reopen(&mut writer);
        }
        outcome
    }

    fn verify(&self, writer: &mut BatchWriter, reason: &str) {
        tracing::error!(reason, "reopening the database: {reason}");
        self.health.failed(reason);
        self.reopen(writer);
    }

    /// Reopens the database, which shows what the disk holds. Ends the process if that is less than what was
    /// acknowledged.
    fn reopen(&self, writer: &mut BatchWriter) {
        worker::hand_off();
        self.cache.clear();
        match writer.reopen() {
            Ok(()) => tracing::warn!("the database was reopened: the disk holds everything that was acknowledged"),
            Err(reason) => {
                writer.refuse_readers();
                end_process(&reason)
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The writer. A panic may have left a transaction open, which is rolled back.
    fn writer(&self) -> MutexGuard<'_, BatchWriter> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = poisoned.into_inner();
            writer.roll_back();
            self.writer.clear_poison();
            writer
        })
    }
}

/// Ends the process before it answers anything more: the disk lost what was acknowledged, cannot be read, or may hold
/// what would be reported as failed.
fn end_process(reason: &str) -> ! {
    tracing::error!(reason, "the server ends, because the disk may not hold what was acknowledged: {reason}");
    exit::now(1)
}
