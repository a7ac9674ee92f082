//! Rooms, messages and handler releases in SQLite: one writer at a time, readers beside it. Knows nothing of sockets,
//! members or WebAssembly: to the store a version is bytes.
//!
//! The database is in WAL mode, so readers and the writer do not wait for each other. An entry that [`Leader::commit`]
//! returns as stored is committed; under [`Synchronous::Full`] it is on disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

mod limits;
pub use limits::{MessageRetention, StoreLimits, Synchronous};

mod error;
pub use error::StoreError;

// Messages: group commit, and what one transaction writes.
mod batch;
mod commit_time;
mod figures;
mod group_commit;
mod insert;
mod message_ids;
mod senders;
mod transaction;
pub use batch::{Batch, Entry, Failed};
pub use figures::{PowersOfTwoRow, StoreFigures};
pub use group_commit::Leader;

// Rooms, the index of their messages, and what of them is in memory.
mod cache;
mod message_key;
mod room_index;
mod room_messages;
mod room_rows;
mod rows;
mod segments;
mod stretch;
mod unindexed;
pub use room_messages::Page;
pub use room_rows::RoomOutcome;

// Messages that are kept no longer.
mod deletion;
mod deletion_marks;
mod oldest;
mod retention;
mod unused_senders;
mod user_messages;
pub use deletion::{Deleted, Deletion};
pub use user_messages::UserSearch;

// Handler releases.
mod release_events;
mod release_history;
mod releases;
mod versions;
pub use release_events::StoredEvent;
pub use release_history::{DirectorySnapshot, ReleaseHistory};
pub use releases::{ReleaseRecord, Retention, StoredRelease};
pub use versions::{AboutVersion, StoredVersion};

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
pub use replace::{give_name, with_suffix};
pub use restore::{RestoreError, Restored, restore};
pub use verify::{Problems, Verified, verify};
pub use watch::{Report, Watch};

use cache::{Asked, Cache, MESSAGES_MAX, Ring};
use database::Database;
use deletion_marks::DeletionMarks;
use epoch::Epoch;
use files::Files;
use group_commit::GroupCommit;
use ondol_host_model::{Message, MessageId, Room, RoomDraft, RoomId, Seq};
use readers::Readers;
use transaction::BatchWriter;
use unindexed::{Unindexed, UnindexedByRoom};

/// The store. `T` is what the caller gets back with a message once it is committed or has failed.
pub struct Store<T> {
    commits: Arc<GroupCommit<T>>,
    database: Arc<Database>,
    cache: Arc<Cache>,
    readers: Arc<Readers>,
    unindexed: UnindexedByRoom,
    releases: ReleaseHistory,
    epoch: Epoch,
    first_free_id: u64,
    page_bytes_max: usize,
    deletion_marks: DeletionMarks,
    _retention: Option<retention::Stop>,
    /// Keeps other servers off the database until it is closed.
    lock: Mutex<Option<std::fs::File>>,
}

impl<T: Send + 'static> Store<T> {
    /// Opens a database. Creates it, or brings its schema up to date.
    ///
    /// # Errors
    ///
    /// If SQLite is too old, another server is using the database, or the file is unusable.
    pub fn open(path: &Path, synchronous: Synchronous, limits: &StoreLimits) -> Result<Self, StoreError> {
        let lock = setup::lock(path)?;
        let (files, checkpoint_requested) = Files::new(path, synchronous);
        let files = Arc::new(files);
        let mut connection = setup::open(path, synchronous)?;
        import_progress::refuse_unfinished(&connection)?;
        let epoch = Epoch::settle(path, &connection, synchronous)?;
        let first_free_id = message_ids::first_free(&connection)?;
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
            commits: Arc::new(GroupCommit::new(Arc::clone(&database), limits)),
            releases: ReleaseHistory::new(Arc::clone(&database), Arc::clone(&readers)),
            database,
            cache,
            readers,
            unindexed,
            epoch,
            first_free_id,
            page_bytes_max: limits.page_bytes_max,
            deletion_marks,
            _retention: retention,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// The reason why the database cannot be written to. None: it can.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.database.failure()
    }

    /// The lowest id that no message of the database had when it was opened.
    #[must_use]
    pub fn first_free_id(&self) -> MessageId {
        MessageId(self.first_free_id)
    }

    /// The name of the history that the database holds: another one if the database may have gone back.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.epoch.name()
    }

    /// Asks the database a trivial question, beside the reads of clients, which may be many.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`].
    pub async fn ask(&self) -> Result<(), StoreError> {
        let readers = Arc::clone(&self.readers);
        let ask = move || readers.read_blocking(|connection| connection.query_row("SELECT 1", [], |_| Ok(())));
        tokio::task::spawn_blocking(ask).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Appends an entry to those that wait to be committed, without waiting itself. If no commit runs, the caller
    /// becomes the leader and has to commit for all. Within a room the `seq` of messages must follow the last one
    /// stored; otherwise the message fails with [`StoreError::OutOfTurn`].
    ///
    /// # Errors
    ///
    /// Returns the entry if too many wait or the store is closed.
    pub fn append(&self, entry: Entry<T>) -> Result<Option<Leader<T>>, Box<Failed<T>>> {
        self.commits.append(entry)
    }

    /// The number of entries that wait to be committed.
    pub fn waiting(&self) -> usize {
        self.commits.waiting()
    }

    /// The number of the batch that is being committed. None: none is. The same number for long means that commits are stuck.
    pub fn at_batch(&self) -> Option<u64> {
        self.commits.at_batch()
    }

    /// Takes over entries whose leader has panicked. None: there are none, or a leader commits them.
    pub fn take_over(&self) -> Option<Leader<T>> {
        self.commits.take_over()
    }

    /// Creates a room, or finds the one that its post has.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`].
    pub async fn create_room(
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

    /// A room by its number.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`], as for all queries below.
    pub async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let read = || self.readers.read(move |connection| room_rows::find(connection, id));
        self.cache.rooms.find(id, read).await
    }

    /// Rooms with numbers above `after`, oldest first.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        self.readers.read(move |connection| room_rows::list(connection, after, limit)).await
    }

    /// A page of a room's messages, oldest first. It ends before it exceeds `page_bytes_max`.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
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

    /// How many times clients' requests have read the database since it was opened.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.readers.count()
    }

    /// What the store counts. Asks the file system for the size of the write-ahead log.
    #[must_use]
    pub fn figures(&self) -> StoreFigures {
        StoreFigures { reads: self.reads(), log_bytes: self.readers.log_bytes(), ..self.commits.figures() }
    }

    /// The last `seq` of a room, 0 if it has no message.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        self.readers.read(move |connection| rows::last_seq(connection, room)).await
    }

    /// The message to which a sender gave this `client_id` in a room.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn by_client_id(
        &self,
        room: RoomId,
        sender: String,
        client_id: String,
    ) -> Result<Option<Message>, StoreError> {
        self.readers.read(move |connection| rows::by_client_id(connection, room, &sender, &client_id)).await
    }

    /// Whether a room has a message with this id.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
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

    /// The versions and releases of the handlers.
    pub fn releases(&self) -> &ReleaseHistory {
        &self.releases
    }

    /// Rejects entries, rooms and releases from now on. Entries that wait can still be committed.
    pub fn close(&self) {
        self.commits.close();
        self.database.close();
    }

    /// Records the id of the next message, after the last commit, so that ids continue without a gap after the next
    /// start. Without it, as after a crash, some are skipped.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn save_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        self.database.save_next_id(next)
    }

    /// Closes the file, so that a copy of it alone is the whole database, and the next server may open it. Nothing can be
    /// read or written any more.
    pub fn finish(&self) {
        self.database.finish(|connection| self.epoch.renew(connection));
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Closes the file, although the checkpoint thread may still be ending, so that the next process that opens it finds it
/// free.
impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        self.commits.close();
        self.database.close();
        self.database.finish(|connection| self.epoch.renew(connection));
    }
}

#[cfg(test)]
mod tests;
