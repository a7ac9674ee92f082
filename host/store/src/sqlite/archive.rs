//! A database that is only read, for offline tools. A server may be running on it: in WAL mode a reader makes no writer
//! wait. Reading changes nothing and creates no schema. If no server is running, SQLite leaves an empty `-wal` and an
//! `-shm` file beside the database, which the next server uses.

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::import_progress;
use super::releases;
use super::room_index::RoomIndex;
use super::room_messages;
use super::room_rows::{self, read_room, room_columns};
use super::rows::{messages, number, read_message, to_sql};
use super::setup::{SCHEMA_VERSION, open_reader, schema_of, user_version};
use super::unindexed::UnindexedByRoom;
use super::versions;
use crate::error::StoreError;
use crate::page::Page;
use crate::records::{StoredRelease, StoredVersion};
use ondol_host_model::{Message, Room, RoomId, Seq};

/// How many rows are read at once. Between two reads no snapshot is held, so a running server can checkpoint its log.
pub(super) const PAGE_ROWS: usize = 500;

/// A database that is only read.
pub struct Archive {
    pub(super) connection: Connection,
    pub(super) unindexed: UnindexedByRoom,
}

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file does not exist.
    #[error("there is no database here")]
    Missing,
    /// The file has no schema of this program.
    #[error("this is not a database of Ondol")]
    Foreign,
    /// An earlier version of the server wrote it, and reading cannot migrate it.
    #[error(
        "the database has schema version {0}, and this program reads version {SCHEMA_VERSION}: start `ondol serve` on it \
         once to migrate it"
    )]
    SchemaTooOld(i64),
    /// The store's own error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ArchiveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Opens a database to read it. Returns the version of its schema as well, which is at most the current one.
pub(super) fn open_known(path: &Path) -> Result<(Connection, i64), ArchiveError> {
    if !path.exists() {
        return Err(ArchiveError::Missing);
    }
    let connection = open_reader(path)?;
    match user_version(&connection).map(schema_of) {
        Ok(found) if found > SCHEMA_VERSION => Err(StoreError::SchemaTooNew { found, known: SCHEMA_VERSION }.into()),
        // Other programs number their schemas as well.
        Ok(found) if found > 0 && has_our_tables(&connection)? => Ok((connection, found)),
        Ok(_) => Err(ArchiveError::Foreign),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            Err(ArchiveError::Foreign)
        }
        Err(error) => Err(error.into()),
    }
}

/// The version of a database's schema. None: there is no database, or nothing in it yet.
///
/// # Errors
///
/// When a server that knows this schema could not use the file.
pub fn schema_version(path: &Path) -> Result<Option<i64>, ArchiveError> {
    match open_known(path) {
        Ok((connection, version)) => {
            import_progress::refuse_unfinished(&connection)?;
            Ok(Some(version))
        }
        Err(ArchiveError::Missing) => Ok(None),
        Err(ArchiveError::Foreign) if has_no_tables(path) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file is empty, as one is whose creation was cut off.
fn has_no_tables(path: &Path) -> bool {
    let count = |connection: Connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    open_reader(path).and_then(count).is_ok_and(|count| count == 0)
}

fn has_our_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) = 2 FROM sqlite_schema WHERE type = 'table' AND name IN ('room', 'message')";
    connection.query_row(sql, [], |row| row.get(0))
}

impl Archive {
    /// Opens a database that may be missing or have nothing in it yet: None.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`].
    pub fn open_if_exists(path: &Path) -> Result<Option<Self>, ArchiveError> {
        match Self::open(path) {
            Err(ArchiveError::Missing) => Ok(None),
            Err(ArchiveError::Foreign) if has_no_tables(path) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Opens a database.
    ///
    /// # Errors
    ///
    /// If the file is missing, or not a database of the current schema.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let (connection, schema) = open_known(path)?;
        if schema < SCHEMA_VERSION {
            return Err(ArchiveError::SchemaTooOld(schema));
        }
        let unindexed = RoomIndex::read(&connection)?.unindexed();
        Ok(Self { connection, unindexed })
    }

    /// The release that is recorded as active.
    ///
    /// # Errors
    ///
    /// SQLite's error, as for all methods below.
    pub fn active_release(&self) -> Result<Option<StoredRelease>, StoreError> {
        Ok(releases::active(&self.connection)?)
    }

    /// A version with its component.
    pub fn version(&self, id: &str) -> Result<Option<StoredVersion>, StoreError> {
        Ok(versions::find(&self.connection, id)?)
    }

    /// A room by its number.
    pub fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        Ok(room_rows::find(&self.connection, id)?)
    }

    /// How many rooms there are, up to `last`.
    pub fn count_rooms(&self, last: usize) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM (SELECT 1 FROM room LIMIT ?1)", last)
    }

    /// How many messages there are, up to `last`. Those of a room are counted by its numbers, deleted ones included.
    pub fn count_messages(&self, room: Option<RoomId>, last: usize) -> Result<u64, StoreError> {
        match room {
            Some(room) => {
                let newest = room_messages::last_seq_with(&self.connection, &self.unindexed.of(room), room)?;
                Ok(newest.0.min(last as u64))
            }
            None => self.count("SELECT count(*) FROM (SELECT 1 FROM message LIMIT ?1)", last),
        }
    }

    fn count(&self, sql: &str, last: usize) -> Result<u64, StoreError> {
        Ok(self.connection.query_row(sql, [to_sql(last as u64)], |row| number(row, 0))?)
    }

    /// Passes the `last` rooms to `visit`, oldest first, until it breaks.
    pub fn rooms(&self, last: usize, mut visit: impl FnMut(&Room) -> ControlFlow<()>) -> Result<(), StoreError> {
        let range =
            self.key_range("SELECT max(id) FROM room", "SELECT id FROM room ORDER BY id DESC LIMIT 1 OFFSET ?1", last)?;
        let Some((mut from, to)) = range else { return Ok(()) };
        let sql = concat!(room_columns!(), " WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
        loop {
            let mut statement = self.connection.prepare_cached(sql)?;
            let page = statement.query_map((from, to, to_sql(PAGE_ROWS as u64)), read_room)?;
            let page: Vec<Room> = page.collect::<Result<_, _>>()?;
            let Some(end) = page.last().map(|room| room.id) else { return Ok(()) };
            if page.iter().try_for_each(&mut visit).is_break() {
                return Ok(());
            }
            from = to_sql(end.0).saturating_add(1);
        }
    }

    /// Passes the `last` messages of a room, or of all rooms, to `visit`, oldest first, until it breaks. Messages that
    /// are written meanwhile are left out.
    pub fn messages(
        &self,
        room: Option<RoomId>,
        last: usize,
        mut visit: impl FnMut(&Message) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let visit_page = |page: Vec<Message>| page.iter().try_for_each(&mut visit).is_continue();
        match room {
            Some(room) => self.messages_of(room, last, visit_page),
            None => self.messages_of_all(last, visit_page),
        }
    }

    fn messages_of_all(&self, last: usize, mut visit_page: impl FnMut(Vec<Message>) -> bool) -> Result<(), StoreError> {
        const SQL: &str = concat!(messages!(), " WHERE message.n BETWEEN ?1 AND ?2 ORDER BY message.n LIMIT ?3");
        let range = self.key_range(
            "SELECT max(n) FROM message",
            "SELECT n FROM message ORDER BY n DESC LIMIT 1 OFFSET ?1",
            last,
        )?;
        let Some((mut from, to)) = range else { return Ok(()) };
        loop {
            let mut end = None;
            let mut statement = self.connection.prepare_cached(SQL)?;
            let page = statement.query_map((from, to, to_sql(PAGE_ROWS as u64)), |row| {
                end = Some(row.get::<_, i64>("n")?);
                read_message(row)
            })?;
            let page = page.collect::<Result<_, _>>()?;
            match end {
                Some(end) if visit_page(page) => from = end.saturating_add(1),
                _ => return Ok(()),
            }
        }
    }

    fn messages_of(
        &self,
        room: RoomId,
        last: usize,
        mut visit_page: impl FnMut(Vec<Message>) -> bool,
    ) -> Result<(), StoreError> {
        let unindexed = self.unindexed.of(room);
        let newest = room_messages::last_seq_with(&self.connection, &unindexed, room)?;
        let mut before = Seq(newest.0.saturating_sub(last as u64));
        while before < newest {
            let page = Page::After(before);
            let page = room_messages::page(&self.connection, &unindexed, room, page, PAGE_ROWS, usize::MAX)?;
            match page.last().map(|message| message.seq) {
                Some(end) if visit_page(page) => before = end,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The first and last key of the `last` rows. None: there is no row. `oldest` finds no row if there are fewer.
    fn key_range(&self, newest: &str, oldest: &str, last: usize) -> Result<Option<(i64, i64)>, StoreError> {
        let newest: Option<i64> = self.connection.query_row(newest, [], |row| row.get(0))?;
        let Some(newest) = newest.filter(|_| last > 0) else { return Ok(None) };
        let before = to_sql((last - 1) as u64);
        let oldest = self.connection.query_row(oldest, [before], |row| row.get(0)).optional()?;
        Ok(Some((oldest.unwrap_or(0), newest)))
    }
}
