//! How far an import has come: a table that exists while one is unfinished. It is written in the transactions of the rows, so
//! it is right at each moment, whatever ends the process. That of the last finished import stays under another name.

use rusqlite::{Connection, OptionalExtension as _};

use super::rows::{number, to_sql};
use super::setup;
use crate::error::StoreError;

/// An import that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportProgress {
    /// The file, as it was named.
    pub file: String,
    /// The digest of its lines, by which it is recognized.
    pub digest: String,
    /// The number that the first message without an id got.
    pub first_id: u64,
    /// The lines that were applied, from the first of the file on.
    pub line: u64,
    /// The rooms among them.
    pub rooms: u64,
    /// The messages among them.
    pub messages: u64,
    /// The rowid of the first imported message.
    pub(super) first_rowid: i64,
    /// The rowid after that of the last imported message.
    pub(super) next_rowid: i64,
}

/// The unfinished import of a database. None: there is none.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<ImportProgress>> {
    if !connection.table_exists(None, "import_progress")? {
        return Ok(None);
    }
    let sql = "SELECT file, digest, first_id, line, rooms, messages, first_rowid, next_rowid FROM import_progress";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(ImportProgress {
            file: row.get(0)?,
            digest: row.get(1)?,
            first_id: number(row, 2)?,
            line: number(row, 3)?,
            rooms: number(row, 4)?,
            messages: number(row, 5)?,
            first_rowid: row.get(6)?,
            next_rowid: row.get(7)?,
        })
    };
    connection.query_row(sql, [], read).optional()
}

/// The digest of the file that was imported last. None: there was none.
pub(super) fn last_digest(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if !connection.table_exists(None, "last_import")? {
        return Ok(None);
    }
    connection.query_row("SELECT digest FROM last_import", [], |row| row.get(0)).optional()
}

/// Refuses a database whose import is unfinished.
pub(super) fn refuse_unfinished(connection: &Connection) -> Result<(), StoreError> {
    match read(connection)? {
        Some(progress) => Err(StoreError::HalfImported(progress.file)),
        None => Ok(()),
    }
}

/// Records that an import has begun, inside the open transaction.
pub(super) fn begin(connection: &Connection, progress: &ImportProgress) -> rusqlite::Result<()> {
    setup::mark_half_imported(connection, true)?;
    connection.execute_batch(
        "CREATE TABLE import_progress (
             one         INTEGER PRIMARY KEY CHECK (one = 1),
             file        TEXT NOT NULL,
             digest      TEXT NOT NULL,
             first_id    INTEGER NOT NULL,
             line        INTEGER NOT NULL,
             rooms       INTEGER NOT NULL,
             messages    INTEGER NOT NULL,
             first_rowid INTEGER NOT NULL,
             next_rowid  INTEGER NOT NULL
         ) STRICT",
    )?;
    connection
        .prepare_cached("INSERT INTO import_progress VALUES (1, ?1, ?2, ?3, 0, 0, 0, ?4, ?4)")?
        .execute((&progress.file, &progress.digest, to_sql(progress.first_id), progress.first_rowid))
        .map(drop)
}

/// Records how far it has come, inside the transaction of the rows.
pub(super) fn save(connection: &Connection, progress: &ImportProgress) -> rusqlite::Result<()> {
    let [line, rooms, messages] = [progress.line, progress.rooms, progress.messages].map(to_sql);
    connection
        .prepare_cached("UPDATE import_progress SET line = ?1, rooms = ?2, messages = ?3, next_rowid = ?4")?
        .execute((line, rooms, messages, progress.next_rowid))
        .map(drop)
}

/// Records that it has ended, inside the open transaction.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DROP TABLE IF EXISTS last_import; ALTER TABLE import_progress RENAME TO last_import")?;
    setup::mark_half_imported(connection, false)
}
