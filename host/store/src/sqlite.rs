//! The store in a file, by SQLite: one writer at a time, readers beside it.
//!
//! The database is in WAL mode, so readers and the writer do not wait for each other. Under [`Synchronous::Full`] what is
//! committed is on disk.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

// Messages: what one transaction writes.
mod commit_time;
mod insert;
mod message_ids;
mod senders;
mod transaction;

// Rooms and the index of their messages.
mod message_key;
mod room_index;
mod room_messages;
mod room_rows;
mod rows;
mod segments;
mod stretch;
mod unindexed;

// Messages that are kept no longer.
mod deletion;
mod deletion_marks;
mod oldest;
mod retention;
mod unused_senders;
mod user_messages;
pub(super) use user_messages::UserSearch;

// Handler releases.
mod release_events;
mod release_history;
mod releases;
mod versions;
pub(super) use release_history::ReleaseHistory;

// The database's file, and the connections to it.
mod checkpoint;
mod database;
mod epoch;
mod files;
mod health;
mod readers;
mod recovery;
mod setup;

// Offline tools.
mod archive;
mod backup;
mod export;
mod import;
mod import_check;
mod import_progress;
mod migrating;
mod replace;
mod restore;
mod verify;
mod watch;
pub use archive::{Archive, ArchiveError, schema_version};
pub use backup::{Backup, BackupError, Contents, backup};
pub use export::ExportBounds;
pub use import::{ImportLock, ImportRow, Importer};
pub use import_check::{Finding, ImportCheck, Repeated};
pub use import_progress::ImportProgress;
pub(crate) use migrating::MigrationSource;
pub use replace::{give_name, with_suffix};
pub use restore::{RestoreError, Restored, restore};
pub use verify::verify;
pub use watch::{Report, Watch};

use crate::batch::{Batch, Entry};
use crate::cache::{Asked, Cache, MESSAGES_MAX, Ring};
use crate::error::StoreError;
use crate::limits::{StoreLimits, Synchronous};
use crate::outcomes::RoomOutcome;
use crate::page::Page;
use commit_time::CommitTime;
use database::Database;
use deletion_marks::DeletionMarks;
use epoch::Epoch;
use files::Files;
use ondol_host_model::{Message, MessageId, Room, RoomDraft, RoomId, Seq};
use readers::Readers;
use transaction::BatchWriter;
use unindexed::{Unindexed, UnindexedByRoom};

/// A database in a file.
pub(super) struct Sqlite {
    database: Arc<Database>,
    cache: Arc<Cache>,
    readers: Arc<Readers>,
    unindexed: UnindexedByRoom,
    releases: ReleaseHistory,
    epoch: Epoch,
    /// All ids from here on are free.
    next_id: AtomicU64,
    commit_time: CommitTime,
    page_bytes_max: usize,
    deletion_marks: DeletionMarks,
    _retention: Option<retention::Stop>,
    /// Keeps other servers off the database until it is closed.
    lock: Mutex<Option<std::fs::File>>,
}

impl Sqlite {
    /// Opens a database. Creates it, or brings its schema up to date.
    ///
    /// # Errors
    ///
    /// If SQLite is too old, another server is using the database, or the file is unusable.
    pub(super) fn open(path: &Path, synchronous: Synchronous, limits: &StoreLimits) -> Result<Self, StoreError> {
        let lock = setup::lock(path)?;
        let (files, checkpoint_requested) = Files::new(path, synchronous);
        let files = Arc::new(files);
        let mut connection = setup::open(path, synchronous)?;
        import_progress::refuse_unfinished(&connection)?;
        let epoch = Epoch::settle(path, &connection, synchronous)?;
        let next_id = AtomicU64::new(message_ids::first_free(&connection)?);
        files.request_checkpoints(&mut connection)?;
        let writer = BatchWriter::new(&files, connection)?;
        let (unindexed, deletion_marks) = (writer.unindexed(), writer.deletion_marks());
        let cache = Arc::new(Cache::new(limits.history_cache_bytes_max));
        let database = Arc::new(Database::new(writer, Arc::clone(&cache)));
        checkpoint::start(&files, &database, checkpoint_requested)
            .map_err(|error| StoreError::Thread(error.to_string()))?;
        let readers = Arc::clone(&files.readers);
        let retention = retention::start(limits.retention, &database, &readers, &unindexed)
            .map_err(|error| StoreError::Thread(error.to_string()))?;
        Ok(Self {
            releases: ReleaseHistory::new(Arc::clone(&database), Arc::clone(&readers)),
            database,
            cache,
            readers,
            unindexed,
            epoch,
            next_id,
            commit_time: CommitTime::default(),
            page_bytes_max: limits.page_bytes_max,
            deletion_marks,
            _retention: retention,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Commits the batch that `next_batch` takes, and measures it. Waits for the disk on the calling thread.
    pub(super) fn commit<T>(&self, next_batch: impl FnOnce() -> Vec<Entry<T>>) -> (Batch<T>, Duration) {
        self.commit_time.run(|| self.database.commit(next_batch))
    }

    pub(super) fn next_id(&self) -> MessageId {
        MessageId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.database.failure()
    }

    pub(super) fn epoch(&self) -> &str {
        self.epoch.name()
    }

    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let readers = Arc::clone(&self.readers);
        let ask = move || readers.read_blocking(|connection| connection.query_row("SELECT 1", [], |_| Ok(())));
        tokio::task::spawn_blocking(ask).await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn create_room(
        &self,
        draft: RoomDraft,
        post_id: Option<u64>,
        owner: Option<String>,
    ) -> Result<RoomOutcome, StoreError> {
        self.blocking(move |database| database.create_room(&draft, post_id, owner.as_deref())).await
    }

    /// Runs what writes and waits for the disk.
    async fn blocking<R: Send + 'static>(
        &self,
        write: impl FnOnce(&Database) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || write(&database)).await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let read = || self.readers.read(move |connection| room_rows::find(connection, id));
        self.cache.rooms.find(id, read).await
    }

    pub(super) async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        self.readers.read(move |connection| room_rows::list(connection, after, limit)).await
    }

    pub(super) async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
        let bytes_max = self.page_bytes_max;
        let asked = Asked { room, page, limit, bytes_max };
        if let Some(messages) = self.cache.latest.page(asked, || self.latest(room)).await? {
            return Ok(messages);
        }
        let read = move |connection: &Connection, unindexed: &Unindexed| {
            room_messages::page(connection, unindexed, room, page, limit, bytes_max)
        };
        self.read_room(room, read).await
    }

    async fn latest(&self, room: RoomId) -> Result<Ring, StoreError> {
        let bytes_max = self.cache.latest.room_bytes_max();
        let read = move |connection: &Connection, unindexed: &Unindexed| {
            room_messages::latest(connection, unindexed, room, MESSAGES_MAX, bytes_max)
        };
        self.read_room(room, read).await
    }

    pub(super) fn reads(&self) -> u64 {
        self.readers.count()
    }

    pub(super) fn log_bytes(&self) -> u64 {
        self.readers.log_bytes()
    }

    pub(super) async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        self.readers.read(move |connection| rows::last_seq(connection, room)).await
    }

    pub(super) async fn by_client_id(
        &self,
        room: RoomId,
        sender: String,
        client_id: String,
    ) -> Result<Option<Message>, StoreError> {
        self.readers.read(move |connection| rows::by_client_id(connection, room, &sender, &client_id)).await
    }

    pub(super) async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
        let read = move |connection: &Connection, unindexed: &Unindexed| {
            room_messages::has_message(connection, unindexed, room, id)
        };
        self.read_room(room, read).await
    }

    async fn read_room<R: Send + 'static>(
        &self,
        room: RoomId,
        read: impl FnOnce(&Connection, &Unindexed) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let unindexed = self.unindexed.clone();
        self.readers.read(move |connection| read(connection, &unindexed.of(room))).await
    }

    pub(super) fn releases(&self) -> &ReleaseHistory {
        &self.releases
    }

    pub(super) fn close(&self) {
        self.database.close();
    }

    /// Closes the file, so that a copy of it alone is the whole database, and the next server may open it. Records the id of
    /// the next message, so that ids continue without a gap.
    pub(super) fn finish(&self) {
        if let Err(error) = self.database.save_next_id(MessageId(self.next_id.load(Ordering::Relaxed))) {
            tracing::warn!(%error, "next message id not recorded: the next start skips some ids");
        }
        self.close_file();
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn close_file(&self) {
        self.database.finish(|connection| self.epoch.renew(connection));
    }
}

/// Closes the file, although the checkpoint thread may still be ending, so that the next process that opens it finds it
/// free.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.database.close();
        self.close_file();
    }
}

#[cfg(test)]
pub(super) mod tests;
