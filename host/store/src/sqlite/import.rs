//! Writing rooms and messages of another database, while no server runs. The rows are those that live messages get, but the
//! index is written at once: the messages of a room come one after the other.
//!
//! No transaction waits for the disk. What a power failure takes is imported again: each transaction carries how far it came.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::import_progress::{self as progress, ImportProgress};
use super::insert;
use super::message_ids;
use super::replace::{directory_of, like_its_directory};
use super::room_index::{Inserted, RoomIndex, SEGMENT_MAX};
use super::room_rows;
use super::rows::to_sql;
use super::segments;
use super::senders::SenderRows;
use super::setup;
use super::stretch::{DELETED, json_array};
use crate::error::StoreError;
use crate::limits::Synchronous;
use ondol_host_model::{Message, MessageId, Room, RoomId, Seq};

/// How long the write-ahead log may grow, in pages of 4 KiB.
const LOG_PAGES: i64 = 4_096;

/// A gap in the numbers of a room up to which a segment goes on.
const GAP_MAX: u64 = 64;

/// What is imported.
#[derive(Debug, Clone)]
pub enum ImportRow {
    /// A room. Its id and post are free.
    Room(Room),
    /// A message of the room before it. `seq` and id rise within a room.
    Message(Message),
}

/// A database into which rooms and messages are imported.
pub struct Importer {
    connection: Connection,
    senders: SenderRows,
    next_rowid: i64,
    progress: Option<ImportProgress>,
    _lock: ImportLock,
}

/// Keeps servers off a database until it is dropped. The database itself is neither read nor changed.
pub struct ImportLock {
    path: PathBuf,
    _file: File,
}

impl ImportLock {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// If a server is running, or the directory cannot be written.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let file = setup::lock(path)?;
        like_its_directory(&file, &directory_of(path)).map_err(|error| StoreError::Files(error.to_string()))?;
        Ok(Self { path: path.to_owned(), _file: file })
    }
}

impl Importer {
    /// Opens the database of a lock to write it, or creates it.
    ///
    /// # Errors
    ///
    /// If the file is unusable, or it was changed since an unfinished import.
    pub fn open(lock: ImportLock) -> Result<Self, StoreError> {
        let path = &*lock.path;
        let owned = |error: std::io::Error| StoreError::Files(error.to_string());
        if !path.exists() {
            let file = File::options().write(true).create_new(true).open(path).map_err(owned)?;
            like_its_directory(&file, &directory_of(path)).map_err(owned)?;
        }
        let mut connection = setup::open(path, Synchronous::Normal)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        let index = RoomIndex::read(&connection)?;
        let progress = progress::read(&connection)?;
        match &progress {
            Some(progress) if progress.next_rowid != index.next_rowid() => return Err(StoreError::ChangedSinceImport),
            Some(_) => {}
            None => {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                index.write_all(&transaction)?;
                transaction.commit()?;
            }
        }
        Ok(Self { senders: SenderRows::default(), next_rowid: index.next_rowid(), connection, progress, _lock: lock })
    }

    /// The unfinished import of the database. None: there is none.
    #[must_use]
    pub fn progress(&self) -> Option<&ImportProgress> {
        self.progress.as_ref()
    }

    /// Records that the import of a file begins.
    ///
    /// # Errors
    ///
    /// SQLite's error, as for all methods below.
    pub fn begin(&mut self, file: &str, digest: &str, first_id: u64) -> Result<(), StoreError> {
        let progress = ImportProgress {
            file: file.to_owned(),
            digest: digest.to_owned(),
            first_id,
            line: 0,
            rooms: 0,
            messages: 0,
            first_rowid: self.next_rowid,
            next_rowid: self.next_rowid,
        };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        progress::begin(&transaction, &progress)?;
        transaction.commit()?;
        self.progress = Some(progress);
        Ok(())
    }

    /// Writes rows in one transaction. `line` is the line of the file that the last one is on. After an error none of them is
    /// written.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Repeated`].
    pub fn write(&mut self, rows: &[ImportRow], line: u64) -> Result<(), StoreError> {
        let written = self.transaction(rows, line);
        if written.is_err() {
            self.senders.forget();
        }
        written
    }

    fn transaction(&mut self, rows: &[ImportRow], line: u64) -> Result<(), StoreError> {
        let Some(mut progress) = self.progress.clone() else { return Err(StoreError::Closed) };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut accepted = Vec::with_capacity(rows.len());
        for row in rows {
            match row {
                ImportRow::Room(room) => {
                    room_rows::insert(&transaction, room)?;
                    progress.rooms += 1;
                }
                ImportRow::Message(message) => {
                    let rowid = self.next_rowid + to_sql(accepted.len() as u64);
                    if !insert::client_id(&transaction, message, rowid)? {
                        return Err(StoreError::Repeated);
                    }
                    let sender = self.senders.rowid(&transaction, &message.sender)?;
                    accepted.push((message, Inserted { room: message.room, seq: message.seq, rowid, sender }));
                }
            }
        }
        let next_rowid = self.next_rowid + to_sql(accepted.len() as u64);
        insert::messages(&transaction, &accepted)?;
        first_seqs(&transaction, &accepted)?;
        insert::last_seqs(&transaction, &accepted)?;
        index(&transaction, &accepted)?;
        segments::save_first_unindexed(&transaction, next_rowid)?;
        if let Some(last) = accepted.iter().map(|(message, _)| message.id).max() {
            message_ids::raise_next(&transaction, last.0 + 1)?;
        }
        progress.messages += accepted.len() as u64;
        (progress.line, progress.next_rowid) = (line, next_rowid);
        progress::save(&transaction, &progress)?;
        transaction.commit()?;
        self.next_rowid = next_rowid;
        self.progress = Some(progress);
        Ok(())
    }

    /// Ends the import: all ids up to `last_id` count as used, and a server may start. Waits for the disk.
    ///
    /// # Errors
    ///
    /// SQLite's error. The import is unfinished then.
    pub fn finish(mut self, last_id: MessageId) -> Result<(), StoreError> {
        self.connection.pragma_update(None, "synchronous", "full")?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        message_ids::raise_next(&transaction, last_id.0 + 1)?;
        progress::end(&transaction)?;
        transaction.commit()?;
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

/// Records the first `seq` of rooms that begin later than with 1, because their oldest messages were removed.
fn first_seqs(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    let mut firsts: HashMap<RoomId, Seq> = HashMap::new();
    for (message, _) in messages {
        firsts.entry(message.room).or_insert(message.seq);
    }
    // A room that has messages already has its row.
    let mut statement =
        connection.prepare_cached("INSERT OR IGNORE INTO room_seq (room, last, first) VALUES (?1, ?2, ?2)")?;
    firsts.iter().try_for_each(|(room, seq)| statement.execute((to_sql(room.0), to_sql(seq.0))).map(drop))
}

/// Writes the segments of messages that come room by room.
fn index(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    let mut rowids: Vec<i64> = Vec::with_capacity(SEGMENT_MAX);
    let mut segment: Option<(RoomId, Seq)> = None;
    for (_, inserted) in messages {
        let gap = segment.filter(|(room, _)| *room == inserted.room).and_then(|(_, first)| {
            let gap = inserted.seq.0.checked_sub(first.0 + rowids.len() as u64)?;
            let is_short = gap <= GAP_MAX && rowids.len() as u64 + gap < SEGMENT_MAX as u64;
            usize::try_from(gap).ok().filter(|_| is_short)
        });
        match gap {
            Some(gap) => rowids.resize(rowids.len() + gap, DELETED),
            None => {
                if let Some((room, first)) = segment {
                    segments::insert(connection, room, first, &json_array(&rowids))?;
                }
                rowids.clear();
                segment = Some((inserted.room, inserted.seq));
            }
        }
        rowids.push(inserted.rowid);
    }
    segment.map_or(Ok(()), |(room, first)| segments::insert(connection, room, first, &json_array(&rowids)))
}
