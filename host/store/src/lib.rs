//! Rooms, messages and the handlers' versions in SQLite: one writer at a time, readers beside it. Knows nothing of
//! sockets or members, nor who calls it when; a version is bytes to it.
//!
//! The file is in WAL mode, so readers and the writer never wait for one another. What the writer has reported as stored
//! is committed; under `synchronous = full` it is on the disk.

mod archive;
mod checkpoint;
mod commit_time;
mod desk;
mod files;
mod health;
mod ids;
mod limits;
mod readers;
mod reopen;
mod rows;
mod runs;
mod senders;
mod setup;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};

pub use archive::{Archive, ArchiveError};
pub use limits::{StoreLimits, Synchronous};
pub use rows::Page;
pub use versions::{AboutVersion, Kept, NewRelease, Seen, StoredRelease, StoredVersion};
pub use writer::{Batch, Entry, Failed, Leader};

use desk::Desk;
use files::Files;
use ondol_host_model::{Message, MessageId, Room, RoomDraft, RoomId, Seq};
use readers::Readers;
use rows::{read_message, read_room};
use runs::{Tail, Tails};
use writer::Writer;

/// The store. `T` is what the caller wants back with a message once it is committed or has failed.
pub struct Store<T> {
    writer: Arc<Writer<T>>,
    files: Arc<Files>,
    tails: Tails,
    first_free_id: u64,
    page_bytes_max: usize,
    /// Keeps other servers off the file.
    _lock: std::fs::File,
}

/// What went wrong with the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own error.
    #[error("SQLite: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// This server was linked with a SQLite that has a fault which it must not run with.
    #[error("SQLite {0} is older than {needed}, which mended a fault that can lose commits in WAL mode", needed = setup::SQLITE_NEEDED)]
    TooOld(String),
    /// The file was written by a later version of this server.
    #[error("the database has schema version {0}, and this server knows only up to {known}", known = setup::SCHEMA_VERSION)]
    FromLater(i64),
    /// Too much waits for the disk.
    #[error("commit_queue_max = {0} messages wait for the disk")]
    Busy(usize),
    /// The data is not this server's alone.
    #[error("the lock on the data could not be had: {0}")]
    Locked(String),
    /// A thread could not be had.
    #[error("no thread for checkpoints: {0}")]
    Thread(String),
    /// There is no such room.
    #[error("there is no such room")]
    NoRoom,
    /// The room has as many messages as there are places for.
    #[error("the room is full: it has 2^32 messages")]
    Full,
    /// The message before it in its room was not stored, so this one has no place.
    #[error("the message before it was not stored")]
    OutOfTurn,
    /// The sender has a message with the same `client_id` in the room.
    #[error("a message with this client_id is stored already")]
    Repeated,
    /// The database cannot have a write-ahead log.
    #[error("SQLite keeps no write-ahead log here: journal_mode is {0}")]
    NoLog(String),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

/// What became of a request for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomOutcome {
    /// It was created.
    Created(Room),
    /// Its post has this room already.
    Standing(Room),
}

impl<T: Send + 'static> Store<T> {
    /// Opens the file, and creates or brings up its schema.
    ///
    /// # Errors
    ///
    /// When SQLite is too old, or the file cannot be used.
    pub fn open(path: &Path, synchronous: Synchronous, limits: &StoreLimits) -> Result<Self, StoreError> {
        let lock = setup::lock(path)?;
        let (files, asked) = Files::new(path, synchronous);
        let files = Arc::new(files);
        let mut connection = setup::open(&files)?;
        let first_free_id = ids::first_free(&connection)?;
        checkpoint::ask_when_due(&mut connection, &files)?;
        let desk = Desk::open(&files, connection)?;
        let tails = desk.tails();
        let writer = Arc::new(Writer::new(desk, limits));
        checkpoint::start(&files, &writer, asked).map_err(|error| StoreError::Thread(error.to_string()))?;
        let page_bytes_max = limits.page_bytes_max;
        Ok(Self { writer, files, tails, first_free_id, page_bytes_max, _lock: lock })
    }

    /// What keeps the database from being written to; none when all is well.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.writer.failure()
    }

    /// The least id that no message of the file had when it was opened.
    #[must_use]
    pub fn first_free_id(&self) -> MessageId {
        MessageId(self.first_free_id)
    }

    /// Puts an entry among those that wait to be committed, without waiting. The first to do so while no commit runs becomes the
    /// leader and has to commit for all. Within a room the `seq` of messages has to go on from the last one stored; one that
    /// does not is reported as [`StoreError::OutOfTurn`].
    ///
    /// # Errors
    ///
    /// The entry itself comes back when too much waits or the store is closed.
    pub fn append(&self, entry: Entry<T>) -> Result<Option<Leader<T>>, Box<Failed<T>>> {
        self.writer.append(entry)
    }

    /// How many entries wait to be committed.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Takes the lead over entries that a leader who panicked left behind. None: there are none, or a leader commits them.
    pub fn lead_the_rest(&self) -> Option<Leader<T>> {
        self.writer.lead_the_rest()
    }

    /// Creates a room, or finds the one that its post has.
    ///
    /// # Errors
    ///
    /// SQLite's error, or that the store is closed.
    pub async fn create_room(
        &self,
        draft: RoomDraft,
        post_id: Option<u64>,
        owner: Option<String>,
    ) -> Result<RoomOutcome, StoreError> {
        let writer = Arc::clone(&self.writer);
        let created = move || writer.create_room(&draft, post_id, owner.as_deref());
        tokio::task::spawn_blocking(created).await.unwrap_or(Err(StoreError::Closed))
    }

    /// A room by its number.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        Readers::read(&self.files, move |connection| {
            let mut statement = connection.prepare_cached(concat!(rows::room_columns!(), " WHERE id = ?1"))?;
            statement.query_row([rows::stored(id.0)], read_room).optional()
        })
        .await
    }

    /// Rooms after a number, oldest first.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        Readers::read(&self.files, move |connection| {
            let sql = concat!(rows::room_columns!(), " WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map((rows::stored(after.0), rows::stored(limit as u64)), read_room)?.collect()
        })
        .await
    }

    /// Messages of a room, oldest first: those of a page, which ends before it has more than `page_bytes_max`.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
        let bytes_max = self.page_bytes_max;
        self.read_room(room, move |connection, tail| rows::page(connection, tail, room, page, limit, bytes_max)).await
    }

    /// The `seq` of the last message of a room, 0 when it has none.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        Readers::read(&self.files, move |connection| rows::last_seq(connection, room)).await
    }

    /// The message of a sender in a room that has this client's id.
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
        Readers::read(&self.files, move |connection| {
            let sql = concat!(
                rows::messages!(),
                " WHERE message.n = (SELECT n FROM client_message WHERE room = ?1 AND user = ?2 AND client_id = ?3) \
                     AND message.room = ?1 AND message.client_id = ?3"
            );
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row((rows::stored(room.0), sender, client_id), read_message).optional()
        })
        .await
    }

    /// Whether a message stands in a room.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
        self.read_room(room, move |connection, tail| rows::has_message(connection, tail, room, id)).await
    }

    async fn read_room<R: Send + 'static>(
        &self,
        room: RoomId,
        read: impl FnOnce(&Connection, &Tail) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let tails = self.tails.clone();
        Readers::read(&self.files, move |connection| read(connection, &tails.of(room))).await
    }

    /// Takes nothing more. What was taken before is still to be committed.
    pub fn close(&self) {
        self.writer.close();
    }

    /// Records the id that the next message would have had, once the last one is committed: the server that opens the file
    /// next goes on there. Without it, as after a crash, some ids are left out.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn keep_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        self.writer.keep_next_id(next)
    }

    /// Closes the file, so that a copy of it alone is the whole database. Nothing is read or written any more.
    pub fn finish(&self) {
        self.writer.finish();
    }
}

/// Whoever opens the file next finds nothing of this process on it, although the checkpoint thread may still be at its end.
impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        self.writer.close();
        self.writer.finish();
    }
}

#[cfg(test)]
mod tests;
