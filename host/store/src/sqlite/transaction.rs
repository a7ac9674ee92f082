//! The writing connection: what one transaction writes, and what the writer remembers of the database to write it
//! quickly.
//!
//! It enforces the rule that no `seq` is skipped or used twice: a message whose `seq` does not follow the last one stored
//! in its room is rejected.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use super::deletion;
use super::deletion_marks::DeletionMarks;
use super::epoch::forget_mark;
use super::files::Files;
use super::insert;
use super::message_ids::MessageIds;
use super::message_key::message_key;
use super::oldest::Oldest;
use super::recovery::{Acknowledged, FileIdentity, drop_page_cache};
use super::room_index::{Inserted, RoomIndex};
use super::room_messages::has_message;
use super::room_rows;
use super::rows::{last_seq, to_sql};
use super::segments;
use super::senders::SenderRows;
use super::setup;
use super::unindexed::UnindexedByRoom;
use super::unused_senders::UnusedSenders;
use crate::batch::Entry;
use crate::error::StoreError;
use crate::outcomes::{Deletion, RoomOutcome};
use ondol_host_model::{Message, RoomDraft, RoomId, Seq};

/// Rooms whose last `seq` is remembered. Past this number all are forgotten and looked up again.
const ROOMS_REMEMBERED_MAX: usize = 100_000;

/// The only connection that writes messages, rooms and releases.
pub(super) struct BatchWriter {
    pub(super) connection: Connection,
    files: Arc<Files>,
    identity: FileIdentity,
    /// SQLite's number for what other connections have written.
    changes_by_others: Option<i64>,
    /// The last `seq` stored in each room.
    last_seqs: HashMap<RoomId, Seq>,
    ids: MessageIds,
    senders: SenderRows,
    index: RoomIndex,
    acknowledged: Acknowledged,
    deletion_marks: DeletionMarks,
}

/// The outcome of a transaction.
pub(super) struct Outcome {
    /// Why messages were not stored, by their index in the batch.
    pub(super) rejected: HashMap<usize, StoreError>,
    /// Whether anything was written.
    pub(super) written: bool,
}

impl BatchWriter {
    pub(super) fn new(files: &Arc<Files>, connection: Connection) -> rusqlite::Result<Self> {
        let index = RoomIndex::read(&connection)?;
        let deletion_marks = DeletionMarks::read(&connection)?;
        let (last_seqs, ids, senders, acknowledged) = Default::default();
        let (identity, files) = (FileIdentity::of(&files.path), Arc::clone(files));
        let changes_by_others = None;
        Ok(Self {
            connection,
            files,
            identity,
            changes_by_others,
            last_seqs,
            ids,
            senders,
            index,
            acknowledged,
            deletion_marks,
        })
    }

    /// Which rooms had deletions, for readers.
    pub(super) fn deletion_marks(&self) -> DeletionMarks {
        self.deletion_marks.clone()
    }

    /// The messages that only memory knows by room, for readers.
    pub(super) fn unindexed(&self) -> UnindexedByRoom {
        self.index.unindexed()
    }

    /// Stores a batch in one transaction. After an error none of it is stored, unless a sync failed: then it is
    /// unknown.
    pub(super) fn store<T>(&mut self, entries: &[Entry<T>]) -> rusqlite::Result<Outcome> {
        if entries.iter().all(|entry| entry.message.is_none()) {
            return Ok(Outcome { rejected: HashMap::new(), written: false });
        }
        let outcome = self.transaction(entries);
        if outcome.is_err() {
            self.roll_back();
        }
        outcome
    }

    /// Rolls an open transaction back, and forgets what it may have changed.
    pub(super) fn roll_back(&mut self) {
        self.last_seqs.clear();
        self.ids.forget();
        self.senders.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback of a transaction failed: {error}");
        }
    }

    /// Creates a room, or finds the one that its post has.
    pub(super) fn create_room(
        &mut self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        let outcome = room_rows::create(&mut self.connection, draft, post_id, owner)?;
        if let RoomOutcome::Created(room) = &outcome {
            self.acknowledged.room = Some(room.id);
        }
        Ok(outcome)
    }

    /// Deletes messages of a room, in a transaction of its own.
    pub(super) fn delete(&mut self, room: RoomId, seqs: &[Seq]) -> rusqlite::Result<Deletion> {
        let unindexed = self.index.unindexed().of(room);
        let marks = self.deletion_marks.clone();
        let (deletion, number) = self.remove(|connection| {
            let deletion = deletion::delete(connection, &unindexed, &marks, room, seqs)?;
            Ok((deletion, connection.last_insert_rowid()))
        })?;
        if !deletion.messages.is_empty() {
            self.acknowledged.deletion = Some(number.unsigned_abs());
        }
        self.index.delete(room, deletion.messages.iter().map(|deleted| deleted.seq));
        Ok(deletion)
    }

    /// Removes the oldest messages of rooms, in a transaction of its own.
    pub(super) fn remove_oldest(&mut self, oldest: &Oldest) -> rusqlite::Result<()> {
        self.remove(|connection| oldest.remove(connection))?;
        oldest.firsts.iter().for_each(|(room, first)| self.index.remove_before(*room, *first));
        Ok(())
    }

    /// Removes senders without messages, in a transaction of its own.
    pub(super) fn remove_senders(&mut self, unused: &UnusedSenders) -> rusqlite::Result<()> {
        self.senders.forget();
        self.remove(|connection| unused.remove(connection))
    }

    /// Runs a transaction that removes something.
    fn remove<R>(&mut self, remove: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> rusqlite::Result<R> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        segments::save_first_free_rowid(&transaction, self.index.next_rowid())?;
        let removed = remove(&transaction)?;
        transaction.commit()?;
        Ok(removed)
    }

    /// Records that a caller was told that this release is stored.
    pub(super) fn acknowledge_release(&mut self, number: u64) {
        self.acknowledged.release = Some(number);
    }

    /// Closes all connections of this process and opens the database again, as the disk holds it.
    ///
    /// # Errors
    ///
    /// Names what was acknowledged and is missing, or tells why the database cannot be opened.
    pub(super) fn reopen(&mut self) -> Result<(), String> {
        let failed = |step: &str, error: &dyn std::fmt::Display| format!("{step} failed: {error}");
        let mut acknowledged = self.acknowledged.clone();
        acknowledged.messages.extend(self.index.last_unindexed());
        self.roll_back();
        let placeholder = Connection::open_in_memory().map_err(|error| failed("closing the database", &error))?;
        let connection = std::mem::replace(&mut self.connection, placeholder);
        let files = Arc::clone(&self.files);
        let identity = self.identity;
        self.connection = files.while_closed(|| {
            // The log must not be copied into the database before it is known to be on disk.
            setup::keep_log(&connection, true).map_err(|error| failed("closing the database", &error))?;
            drop(connection);
            // If another process has the database open, the log is still in use; otherwise SQLite reads it from disk
            // again.
            if FileIdentity::of(&files.path) != identity {
                return Err("the database's files are not the ones that were opened".to_owned());
            }
            drop_page_cache(&files.path).map_err(|error| failed("dropping the page cache", &error))?;
            setup::open_existing(&files.path, files.synchronous).map_err(|error| failed("opening the database", &error))
        })?;
        let unreadable = |error: rusqlite::Error| failed("reading the database", &error);
        self.files.request_checkpoints(&mut self.connection).map_err(unreadable)?;
        let index = RoomIndex::read(&self.connection).map_err(unreadable)?;
        self.index.replace(index);
        self.identity = FileIdentity::of(&self.files.path);
        match acknowledged.missing(&self.connection).map_err(unreadable)? {
            Some(missing) => {
                // The next start must not trust the numbers that clients know.
                if let Err(error) = forget_mark(&files.path) {
                    tracing::error!(%error, "the mark of the database was not removed: {error}");
                }
                Err(format!("{missing} was acknowledged and is not on disk"))
            }
            None => Ok(()),
        }
    }

    /// Whether the database holds a message.
    pub(super) fn holds(&self, message: &Message) -> rusqlite::Result<bool> {
        let unindexed = self.index.unindexed().of(message.room);
        has_message(&self.connection, &unindexed, message.room, message.id)
    }

    /// Whether the files at the database's path are missing or different ones.
    pub(super) fn files_were_replaced(&self) -> bool {
        FileIdentity::of(&self.files.path) != self.identity
    }

    /// Whether another program has written to the database since the last call.
    pub(super) fn was_changed_by_others(&mut self) -> bool {
        let number = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0)).ok();
        std::mem::replace(&mut self.changes_by_others, number) != number || number.is_none()
    }

    /// Writes one unchanged row, to find out whether writing works.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.connection.execute("UPDATE counter SET next = next WHERE name = 'id'", [])?;
        Ok(())
    }

    /// Rejects reads from now on.
    pub(super) fn refuse_readers(&self) {
        self.files.readers.close();
    }

    /// Closes the file. The last connection to close copies the write-ahead log into the database and removes it.
    pub(super) fn close(&mut self, last: impl FnOnce(&Connection)) {
        if self.files.readers.is_closed() {
            return;
        }
        last(&self.connection);
        let Ok(placeholder) = Connection::open_in_memory() else { return };
        let connection = std::mem::replace(&mut self.connection, placeholder);
        self.files.close(|| {
            if let Err((_, error)) = connection.close() {
                tracing::warn!(%error, "the database was not closed: {error}");
            }
        });
    }

    fn transaction<T>(&mut self, entries: &[Entry<T>]) -> rusqlite::Result<Outcome> {
        // Between transactions only: the database does not show the messages of an open one yet.
        if self.last_seqs.len() >= ROOMS_REMEMBERED_MAX {
            self.last_seqs.clear();
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (mut accepted, mut rejected) = (Vec::with_capacity(entries.len()), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            let Some(message) = entry.message.as_deref() else { continue };
            let rowid = self.index.next_rowid() + to_sql(accepted.len() as u64);
            match self.accept(message, rowid)? {
                Ok(sender) => {
                    accepted.push((message, Inserted { room: message.room, seq: message.seq, rowid, sender }));
                }
                Err(error) => drop(rejected.insert(index, error)),
            }
        }
        insert::messages(&self.connection, &accepted)?;
        insert::last_seqs(&self.connection, &accepted)?;
        let index_update = self.index.write(&self.connection, accepted.len())?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        let last = accepted.last().map(|(message, _)| (message.room, message.seq));
        self.acknowledged.messages = last.into_iter().collect();
        self.index.committed(&index_update, accepted.into_iter().map(|(_, inserted)| inserted));
        Ok(Outcome { rejected, written: true })
    }

    /// Checks a message that will have this rowid. Returns the row of its sender, or why the message alone is rejected.
    fn accept(&mut self, message: &Message, rowid: i64) -> rusqlite::Result<Result<i64, StoreError>> {
        let Self { connection, last_seqs, ids, senders, .. } = self;
        let last = match last_seqs.get_mut(&message.room) {
            Some(last) => last,
            // Instead of a foreign key, which SQLite would check for every message.
            None if room_rows::exists(connection, message.room)? => {
                let seq = last_seq(connection, message.room)?;
                last_seqs.entry(message.room).or_insert(seq)
            }
            None => return Ok(Err(StoreError::NoRoom)),
        };
        if message.seq != last.next() {
            return Ok(Err(StoreError::OutOfTurn));
        }
        if message_key(message.room, message.seq).is_none() {
            return Ok(Err(StoreError::Full));
        }
        if !insert::client_id(connection, message, rowid)? {
            return Ok(Err(StoreError::Repeated));
        }
        *last = message.seq;
        ids.reserve(connection, message.id.0)?;
        senders.rowid(connection, &message.sender).map(Ok)
    }
}
