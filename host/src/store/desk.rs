//! What is written in one transaction: the messages of a batch, who said them, and where they stand. Knows nothing of who is
//! its turn.
//!
//! It holds the rule that numbers in a room have no gaps: a message whose `seq` does not follow the last one stored is not
//! stored either.

use std::collections::HashMap;
use std::sync::LazyLock;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Statement};

use super::ids::Ids;
use super::rows::{last_seq, read_room, room_columns, stored};
use super::runs::{Inserted, Runs, place};
use super::senders::Senders;
use super::writer::{Batch, Entry, Failed};
use super::{RoomOutcome, StoreError};
use crate::model::{Message, Room, RoomDraft, RoomId, Seq, Timestamp};

/// Rooms whose last `seq` is remembered, before all are forgotten and looked up again.
const ROOMS_REMEMBERED_MAX: usize = 100_000;

/// Messages that one statement inserts, where there are so many: to begin and end one costs as much as half a row.
const ROWS: usize = 16;

/// What whoever writes works with.
pub(super) struct Desk {
    pub(super) connection: Connection,
    /// The last `seq` stored in each room.
    last: HashMap<RoomId, Seq>,
    ids: Ids,
    senders: Senders,
    runs: Runs,
}

impl Desk {
    pub(super) fn new(connection: Connection, runs: Runs) -> Self {
        Self { connection, last: HashMap::new(), ids: Ids::default(), senders: Senders::default(), runs }
    }

    /// One transaction for all of them. When it fails, none is stored.
    pub(super) fn store<T>(&mut self, entries: Vec<Entry<T>>) -> Batch<T> {
        if entries.iter().all(|entry| entry.message.is_none()) {
            return Batch { stored: entries, failed: Vec::new() };
        }
        match self.transaction(&entries) {
            Ok(refused) if refused.is_empty() => Batch { stored: entries, failed: Vec::new() },
            Ok(mut refused) => part(entries, |index, _| refused.remove(&index)),
            Err(error) => {
                let error = StoreError::from(error);
                self.start_over();
                tracing::error!(%error, messages = entries.len(), "messages could not be stored");
                part(entries, |_, entry| entry.message.is_some().then(|| error.clone()))
            }
        }
    }

    /// Leaves nothing begun, and trusts nothing remembered but what was committed.
    pub(super) fn start_over(&mut self) {
        self.last.clear();
        self.ids.forget();
        self.senders.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Gives those that are not stored, by their index, and why.
    fn transaction<T>(&mut self, entries: &[Entry<T>]) -> rusqlite::Result<HashMap<usize, StoreError>> {
        // Not in the midst of it: the database does not show yet what was taken before.
        if self.last.len() >= ROOMS_REMEMBERED_MAX {
            self.last.clear();
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (mut taken, mut refused) = (Vec::with_capacity(entries.len()), HashMap::new());
        for (index, entry) in entries.iter().enumerate() {
            let Some(message) = &entry.message else { continue };
            let n = self.runs.next() + stored(taken.len() as u64);
            match self.take(message, n)? {
                Ok(sender) => taken.push((message, Inserted { room: message.room, seq: message.seq, n, sender })),
                Err(error) => drop(refused.insert(index, error)),
            }
        }
        insert(&self.connection, &taken)?;
        let written = self.runs.write(&self.connection, taken.len())?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.runs.committed(&written, taken.into_iter().map(|(_, inserted)| inserted));
        Ok(refused)
    }

    /// Takes a message in, which will be the `n`th, and gives its sender's row. Or why it alone is not stored.
    fn take(&mut self, message: &Message, n: i64) -> rusqlite::Result<Result<i64, StoreError>> {
        let Self { connection, last, ids, senders, runs } = self;
        let before = match last.get_mut(&message.room) {
            Some(before) => before,
            // A room that is not remembered is looked for, in the place of a foreign key that would be checked each time.
            None if room_exists(connection, message.room)? => {
                let seq = last_seq(connection, &runs.tails().of(message.room), message.room)?;
                last.entry(message.room).or_insert(seq)
            }
            None => return Ok(Err(StoreError::NoRoom)),
        };
        let refused = if message.seq != before.next() {
            Some(StoreError::OutOfTurn)
        } else if place(message.room, message.seq).is_none() {
            Some(StoreError::Full)
        } else {
            claim(connection, message, n)?
        };
        if let Some(error) = refused {
            return Ok(Err(error));
        }
        *before = message.seq;
        ids.take(connection, message.id.0)?;
        senders.row(connection, &message.sender).map(Ok)
    }

    pub(super) fn create_room(
        &mut self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if let Some(post_id) = post_id {
            let sql = concat!(room_columns!(), " WHERE post_id = ?1");
            let standing = transaction.prepare_cached(sql)?.query_row([stored(post_id)], read_room).optional()?;
            if let Some(room) = standing {
                return Ok(RoomOutcome::Standing(room));
            }
        }
        let created_at = Timestamp::now();
        transaction
            .prepare_cached("INSERT INTO room (name, post_id, owner, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute((&draft.name, post_id.map(stored), owner, stored(created_at.0)))?;
        let id = RoomId(transaction.last_insert_rowid().unsigned_abs());
        transaction.commit()?;
        let (name, owner) = (draft.name.clone(), owner.map(str::to_owned));
        Ok(RoomOutcome::Created(Room { id, name, post_id, owner, created_at }))
    }
}

fn room_exists(connection: &Connection, room: RoomId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM room WHERE id = ?1")?.exists([stored(room.0)])
}

/// Notes the sender's own id for a message, if it has one. Gives why it may not have it: the sender has a message with the
/// same one in the room.
fn claim(connection: &Connection, message: &Message, n: i64) -> rusqlite::Result<Option<StoreError>> {
    let Some(client_id) = &message.draft.client_id else { return Ok(None) };
    let claimed = connection
        .prepare_cached("INSERT INTO client_message (room, user, client_id, n) VALUES (?1, ?2, ?3, ?4)")?
        .execute((stored(message.room.0), &message.sender.id, client_id, n));
    match claimed {
        Ok(_) => Ok(None),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(Some(error.into())),
        Err(error) => Err(error),
    }
}

/// Parts those that failed from those that did not, in their order.
fn part<T>(entries: Vec<Entry<T>>, mut why: impl FnMut(usize, &Entry<T>) -> Option<StoreError>) -> Batch<T> {
    let mut batch = Batch { stored: Vec::with_capacity(entries.len()), failed: Vec::new() };
    for (index, entry) in entries.into_iter().enumerate() {
        match why(index, &entry) {
            Some(error) => batch.failed.push(Failed { entry, error }),
            None => batch.stored.push(entry),
        }
    }
    batch
}

/// Inserts messages, in their order.
fn insert(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    static ONE: LazyLock<String> = LazyLock::new(|| insert_of(1));
    static MANY: LazyLock<String> = LazyLock::new(|| insert_of(ROWS));
    let (many, rest) = messages.as_chunks::<ROWS>();
    if !many.is_empty() {
        let mut statement = connection.prepare_cached(&MANY)?;
        many.iter().try_for_each(|messages| insert_by(&mut statement, messages))?;
    }
    if !rest.is_empty() {
        let mut statement = connection.prepare_cached(&ONE)?;
        rest.chunks(1).try_for_each(|message| insert_by(&mut statement, message))?;
    }
    Ok(())
}

/// Inserts as many messages as the statement does.
fn insert_by(statement: &mut Statement<'_>, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    for (row, (message, inserted)) in messages.iter().enumerate() {
        bind(statement, row * COLUMNS.len(), message, inserted)?;
    }
    statement.raw_execute()?;
    Ok(())
}

/// The columns of [`bind`].
const COLUMNS: [&str; 10] = ["n", "room", "seq", "id", "sender", "created_at", "text", "client_id", "parent", "extra"];

/// `OR FAIL`, as the whole transaction is given up when this fails: else
/// SQLite would keep a copy of each page that the statement changes.
fn insert_of(rows: usize) -> String {
    let row = format!("({})", vec!["?"; COLUMNS.len()].join(", "));
    format!("INSERT OR FAIL INTO message ({}) VALUES {}", COLUMNS.join(", "), vec![row; rows].join(", "))
}

/// Binds one row, whose parameters come after so many others.
fn bind(statement: &mut Statement<'_>, before: usize, message: &Message, inserted: &Inserted) -> rusqlite::Result<()> {
    let draft = &message.draft;
    statement.raw_bind_parameter(before + 1, inserted.n)?;
    statement.raw_bind_parameter(before + 2, stored(message.room.0))?;
    statement.raw_bind_parameter(before + 3, stored(message.seq.0))?;
    statement.raw_bind_parameter(before + 4, stored(message.id.0))?;
    statement.raw_bind_parameter(before + 5, inserted.sender)?;
    statement.raw_bind_parameter(before + 6, stored(message.created_at.0))?;
    statement.raw_bind_parameter(before + 7, &draft.text)?;
    statement.raw_bind_parameter(before + 8, &draft.client_id)?;
    statement.raw_bind_parameter(before + 9, draft.parent.map(|parent| stored(parent.0)))?;
    statement.raw_bind_parameter(before + 10, &draft.extra)
}
