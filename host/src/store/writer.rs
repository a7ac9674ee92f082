//! The one writer. Whatever has gathered while the last transaction was under way is the next one, so a batch is a single
//! message when it is quiet and grows by itself under load.
//!
//! It also holds the rule that numbers in a room have no gaps: a message whose `seq` does not follow the last one stored is
//! not stored either.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use tokio::sync::oneshot;

use super::rows::{last_seq, read_room, room_columns, stored};
use super::{RoomOutcome, StoreError};
use crate::config::Limits;
use crate::model::{Message, Room, RoomDraft, RoomId, Seq, Timestamp};

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
    /// Nothing else waits for the disk.
    pub quiet: bool,
}

struct CreateRoom {
    draft: RoomDraft,
    post_id: Option<u64>,
    owner: Option<String>,
    answer: oneshot::Sender<Result<RoomOutcome, StoreError>>,
}

/// Anything else that is to be written, with transactions of its own.
type Errand = Box<dyn FnOnce(&mut Connection) + Send>;

/// The way to the writer's thread.
pub(super) struct Writer<T> {
    shared: Arc<Shared<T>>,
    queue_max: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    filled: Condvar,
}

struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    rooms: Vec<CreateRoom>,
    errands: Vec<Errand>,
    closed: bool,
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Writer<T> {
    pub(super) fn start(
        connection: Connection,
        limits: &Limits,
        done: impl FnMut(Batch<T>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let queue = Queue { entries: VecDeque::new(), rooms: Vec::new(), errands: Vec::new(), closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new() });
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn({
            let (shared, batch_max) = (Arc::clone(&shared), limits.commit_batch_max);
            move || Desk { connection, last: HashMap::new() }.work(&shared, batch_max, done)
        })?;
        Ok(Self { shared, queue_max: limits.commit_queue_max, thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn append(&self, entry: Entry<T>) -> Result<(), Box<Failed<T>>> {
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(Box::new(Failed { entry, error: StoreError::Closed }));
        }
        if queue.entries.len() >= self.queue_max {
            return Err(Box::new(Failed { entry, error: StoreError::Busy(self.queue_max) }));
        }
        queue.entries.push_back(entry);
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }

    pub(super) async fn create_room(
        &self,
        draft: RoomDraft,
        post_id: Option<u64>,
        owner: Option<String>,
    ) -> Result<RoomOutcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(StoreError::Closed);
            }
            if queue.rooms.len() >= self.queue_max {
                return Err(StoreError::Busy(self.queue_max));
            }
            queue.rooms.push(CreateRoom { draft, post_id, owner, answer });
        }
        self.shared.filled.notify_one();
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Does something on the writer's connection, between two batches, and waits for it. For what is rare: it takes no
    /// part in a batch. Not for a worker.
    pub(super) fn run<R: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Connection) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = std::sync::mpsc::channel();
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(StoreError::Closed);
            }
            queue.errands.push(Box::new(move |connection| {
                let _ = answer.send(errand(connection));
            }));
        }
        self.shared.filled.notify_one();
        answered.recv().unwrap_or(Err(StoreError::Closed))
    }

    pub(super) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer had panicked");
        }
    }
}

/// What the writer's thread works with.
struct Desk {
    connection: Connection,
    /// The last `seq` stored in each room.
    last: HashMap<RoomId, Seq>,
}

impl Desk {
    fn work<T>(mut self, shared: &Shared<T>, batch_max: usize, mut done: impl FnMut(Batch<T>)) {
        loop {
            let (entries, rooms, errands) = {
                let mut queue = shared.queue();
                while queue.entries.is_empty() && queue.rooms.is_empty() && queue.errands.is_empty() {
                    if queue.closed {
                        return;
                    }
                    queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                let count = queue.entries.len().min(batch_max);
                let entries = queue.entries.drain(..count).collect::<Vec<_>>();
                (entries, std::mem::take(&mut queue.rooms), std::mem::take(&mut queue.errands))
            };
            for errand in errands {
                errand(&mut self.connection);
            }
            for room in rooms {
                let outcome = self.create_room(&room);
                let _ = room.answer.send(outcome);
            }
            if entries.is_empty() {
                continue;
            }
            let mut batch = self.store(entries);
            batch.quiet = shared.queue().entries.is_empty();
            done(batch);
        }
    }

    /// One transaction for all of them. When it fails, none is stored.
    fn store<T>(&mut self, entries: Vec<Entry<T>>) -> Batch<T> {
        let mut batch = Batch { stored: Vec::with_capacity(entries.len()), failed: Vec::new(), quiet: false };
        let outcome = self.transaction(entries, &mut batch);
        if let Err(error) = outcome {
            let error = StoreError::from(error);
            tracing::error!(%error, messages = batch.stored.len(), "messages could not be stored");
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "the transaction could not be rolled back");
            }
            self.last.clear();
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

    /// Moves every entry into the batch, whatever happens: the first error is kept, and the caller tells all.
    fn transaction<T>(&mut self, entries: Vec<Entry<T>>, batch: &mut Batch<T>) -> rusqlite::Result<()> {
        if entries.iter().all(|entry| entry.message.is_none()) {
            batch.stored = entries;
            return Ok(());
        }
        let mut outcome = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        for entry in entries {
            if let (Some(message), true) = (&entry.message, outcome.is_ok()) {
                match self.insert(message) {
                    Ok(None) => {}
                    Ok(Some(error)) => {
                        batch.failed.push(Failed { entry, error });
                        continue;
                    }
                    Err(error) => outcome = Err(error),
                }
            }
            batch.stored.push(entry);
        }
        outcome?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Inserts one message, or says why it alone is not stored.
    fn insert(&mut self, message: &Message) -> rusqlite::Result<Option<StoreError>> {
        if self.last.len() >= ROOMS_REMEMBERED_MAX {
            self.last.clear();
        }
        let last = match self.last.get(&message.room) {
            Some(last) => *last,
            None => last_seq(&self.connection, message.room)?,
        };
        if message.seq != last.next() {
            return Ok(Some(StoreError::OutOfTurn));
        }
        match insert_message(&self.connection, message) {
            Ok(()) => {
                self.last.insert(message.room, message.seq);
                Ok(None)
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(Some(error.into())),
            Err(error) => Err(error),
        }
    }

    fn create_room(&mut self, request: &CreateRoom) -> Result<RoomOutcome, StoreError> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if let Some(post_id) = request.post_id {
            let sql = concat!(room_columns!(), " WHERE post_id = ?1");
            let standing = transaction.prepare_cached(sql)?.query_row([stored(post_id)], read_room).optional()?;
            if let Some(room) = standing {
                return Ok(RoomOutcome::Standing(room));
            }
        }
        let created_at = Timestamp::now();
        transaction
            .prepare_cached("INSERT INTO room (name, post_id, owner, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute((&request.draft.name, request.post_id.map(stored), &request.owner, stored(created_at.0)))?;
        let id = RoomId(transaction.last_insert_rowid().unsigned_abs());
        transaction.commit()?;
        Ok(RoomOutcome::Created(Room {
            id,
            name: request.draft.name.clone(),
            post_id: request.post_id,
            owner: request.owner.clone(),
            created_at,
        }))
    }
}

fn insert_message(connection: &Connection, message: &Message) -> rusqlite::Result<()> {
    let (sender, draft) = (&message.sender, &message.draft);
    let mut statement = connection.prepare_cached(
        "INSERT INTO message \
         (id, room, seq, sender, nickname, email, profile_url, text, client_id, parent, extra, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.execute((
        stored(message.id.0),
        stored(message.room.0),
        stored(message.seq.0),
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
