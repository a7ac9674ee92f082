//! The one writer, which is whoever brings a message while nobody writes: the leader commits for all who bring one
//! meanwhile. Whatever has gathered while a transaction was under way is the next one, so a batch is a single message when
//! it is quiet and grows by itself under load, and no message waits for a thread to wake.
//!
//! It also holds the rule that numbers in a room have no gaps: a message whose `seq` does not follow the last one stored is
//! not stored either.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{CachedStatement, Connection, ErrorCode, OptionalExtension as _};

use super::ids::{self, Ids};
use super::places::{Places, place};
use super::rows::{last_seq, read_room, room_columns, stored};
use super::{RoomOutcome, StoreError};
use crate::config::Limits;
use crate::model::{Message, MessageId, Room, RoomDraft, RoomId, Seq, Timestamp};

/// Rooms whose last `seq` is remembered, before all are forgotten and looked up again.
const ROOMS_REMEMBERED_MAX: usize = 100_000;

/// A message on its way to the disk, and what the caller wants back with it.
#[derive(Debug)]
pub struct Entry<T> {
    /// What is stored. None: nothing is, and this only comes back in its turn.
    pub message: Option<Message>,
    /// What comes back.
    pub then: T,
}

/// An entry that was not stored.
#[derive(Debug)]
pub struct Failed<T> {
    /// The entry.
    pub entry: Entry<T>,
    /// Why.
    pub error: StoreError,
}

/// What one transaction did.
#[derive(Debug)]
pub struct Batch<T> {
    /// Committed, or with nothing to commit, in the order in which they were handed over.
    pub stored: Vec<Entry<T>>,
    /// Not stored.
    pub failed: Vec<Failed<T>>,
}

/// Whose turn it is to commit.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The caller's: it has to call [`super::Store::commit`] soon.
    Yours,
    /// Somebody else's, who commits this too.
    Theirs,
}

/// The way to the file for everything that changes it.
pub(super) struct Writer<T> {
    queue: Mutex<Queue<T>>,
    desk: Mutex<Desk>,
    door: Mutex<()>,
    queue_max: usize,
    batch_max: usize,
}

struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    /// Somebody is to commit what is here.
    led: bool,
    closed: bool,
}

impl<T> Writer<T> {
    pub(super) fn new(connection: Connection, limits: &Limits) -> Self {
        Self {
            queue: Mutex::new(Queue { entries: VecDeque::new(), led: false, closed: false }),
            desk: Mutex::new(Desk { connection, last: HashMap::new(), ids: Ids::default(), places: Places::default() }),
            door: Mutex::default(),
            queue_max: limits.commit_queue_max,
            batch_max: limits.commit_batch_max,
        }
    }

    pub(super) fn append(&self, entry: Entry<T>) -> Result<Turn, Box<Failed<T>>> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Box::new(Failed { entry, error: StoreError::Closed }));
        }
        if queue.entries.len() >= self.queue_max {
            return Err(Box::new(Failed { entry, error: StoreError::Busy(self.queue_max) }));
        }
        queue.entries.push_back(entry);
        Ok(if std::mem::replace(&mut queue.led, true) { Turn::Theirs } else { Turn::Yours })
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue().entries.len()
    }

    pub(super) fn commit(&self, report: impl FnOnce(Batch<T>)) -> Turn {
        let lead = Lead(self);
        let mut desk = self.desk();
        let entries = {
            let mut queue = self.queue();
            let count = queue.entries.len().min(self.batch_max);
            queue.entries.drain(..count).collect::<Vec<_>>()
        };
        if !entries.is_empty() {
            report(desk.store(entries));
        }
        drop(desk);
        lead.end()
    }

    pub(super) fn create_room(
        &self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        if self.queue().closed {
            return Err(StoreError::Closed);
        }
        self.desk().create_room(draft, post_id, owner)
    }

    /// Does something while nobody commits.
    pub(super) fn hold<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _desk = self.desk();
        meanwhile()
    }

    /// Does something else between two batches, with transactions of its own. For what is rare: messages wait meanwhile. Not
    /// for a worker.
    pub(super) fn run<R>(
        &self,
        errand: impl FnOnce(&mut Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        if self.queue().closed {
            return Err(StoreError::Closed);
        }
        errand(&mut self.desk().connection)
    }

    pub(super) fn close(&self) {
        self.queue().closed = true;
    }

    pub(super) fn keep_next_id(&self, next: MessageId) -> Result<(), StoreError> {
        Ok(ids::keep(&self.desk().connection, next.0)?)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk, as it has to be found: whoever panicked at it may have left a transaction open. By way of a door, so that
    /// the leader who comes again at once does not pass by whoever waits.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.desk.lock().unwrap_or_else(|poisoned| {
            let mut desk = poisoned.into_inner();
            desk.start_over();
            self.desk.clear_poison();
            desk
        })
    }
}

/// The lead over what has gathered, given up even by a panic: the next who brings a message takes it.
struct Lead<'a, T>(&'a Writer<T>);

impl<T> Lead<'_, T> {
    /// Keeps it when more has gathered.
    fn end(self) -> Turn {
        let mut queue = self.0.queue();
        queue.led = !queue.entries.is_empty();
        let turn = if queue.led { Turn::Yours } else { Turn::Theirs };
        drop(queue);
        std::mem::forget(self);
        turn
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        self.0.queue().led = false;
    }
}

/// What whoever writes works with.
struct Desk {
    connection: Connection,
    /// The last `seq` stored in each room.
    last: HashMap<RoomId, Seq>,
    ids: Ids,
    places: Places,
}

impl Desk {
    /// One transaction for all of them. When it fails, none is stored.
    fn store<T>(&mut self, entries: Vec<Entry<T>>) -> Batch<T> {
        let mut batch = Batch { stored: Vec::with_capacity(entries.len()), failed: Vec::new() };
        let outcome = self.transaction(entries, &mut batch);
        if let Err(error) = outcome {
            let error = StoreError::from(error);
            self.start_over();
            tracing::error!(%error, messages = batch.stored.len(), "messages could not be stored");
            for entry in std::mem::take(&mut batch.stored) {
                if entry.message.is_none() {
                    batch.stored.push(entry);
                } else {
                    batch.failed.push(Failed { entry, error: error.clone() });
                }
            }
        }
        batch
    }

    /// Leaves nothing begun, and trusts nothing remembered.
    fn start_over(&mut self) {
        self.last.clear();
        self.ids.forget();
        self.places.forget();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Moves every entry into the batch, whatever happens: the first error is kept, and the caller tells all.
    fn transaction<T>(&mut self, entries: Vec<Entry<T>>, batch: &mut Batch<T>) -> rusqlite::Result<()> {
        if entries.iter().all(|entry| entry.message.is_none()) {
            batch.stored = entries;
            return Ok(());
        }
        let Self { connection, last, ids, places } = self;
        let mut begun = begin(connection);
        let mut inserted = 0;
        for entry in entries {
            if let (Some(message), Ok(insert)) = (&entry.message, &mut begun) {
                let taken = ids.take(connection, message.id.0);
                match taken.and_then(|()| insert_next(connection, insert, last, message)) {
                    Ok(None) => inserted += 1,
                    Ok(Some(error)) => {
                        batch.failed.push(Failed { entry, error });
                        continue;
                    }
                    Err(error) => begun = Err(error),
                }
            }
            batch.stored.push(entry);
        }
        drop(begun?);
        places.follow(connection, inserted)?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn create_room(
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

/// Begins a transaction for messages.
fn begin(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    connection.prepare_cached(
        "INSERT INTO message \
         (room, seq, id, sender, nickname, email, profile_url, text, client_id, parent, extra, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )
}

/// Inserts one message, or says why it alone is not stored.
fn insert_next(
    connection: &Connection,
    insert: &mut CachedStatement<'_>,
    last: &mut HashMap<RoomId, Seq>,
    message: &Message,
) -> rusqlite::Result<Option<StoreError>> {
    if last.len() >= ROOMS_REMEMBERED_MAX {
        last.clear();
    }
    let before = match last.get(&message.room) {
        Some(before) => *before,
        // A room that is not remembered is looked for, in the place of a foreign key that would be checked each time.
        None if room_exists(connection, message.room)? => last_seq(connection, message.room)?,
        None => return Ok(Some(StoreError::NoRoom)),
    };
    if message.seq != before.next() {
        last.remove(&message.room);
        return Ok(Some(StoreError::OutOfTurn));
    }
    if place(message.room, message.seq).is_none() {
        return Ok(Some(StoreError::Full));
    }
    match insert_message(insert, message) {
        Ok(()) => {
            last.insert(message.room, message.seq);
            Ok(None)
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            last.remove(&message.room);
            Ok(Some(error.into()))
        }
        Err(error) => Err(error),
    }
}

fn room_exists(connection: &Connection, room: RoomId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM room WHERE id = ?1")?.exists([stored(room.0)])
}

fn insert_message(insert: &mut CachedStatement<'_>, message: &Message) -> rusqlite::Result<()> {
    let (sender, draft) = (&message.sender, &message.draft);
    insert.execute((
        stored(message.room.0),
        stored(message.seq.0),
        stored(message.id.0),
        &sender.id,
        &sender.nickname,
        &sender.email,
        &sender.profile_url,
        &draft.text,
        &draft.client_id,
        draft.parent.map(|parent| stored(parent.0)),
        &draft.extra,
        stored(message.created_at.0),
    ))?;
    Ok(())
}
