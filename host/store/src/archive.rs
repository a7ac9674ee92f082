//! What a database holds, to be read from beside: also while a server runs on it, and without a lock, for a reader of a
//! file in WAL mode keeps nobody waiting. Changes nothing, and creates no schema. Where no server runs, SQLite leaves an
//! empty `-wal` and an `-shm` file beside the database, which the next server takes over.

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::rows::{self, Page, messages, read_message, read_room, stored};
use super::runs::{Runs, Tails};
use super::setup::{SCHEMA_VERSION, open_reader};
use super::versions;
use super::{StoreError, StoredRelease, StoredVersion};
use ondol_host_model::{Message, Room, RoomId, Seq};

/// How many rows are read at once. Between two reads nothing is held, so that a server can shorten its log meanwhile.
const PAGE_ROWS: usize = 500;

/// A database that is only read.
pub struct Archive {
    connection: Connection,
    tails: Tails,
}

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no such file.
    #[error("there is no database")]
    Missing,
    /// It has no schema that this program has written.
    #[error("it is no database of Ondol's")]
    Foreign,
    /// It was written by an earlier version of the server, and reading changes nothing.
    #[error(
        "the database has schema version {0}, and this program reads {SCHEMA_VERSION}: start `ondol serve` on it once"
    )]
    FromEarlier(i64),
    /// Whatever else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ArchiveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Archive {
    /// Opens the file of a database.
    ///
    /// # Errors
    ///
    /// When there is none, or it is none that this program reads.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        if !path.exists() {
            return Err(ArchiveError::Missing);
        }
        let connection = open_reader(path)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        match version {
            Ok(SCHEMA_VERSION) => {
                let tails = Runs::read(&connection)?.tails();
                Ok(Self { connection, tails })
            }
            Ok(0) => Err(ArchiveError::Foreign),
            Ok(version @ 1..SCHEMA_VERSION) => Err(ArchiveError::FromEarlier(version)),
            Ok(version) => Err(StoreError::FromLater(version).into()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
                Err(ArchiveError::Foreign)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The release that is recorded as active.
    ///
    /// # Errors
    ///
    /// SQLite's error. Like all errors from here on.
    pub fn active_release(&self) -> Result<Option<StoredRelease>, StoreError> {
        Ok(versions::active_release(&self.connection)?)
    }

    /// A version, whole.
    pub fn version(&self, id: &str) -> Result<Option<StoredVersion>, StoreError> {
        Ok(versions::version(&self.connection, id)?)
    }

    /// A room by its number.
    pub fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        let sql = concat!(rows::room_columns!(), " WHERE id = ?1");
        Ok(self.connection.prepare_cached(sql)?.query_row([stored(id.0)], read_room).optional()?)
    }

    /// Hands over the `last` rooms, oldest first, until it is told to stop.
    pub fn rooms(&self, last: usize, mut take: impl FnMut(&Room) -> ControlFlow<()>) -> Result<(), StoreError> {
        let span =
            self.span("SELECT max(id) FROM room", "SELECT id FROM room ORDER BY id DESC LIMIT 1 OFFSET ?1", last)?;
        let Some((mut from, to)) = span else { return Ok(()) };
        let sql = concat!(rows::room_columns!(), " WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
        loop {
            let mut statement = self.connection.prepare_cached(sql)?;
            let page = statement.query_map((from, to, stored(PAGE_ROWS as u64)), read_room)?;
            let page: Vec<Room> = page.collect::<Result<_, _>>()?;
            let Some(end) = page.last().map(|room| room.id) else { return Ok(()) };
            if page.iter().try_for_each(&mut take).is_break() {
                return Ok(());
            }
            from = stored(end.0).saturating_add(1);
        }
    }

    /// Hands over the `last` messages that there are now, of a room or of all, oldest first, until it is told to stop.
    pub fn messages(
        &self,
        room: Option<RoomId>,
        last: usize,
        mut take: impl FnMut(&Message) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut next = |page: Vec<Message>| page.iter().try_for_each(&mut take).is_continue();
        let Some(room) = room else {
            const SQL: &str = concat!(messages!(), " WHERE message.n BETWEEN ?1 AND ?2 ORDER BY message.n LIMIT ?3");
            let newest = "SELECT max(n) FROM message";
            let Some((mut from, to)) =
                self.span(newest, "SELECT n FROM message ORDER BY n DESC LIMIT 1 OFFSET ?1", last)?
            else {
                return Ok(());
            };
            loop {
                let mut end = None;
                let mut statement = self.connection.prepare_cached(SQL)?;
                let page = statement.query_map((from, to, stored(PAGE_ROWS as u64)), |row| {
                    end = Some(row.get::<_, i64>("n")?);
                    read_message(row)
                })?;
                let page = page.collect::<Result<_, _>>()?;
                match end {
                    Some(end) if next(page) => from = end.saturating_add(1),
                    _ => return Ok(()),
                }
            }
        };
        let tail = self.tails.of(room);
        let newest = rows::last_of(&self.connection, &tail, room)?;
        let mut before = Seq(newest.0.saturating_sub(last as u64));
        while before < newest {
            let page = rows::page(&self.connection, &tail, room, Page::After(before), PAGE_ROWS, usize::MAX)?;
            match page.last().map(|message| message.seq) {
                Some(end) if next(page) => before = end,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// From which key to which the `last` rows reach. None: there is no row. `oldest` finds nothing where there are fewer.
    fn span(&self, newest: &str, oldest: &str, last: usize) -> Result<Option<(i64, i64)>, StoreError> {
        let newest: Option<i64> = self.connection.query_row(newest, [], |row| row.get(0))?;
        let Some(newest) = newest.filter(|_| last > 0) else { return Ok(None) };
        let before = stored((last - 1) as u64);
        let oldest = self.connection.query_row(oldest, [before], |row| row.get(0)).optional()?;
        Ok(Some((oldest.unwrap_or(0), newest)))
    }
}
