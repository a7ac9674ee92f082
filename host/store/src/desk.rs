//! What is written in one transaction: the messages of a batch, who said them, and where they stand. Knows nothing of who is
//! its turn.
//!
//! It holds the rule that numbers in a room have no gaps: a message whose `seq` does not follow the last one stored is not
//! stored either.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use rusqlite::{Connection, OptionalExtension as _, Statement};

use super::files::Files;
use super::ids::Ids;
use super::reopen::{Answered, Identity, drop_page_cache};
use super::rows::{self, last_seq, read_room, room_columns, stored};
use super::runs::{Inserted, Runs, Tails, place};
use super::senders::Senders;
use super::writer::Entry;
use super::{RoomOutcome, StoreError, checkpoint, setup};
use ondol_host_model::{Message, Room, RoomDraft, RoomId, Seq, Timestamp};

/// Rooms whose last `seq` is remembered, before all are forgotten and looked up again.
const ROOMS_REMEMBERED_MAX: usize = 100_000;

/// Messages that one statement inserts, where there are so many: to begin and end one costs as much as half a row.
const ROWS: usize = 16;

/// What whoever writes works with.
pub(super) struct Desk {
    pub(super) connection: Connection,
    files: Arc<Files>,
    identity: Identity,
    /// The last `seq` stored in each room.
    last: HashMap<RoomId, Seq>,
    ids: Ids,
    senders: Senders,
    runs: Runs,
    answered: Answered,
}

/// What a transaction came to.
pub(super) struct Stored {
    /// Those that are not stored, by their index, and why.
    pub(super) refused: HashMap<usize, StoreError>,
    /// Whether anything was written.
    pub(super) written: bool,
}

impl Desk {
    pub(super) fn open(files: &Arc<Files>, connection: Connection) -> rusqlite::Result<Self> {
        let runs = Runs::read(&connection)?;
        let (last, ids, senders, answered) = Default::default();
        let identity = Identity::of(&files.path);
        Ok(Self { connection, files: Arc::clone(files), identity, last, ids, senders, runs, answered })
    }

    /// Where the messages are that are in no run, for whoever reads.
    pub(super) fn tails(&self) -> Tails {
        self.runs.tails()
    }

    /// One transaction for all of them. When it fails, none is stored, unless a sync failed: then nobody knows.
    pub(super) fn store<T>(&mut self, entries: &[Entry<T>]) -> rusqlite::Result<Stored> {
        if entries.iter().all(|entry| entry.message.is_none()) {
            return Ok(Stored { refused: HashMap::new(), written: false });
        }
        let stored = self.transaction(entries);
        if stored.is_err() {
            self.start_over();
        }
        stored
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

    /// Closes every connection of this process and opens the database anew, as the disk holds it.
    ///
    /// # Errors
    ///
    /// Says what was answered as stored and is not there, or why the database cannot be opened.
    pub(super) fn reopen(&mut self) -> Result<(), String> {
        let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let mut answered = self.answered.clone();
        answered.messages.extend(self.runs.last_of_each());
        self.start_over();
        let nothing = Connection::open_in_memory().map_err(|error| told("closing", &error))?;
        let writer = std::mem::replace(&mut self.connection, nothing);
        let files = Arc::clone(&self.files);
        let identity = self.identity;
        let connection = files.alone(|| {
            // What the log holds is not to be copied into the database before it is known to be on the disk.
            setup::leave_log(&writer).map_err(|error| told("closing", &error))?;
            drop(writer);
            // Where another process has the database open, its log stands; else SQLite reads it again from the disk.
            if Identity::of(&files.path) != identity {
                return Err("the database's files are not those that were opened".to_owned());
            }
            drop_page_cache(&files.path).map_err(|error| told("dropping the page cache", &error))?;
            setup::open_existing(&files).map_err(|error| told("opening", &error))
        })?;
        self.connection = connection;
        let reading = |error: rusqlite::Error| told("reading", &error);
        checkpoint::ask_when_due(&mut self.connection, &self.files).map_err(reading)?;
        let runs = Runs::read(&self.connection).map_err(reading)?;
        self.runs.become_those(runs);
        self.identity = Identity::of(&self.files.path);
        match answered.missing(&self.connection).map_err(reading)? {
            Some(missing) => Err(format!("{missing} was answered as stored, and is not on the disk")),
            None => Ok(()),
        }
    }

    /// Whether a message is in the database, as it was handed over.
    pub(super) fn holds(&self, message: &Message) -> rusqlite::Result<bool> {
        let tails = self.runs.tails();
        rows::has_message(&self.connection, &tails.of(message.room), message.room, message.id)
    }

    /// Whether other files stand where the database's were, or none.
    pub(super) fn files_were_replaced(&self) -> bool {
        Identity::of(&self.files.path) != self.identity
    }

    /// Writes as little as can be, to see whether that is possible.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.connection.execute("UPDATE counter SET next = next WHERE name = 'id'", [])?;
        Ok(())
    }

    /// Remembers that a release was answered as recorded.
    pub(super) fn answered_release(&mut self, number: u64) {
        self.answered.release = Some(number);
    }

    /// Lets nothing be read any more.
    pub(super) fn refuse_readers(&self) {
        self.files.readers.close();
    }

    /// Closes the file. The last connection to close copies the write-ahead log into the database and removes it.
    pub(super) fn close(&mut self) {
        let Ok(nothing) = Connection::open_in_memory() else { return };
        let writer = std::mem::replace(&mut self.connection, nothing);
        self.files.close(|| {
            if let Err((_, error)) = writer.close() {
                tracing::warn!(%error, "the database could not be closed");
            }
        });
    }

    fn transaction<T>(&mut self, entries: &[Entry<T>]) -> rusqlite::Result<Stored> {
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
        note_last(&self.connection, &taken)?;
        let written = self.runs.write(&self.connection, taken.len())?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.answered.messages = taken.last().map(|(message, _)| (message.room, message.seq)).into_iter().collect();
        self.runs.committed(&written, taken.into_iter().map(|(_, inserted)| inserted));
        Ok(Stored { refused, written: true })
    }

    /// Takes a message in, which will be the `n`th, and gives its sender's row. Or why it alone is not stored.
    fn take(&mut self, message: &Message, n: i64) -> rusqlite::Result<Result<i64, StoreError>> {
        let Self { connection, last, ids, senders, .. } = self;
        let before = match last.get_mut(&message.room) {
            Some(before) => before,
            // A room that is not remembered is looked for, in the place of a foreign key that would be checked each time.
            None if room_exists(connection, message.room)? => {
                let seq = last_seq(connection, message.room)?;
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
        self.answered.room = Some(id);
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
    // A row whose message an operator deleted holds nothing back.
    let claimed = connection
        .prepare_cached(
            "INSERT INTO client_message (room, user, client_id, n) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (room, user, client_id) DO UPDATE SET n = excluded.n WHERE NOT EXISTS \
             (SELECT 1 FROM message WHERE message.n = client_message.n AND message.room = ?1 AND message.client_id = ?3)",
        )?
        .execute((stored(message.room.0), &message.sender.id, client_id, n))?;
    Ok((claimed == 0).then_some(StoreError::Repeated))
}

/// Notes the last number of each room that got messages.
fn note_last(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO room_seq (room, last) VALUES (?1, ?2) ON CONFLICT (room) DO UPDATE SET last = excluded.last",
    )?;
    // By room, so that neighbours in the table follow one another; the last of each is its highest.
    let last: BTreeMap<i64, i64> =
        messages.iter().map(|(message, _)| (stored(message.room.0), stored(message.seq.0))).collect();
    last.iter().try_for_each(|last| statement.execute(last).map(drop))
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
