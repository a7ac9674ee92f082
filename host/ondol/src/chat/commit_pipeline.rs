//! Group commit: the first to append while no commit runs becomes the leader, which commits what has gathered and delivers it.
//!
//! The leader's task runs on the worker that appended, so a quiet message wakes no thread on its way to the disk and back.
//! Before a commit it lets the worker take what other connections have ready: under load that is a batch, and when it is quiet
//! it is nothing and costs nothing. While the leader waits for the disk or writes to sockets, the next batch gathers. Knows
//! nothing of rooms: `T` comes back with each entry, and what is done with it then is told at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::ticket::Accepted;
use crate::config::Limits;
use ondol_host_rooms::Flow;
use ondol_host_store::{Batch, Entry, Failed, Leader, Store};

/// How many times the leader lets others append more before it commits.
const GATHER_MAX: usize = 8;

/// What every room appends to.
pub(super) struct Pipeline<T> {
    pub(super) store: Store<T>,
    pub(super) limits: Limits,
    pub(super) runtime: Handle,
    deliver: Deliver<T>,
    /// What is accepted and not committed.
    queued: Arc<Flow>,
    /// Leaders, and what they leave to tasks of their own.
    tasks: TaskTracker,
    /// How many messages the last batch had.
    last_batch: AtomicUsize,
}

/// Publishes what a leader has committed, before the next commit.
type Deliver<T> = fn(&Pipeline<T>, Batch<T>);

impl<T: Send + 'static> Pipeline<T> {
    pub(super) fn new(store: Store<T>, limits: Limits, runtime: Handle, deliver: Deliver<T>) -> Self {
        let queued = Flow::new(limits.commit_queue_bytes_max);
        let (tasks, last_batch) = Default::default();
        Self { store, limits, runtime, deliver, queued, tasks, last_batch }
    }

    /// Counts what is accepted, in `flow` as well. None: `commit_queue_bytes_max` wait already.
    pub(super) fn accept(&self, flow: &Arc<Flow>, bytes: usize) -> Option<Accepted> {
        let max = self.limits.commit_queue_bytes_max;
        if !self.queued.is_low() {
            tracing::warn!(max, "message refused as busy: commit_queue_bytes_max = {max} bytes wait for the disk");
            return None;
        }
        Some(Accepted::new(self.queued.begin(bytes), flow.begin(bytes)))
    }

    /// Appends an entry to the store's queue, and starts the leader's task when it is the first.
    pub(super) fn append(self: &Arc<Self>, entry: Entry<T>) -> Result<(), Box<Failed<T>>> {
        if let Some(leader) = self.store.append(entry)? {
            let pipeline = Arc::clone(self);
            self.spawn(async move { pipeline.lead(leader).await });
        }
        Ok(())
    }

    /// Runs a task that [`Pipeline::close`] waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Commits and delivers batch after batch, until nothing more has gathered.
    async fn lead(&self, leader: Leader<T>) {
        let mut next = Some(leader);
        while let Some(mut leader) = next {
            self.gather().await;
            let batch = leader.commit().await;
            self.last_batch.store(batch.stored.len(), Ordering::Relaxed);
            (self.deliver)(self, batch);
            next = leader.step_down();
        }
    }

    /// Lets the worker take what is ready on other connections, for as long as that brings more. Not when the last batch was a
    /// single message and this one is: then it is quiet, and asking all sockets would wake another worker for nothing.
    async fn gather(&self) {
        let mut waiting = self.store.waiting();
        if waiting <= 1 && self.last_batch.load(Ordering::Relaxed) <= 1 {
            return;
        }
        for _ in 0..GATHER_MAX {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut waiting, self.store.waiting());
            if waiting == before {
                return;
            }
        }
    }

    /// Commits and delivers what was appended, then closes the store.
    pub(super) async fn close(self: &Arc<Self>) {
        self.tasks.close();
        self.store.stop();
        self.settle().await;
        self.store.close();
        self.settle().await;
        let pipeline = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || pipeline.store.finish()).await;
    }

    /// Waits until every entry is committed and delivered.
    async fn settle(&self) {
        self.tasks.wait().await;
        if let Some(leader) = self.store.take_over() {
            self.lead(leader).await;
            self.tasks.wait().await;
        }
    }
}
