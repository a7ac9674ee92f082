//! Rooms, messages and handler releases in a database: in a file by SQLite, or in PostgreSQL. Knows nothing of sockets, members or
//! WebAssembly: to the store a version is bytes.
//!
//! An entry that [`Leader::commit`] returns as stored is committed; under [`Synchronous::Full`] it is on disk, that
//! of PostgreSQL.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

mod limits;
pub use limits::{MessageRetention, StoreLimits, Synchronous};

mod error;
pub use error::StoreError;

// Messages: group commit.
mod batch;
mod figures;
mod group_commit;
pub use batch::{Batch, Entry, Failed};
pub use figures::{PowersOfTwoRow, StoreFigures};
pub use group_commit::Leader;

// What is read and written.
mod cache;
mod outcomes;
mod page;
mod records;
mod release_history;
mod user_search;
mod verified;
pub use outcomes::{Deleted, Deletion, RoomOutcome};
pub use page::Page;
pub use records::{
    AboutVersion, DirectorySnapshot, ReleaseRecord, Retention, StoredEvent, StoredRelease, StoredVersion,
};
pub use release_history::ReleaseHistory;
pub use user_search::UserSearch;
pub use verified::{Problems, Verified};

// Several hosts.
mod hosts;
pub use hosts::{Claimed, HostRow, HostState, Hosts};

// The database.
mod engine;
mod migration;
mod postgres;
mod sqlite;
pub use migration::{MigrateError, MigrateReport, Migrated, migrate};
pub use postgres::{
    Examined, POSTGRES_BYTES_MAX, POSTGRES_USER_ID_CHARS_MAX, PostgresConfig, PostgresUrl, examine, verify_postgres,
};
pub use sqlite::{
    Archive, ArchiveError, Backup, BackupError, Contents, ExportBounds, Finding, ImportCheck, ImportLock,
    ImportProgress, ImportRow, Importer, Repeated, Report, RestoreError, Restored, Watch, backup, give_name, restore,
    schema_version, verify, with_suffix,
};

use engine::Engine;
use group_commit::GroupCommit;
use ondol_host_model::{Message, MessageId, Room, RoomDraft, RoomId, Seq};
use postgres::Postgres;
use sqlite::Sqlite;
use user_search::Search;

/// The store. `T` is what the caller gets back with a message once it is committed or has failed.
pub struct Store<T> {
    commits: Arc<GroupCommit<T>>,
    engine: Arc<Engine>,
}

impl<T: Send + 'static> Store<T> {
    /// Opens a database in a file. Creates it, or brings its schema up to date.
    ///
    /// # Errors
    ///
    /// If SQLite is too old, another server is using the database, or the file is unusable.
    pub fn open(path: &Path, synchronous: Synchronous, limits: &StoreLimits) -> Result<Self, StoreError> {
        Ok(Self::of(Engine::Sqlite(Sqlite::open(path, synchronous, limits)?), limits))
    }

    /// Opens a database in PostgreSQL. Creates its schema, or brings it up to date. On a runtime, beside its workers: it waits
    /// for the database.
    ///
    /// # Errors
    ///
    /// If PostgreSQL cannot be reached, another host is using the database, or a later server wrote it.
    pub fn connect(config: &PostgresConfig, limits: &StoreLimits) -> Result<Self, StoreError> {
        let postgres = Handle::current().block_on(Postgres::connect(config, limits))?;
        Ok(Self::of(Engine::Postgres(Box::new(postgres)), limits))
    }

    fn of(engine: Engine, limits: &StoreLimits) -> Self {
        let engine = Arc::new(engine);
        Self { commits: Arc::new(GroupCommit::new(Arc::clone(&engine), limits)), engine }
    }

    /// The reason why the database cannot be written to. None: it can.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.failure(),
            Engine::Postgres(postgres) => postgres.failure(),
        }
    }

    /// The name of the history that the database holds: another one if the database may have gone back.
    #[must_use]
    pub fn epoch(&self) -> &str {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.epoch(),
            Engine::Postgres(postgres) => postgres.epoch(),
        }
    }

    /// Asks the database a trivial question, beside the reads of clients, which may be many. PostgreSQL is not asked: it is
    /// another process, and [`Store::failure`] tells whether it answers.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`].
    pub async fn ask(&self) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.ask().await,
            Engine::Postgres(_) => Ok(()),
        }
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

    /// The number of the batch that is being committed. None: none is, or it waits for PostgreSQL, however long. The same number
    /// for long means that commits are stuck.
    pub fn at_batch(&self) -> Option<u64> {
        let is_waited_for = match &*self.engine {
            Engine::Sqlite(_) => false,
            Engine::Postgres(postgres) => postgres.is_waited_for(),
        };
        self.commits.at_batch().filter(|_| !is_waited_for)
    }

    /// Takes over entries whose leader has panicked. None: there are none, or a leader commits them.
    pub fn take_over(&self) -> Option<Leader<T>> {
        self.commits.take_over()
    }

    /// An id for a message, above those of all messages of its room. None: [`Store::claim`] its room first.
    #[must_use]
    pub fn next_id(&self) -> Option<MessageId> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.next_id()),
            Engine::Postgres(postgres) => postgres.next_id(),
        }
    }

    /// Creates a room, or finds the one that its post has.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`].
    pub async fn create_room(
        &self,
        draft: RoomDraft,
        post_id: Option<u64>,
        owner: Option<String>,
    ) -> Result<RoomOutcome, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.create_room(draft, post_id, owner).await,
            Engine::Postgres(postgres) => postgres.create_room(&draft, post_id, owner.as_deref()).await,
        }
    }

    /// A room by its number.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`], as for all queries below.
    pub async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.room(id).await,
            Engine::Postgres(postgres) => postgres.room(id).await,
        }
    }

    /// Rooms with numbers above `after`, oldest first.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.rooms(after, limit).await,
            Engine::Postgres(postgres) => postgres.rooms(after, limit).await,
        }
    }

    /// A page of a room's messages, oldest first. It ends before it exceeds `page_bytes_max`.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.messages(room, page, limit).await,
            Engine::Postgres(postgres) => postgres.messages(room, page, limit).await,
        }
    }

    /// How many times clients' requests have read the database since it was opened.
    #[must_use]
    pub fn reads(&self) -> u64 {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.reads(),
            Engine::Postgres(postgres) => postgres.reads(),
        }
    }

    /// What the store counts. Asks the file system for the size of SQLite's write-ahead log.
    #[must_use]
    pub fn figures(&self) -> StoreFigures {
        let log_bytes = match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.log_bytes(),
            Engine::Postgres(_) => 0,
        };
        StoreFigures { reads: self.reads(), log_bytes, ..self.commits.figures() }
    }

    /// The last `seq` of a room, 0 if it has no message.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.last_seq(room).await,
            Engine::Postgres(postgres) => postgres.last_seq(room).await,
        }
    }

    /// The message to which a sender gave this `client_id` in a room.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn by_client_id(
        &self,
        room: RoomId,
        sender: String,
        client_id: String,
    ) -> Result<Option<Message>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.by_client_id(room, sender, client_id).await,
            Engine::Postgres(postgres) => postgres.by_client_id(room, sender, client_id).await,
        }
    }

    /// Whether a room has a message with this id.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.has_message(room, id).await,
            Engine::Postgres(postgres) => postgres.has_message(room, id).await,
        }
    }

    /// Deletes messages of a room. Those that do not exist are left out.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`]. No message is deleted then.
    pub async fn delete(&self, room: RoomId, seqs: Vec<Seq>) -> Result<Deletion, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.delete(room, seqs).await,
            Engine::Postgres(postgres) => postgres.delete(room, &seqs).await,
        }
    }

    /// Deletions of messages up to `known`, made when the room had none after `since`, or later: a client that left the
    /// room at `since` may not know them. The latest ones, if there are more than `limit`.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn deletions(
        &self,
        room: RoomId,
        since: Seq,
        known: Seq,
        limit: usize,
    ) -> Result<Vec<Deleted>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.deletions(room, since, known, limit).await,
            Engine::Postgres(postgres) => postgres.deletions(room, since, known, limit).await,
        }
    }

    /// Begins a search for the messages of a user, in one room or in all.
    ///
    /// # Errors
    ///
    /// The database's error, as for all queries.
    pub async fn search_user(&self, user: String, room: Option<RoomId>) -> Result<UserSearch, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => Ok(UserSearch(Search::Sqlite(sqlite.search_user(user, room).await?))),
            Engine::Postgres(postgres) => Ok(UserSearch(Search::Postgres(postgres.search_user(user, room).await?))),
        }
    }

    /// The next messages that a search has found. None: it is done.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn found_next(&self, search: &mut UserSearch) -> Result<Option<Vec<(RoomId, Seq)>>, StoreError> {
        match (&*self.engine, &mut search.0) {
            (Engine::Sqlite(sqlite), Search::Sqlite(search)) => sqlite.found_next(search).await,
            (Engine::Postgres(postgres), Search::Postgres(search)) => postgres.found_next(search).await,
            // A search belongs to the store that began it.
            _ => Ok(None),
        }
    }

    /// Removes those of these senders' rows that no message names any more. Scans the messages for them, until each has
    /// turned up.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`].
    pub async fn remove_unused_senders(&self, senders: Vec<i64>) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.remove_unused_senders(senders).await,
            Engine::Postgres(postgres) => postgres.remove_unused_senders(senders).await,
        }
    }

    /// The versions and releases of the handlers.
    pub fn releases(&self) -> ReleaseHistory<'_> {
        ReleaseHistory(&self.engine)
    }

    /// The server stops: from now on a database that is away is waited for a few seconds only.
    pub fn stop(&self) {
        match &*self.engine {
            Engine::Sqlite(_) => {}
            Engine::Postgres(postgres) => postgres.close(),
        }
    }

    /// Rejects entries, rooms and releases from now on. Entries that wait can still be committed.
    pub fn close(&self) {
        self.commits.close();
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.close(),
            Engine::Postgres(postgres) => postgres.close(),
        }
    }

    /// Closes the database, so that the next server may open it. Nothing can be read or written any more. Without it, as after
    /// a crash, the next start skips some message ids.
    pub fn finish(&self) {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.finish(),
            Engine::Postgres(postgres) => Handle::current().block_on(postgres.finish()),
        }
    }

    /// The engine, for tests of what is in its file.
    #[cfg(test)]
    #[allow(clippy::panic, reason = "a test of the wrong store has to fail")]
    fn sqlite(&self) -> &Sqlite {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite,
            Engine::Postgres(_) => panic!("the store is in PostgreSQL"),
        }
    }
}
