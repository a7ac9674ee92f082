//! Group commit: the first writer to append an entry while no commit runs becomes the leader, and commits for the
//! followers that append meanwhile. A quiet batch is a single message and batches grow under load, and no message waits
//! for a thread to wake up. How a batch is written is up to the [engine](super::engine).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{Batch, Entry, Failed};
use super::engine::Engine;
use super::error::StoreError;
use super::figures::{CommitFigures, StoreFigures};
use super::limits::StoreLimits;

/// The queue of entries that wait for the next commit.
pub(super) struct GroupCommit<T> {
    engine: Arc<Engine>,
    queue: Mutex<Queue<T>>,
    figures: CommitFigures,
    queue_max: usize,
    batch_max: usize,
}

struct Queue<T> {
    entries: Vec<Entry<T>>,
    /// A leader will commit the entries.
    has_leader: bool,
    /// How many batches leaders have taken.
    batches: u64,
    closed: bool,
}

impl<T> GroupCommit<T> {
    pub(super) fn new(engine: Arc<Engine>, limits: &StoreLimits) -> Self {
        Self {
            engine,
            queue: Mutex::new(Queue { entries: Vec::new(), has_leader: false, batches: 0, closed: false }),
            figures: CommitFigures::default(),
            queue_max: limits.commit_queue_max,
            batch_max: limits.commit_batch_max,
        }
    }

    /// Appends an entry. Returns the leadership if no commit runs.
    pub(super) fn append(self: &Arc<Self>, entry: Entry<T>) -> Result<Option<Leader<T>>, Box<Failed<T>>> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Box::new(Failed { entry, error: StoreError::Closed }));
        }
        if queue.entries.len() >= self.queue_max {
            return Err(Box::new(Failed { entry, error: StoreError::Busy(self.queue_max) }));
        }
        queue.entries.push(entry);
        let had_leader = std::mem::replace(&mut queue.has_leader, true);
        Ok((!had_leader).then(|| Leader { commits: Arc::clone(self), is_leading: true }))
    }

    /// The number of entries that wait to be committed.
    pub(super) fn waiting(&self) -> usize {
        self.queue().entries.len()
    }

    /// What the commits came to.
    pub(super) fn figures(&self) -> StoreFigures {
        StoreFigures { waiting: self.waiting(), ..self.figures.read() }
    }

    /// Takes over entries without a leader.
    pub(super) fn take_over(self: &Arc<Self>) -> Option<Leader<T>> {
        let mut queue = self.queue();
        if queue.has_leader || queue.entries.is_empty() {
            return None;
        }
        queue.has_leader = true;
        Some(Leader { commits: Arc::clone(self), is_leading: true })
    }

    /// The number of the batch that a leader is at. None: there is no leader.
    pub(super) fn at_batch(&self) -> Option<u64> {
        let queue = self.queue();
        queue.has_leader.then_some(queue.batches)
    }

    /// Rejects entries from now on.
    pub(super) fn close(&self) {
        self.queue().closed = true;
    }

    /// Takes the entries of the next batch.
    fn next_batch(&self) -> Vec<Entry<T>> {
        let mut queue = self.queue();
        queue.batches += 1;
        let rest = match queue.entries.len() {
            count if count > self.batch_max => queue.entries.split_off(self.batch_max),
            // The next batch is likely to be as large as this one.
            count => Vec::with_capacity(count),
        };
        std::mem::replace(&mut queue.entries, rest)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leader of a group commit. It alone commits, and it leads until it has published what it committed, so batches
/// are published in the order of their commits. Dropping it, by a panic too, gives up the lead: the next writer to
/// append takes it.
#[must_use]
pub struct Leader<T> {
    commits: Arc<GroupCommit<T>>,
    /// False after it stepped down: another writer may lead by then.
    is_leading: bool,
}

impl<T> Leader<T> {
    /// Commits the entries that have gathered in one transaction, and returns what became of them.
    ///
    /// With SQLite the future is ready at the first poll and has waited for the disk meanwhile; where commits are
    /// usually slow, the worker's other tasks are handed off first.
    pub async fn commit(&mut self) -> Batch<T> {
        let commits = &self.commits;
        let (batch, took) = match &*commits.engine {
            Engine::Sqlite(sqlite) => sqlite.commit(|| commits.next_batch()),
            // In memory of its own, so that the leader's task of the other engine stays small.
            Engine::Postgres(postgres) => Box::pin(postgres.commit(commits.next_batch())).await,
        };
        commits.figures.add(&batch, took);
        batch
    }

    /// Gives up the lead unless more entries have gathered.
    pub fn step_down(mut self) -> Option<Self> {
        let mut queue = self.commits.queue();
        if !queue.entries.is_empty() {
            drop(queue);
            return Some(self);
        }
        queue.has_leader = false;
        drop(queue);
        self.is_leading = false;
        None
    }
}

impl<T> Drop for Leader<T> {
    fn drop(&mut self) {
        if self.is_leading {
            self.commits.queue().has_leader = false;
        }
    }
}
