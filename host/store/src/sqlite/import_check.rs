//! What a file for an import uses twice: ids, posts, ids of clients. It is gathered in a temporary database on disk, so the
//! memory does not grow with the file.

use std::hash::{BuildHasher as _, RandomState};

use rusqlite::Connection;

use super::archive::Archive;
use super::import_progress::{self, ImportProgress};
use super::room_rows;
use super::rows::to_sql;
use crate::error::StoreError;
use ondol_host_model::{Message, MessageId, Room, RoomId};

/// The page cache of the temporary database.
const CACHE_KIB: i64 = 8_192;

/// How many messages of the database are read at once.
const PAGE_ROWS: u64 = 10_000;

/// Something that a file may use once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// The id of a room.
    Room(u64),
    /// The post of a room.
    Post(u64),
    /// The id of a message.
    Message(u64),
    /// The `client_id` of a message, in its room, by its sender.
    ClientId,
    /// Not used twice, but a message that is answered in another room than its own.
    Parent(u64),
}

/// What the lines of a file use.
pub struct ImportCheck {
    given: Connection,
    hashers: [RandomState; 2],
}

/// A finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What is used again.
    pub what: Repeated,
    /// The last line that does so.
    pub line: u64,
    /// The line that has it first. None: the database has it.
    pub first: Option<u64>,
    /// How many lines use it again.
    pub times: u64,
}

impl ImportCheck {
    /// Begins without lines.
    ///
    /// # Errors
    ///
    /// SQLite's error, as for all methods below: usually no space for temporary files.
    pub fn begin() -> Result<Self, StoreError> {
        let given = Connection::open("")?;
        given.pragma_update(None, "cache_size", -CACHE_KIB)?;
        given.execute_batch(
            "PRAGMA journal_mode = off;
             PRAGMA synchronous = off;
             CREATE TABLE room (id INTEGER NOT NULL, post INTEGER, line INTEGER NOT NULL);
             CREATE TABLE message (id INTEGER NOT NULL, room INTEGER NOT NULL, line INTEGER NOT NULL);
             CREATE TABLE parent (id INTEGER NOT NULL, room INTEGER NOT NULL, line INTEGER NOT NULL);
             CREATE TABLE client (one INTEGER NOT NULL, other INTEGER NOT NULL, line INTEGER NOT NULL);
             BEGIN",
        )?;
        Ok(Self { given, hashers: Default::default() })
    }

    /// Adds a room.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn room(&self, room: &Room, line: u64) -> Result<(), StoreError> {
        let mut insert = self.given.prepare_cached("INSERT INTO room VALUES (?1, ?2, ?3)")?;
        insert.execute((to_sql(room.id.0), room.post_id.map(to_sql), to_sql(line)))?;
        Ok(())
    }

    /// Adds a message. `has_id`: the file has its id.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn message(&self, message: &Message, has_id: bool, line: u64) -> Result<(), StoreError> {
        if has_id {
            self.insert_id(message.id, message.room, line)?;
        }
        if let Some(parent) = message.draft.parent {
            let mut insert = self.given.prepare_cached("INSERT INTO parent VALUES (?1, ?2, ?3)")?;
            insert.execute([parent.0, message.room.0, line].map(to_sql))?;
        }
        if let Some(client_id) = &message.draft.client_id {
            let key = (message.room, &message.sender.id, client_id);
            // As they are: two numbers of 64 bits.
            let [one, other] = [0, 1]
                .map(|which: usize| self.hashers.get(which).map_or(0, |hasher| hasher.hash_one(key)).cast_signed());
            let mut insert = self.given.prepare_cached("INSERT INTO client VALUES (?1, ?2, ?3)")?;
            insert.execute((one, other, to_sql(line)))?;
        }
        Ok(())
    }

    fn insert_id(&self, id: MessageId, room: RoomId, line: u64) -> rusqlite::Result<()> {
        let mut insert = self.given.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3)")?;
        insert.execute([id.0, room.0, line].map(to_sql)).map(drop)
    }

    /// Adds what a database has, except what an unfinished import has written.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn existing(&self, archive: &Archive, progress: Option<&ImportProgress>) -> Result<(), StoreError> {
        let end = progress.map_or(i64::MAX, |progress| progress.first_rowid);
        let sql = "SELECT n, id, room FROM message WHERE n > ?1 AND n < ?2 ORDER BY n LIMIT ?3";
        let mut after = 0;
        loop {
            let mut statement = archive.connection.prepare_cached(sql)?;
            let mut rows = statement.query((after, end, to_sql(PAGE_ROWS)))?;
            let before = after;
            while let Some(row) = rows.next()? {
                let (id, room): (i64, i64) = (row.get(1)?, row.get(2)?);
                after = row.get(0)?;
                self.insert_id(MessageId(id.unsigned_abs()), RoomId(room.unsigned_abs()), 0)?;
            }
            if after == before {
                return Ok(());
            }
        }
    }

    /// Passes on what is used twice, and replies to messages of other rooms.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn findings(&self, mut found: impl FnMut(Finding)) -> Result<(), StoreError> {
        self.given.execute_batch("CREATE INDEX message_by_id ON message (id, room)")?;
        let mut search = |sql: &str, kind: fn(u64) -> Repeated| -> Result<(), StoreError> {
            let mut statement = self.given.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let columns = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
                let [what, first, line, times] = columns.map(i64::unsigned_abs);
                found(Finding { what: kind(what), line, first: (first > 0).then_some(first), times });
            }
            Ok(())
        };
        let twice = "min(line), max(line), count(*) - 1 FROM";
        search(&format!("SELECT id, {twice} room GROUP BY id HAVING count(*) > 1"), Repeated::Room)?;
        let posts = format!("SELECT post, {twice} room WHERE post IS NOT NULL GROUP BY post HAVING count(*) > 1");
        search(&posts, Repeated::Post)?;
        search(&format!("SELECT id, {twice} message GROUP BY id HAVING count(*) > 1"), Repeated::Message)?;
        search(&format!("SELECT 0, {twice} client GROUP BY one, other HAVING count(*) > 1"), |_| Repeated::ClientId)?;
        search(
            // One for each reply, even if a number of messages have the id.
            "SELECT id, (SELECT message.line FROM message WHERE message.id = parent.id AND message.room <> parent.room) \
             AS first, line, 1 FROM parent WHERE first IS NOT NULL",
            Repeated::Parent,
        )
    }

    /// The number of replies whose first message is not there. Call it after [`ImportCheck::findings`].
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn lost_parents(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM parent WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = parent.id)";
        Ok(self.given.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }
}

impl Archive {
    /// Whether a room has this id, and whether one has this post.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn has_room(&self, id: RoomId, post: Option<u64>) -> Result<[bool; 2], StoreError> {
        let has_post = match post {
            Some(post) => {
                self.connection.prepare_cached("SELECT 1 FROM room WHERE post_id = ?1")?.exists([to_sql(post)])?
            }
            None => false,
        };
        Ok([room_rows::exists(&self.connection, id)?, has_post])
    }

    /// Refuses a database that holds a part of an import.
    ///
    /// # Errors
    ///
    /// [`StoreError::HalfImported`].
    pub fn refuse_unfinished_import(&self) -> Result<(), StoreError> {
        import_progress::refuse_unfinished(&self.connection)
    }

    /// The digest of the file that was imported last. None: there was none.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn last_import(&self) -> Result<Option<String>, StoreError> {
        Ok(import_progress::last_digest(&self.connection)?)
    }

    /// The unfinished import of the database. None: there is none.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn import_progress(&self) -> Result<Option<ImportProgress>, StoreError> {
        Ok(import_progress::read(&self.connection)?)
    }
}
