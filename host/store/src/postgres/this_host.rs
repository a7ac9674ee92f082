//! This host as PostgreSQL knows it: its number, whether it may still write, and whether the server answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;

/// After this time without an answer the database counts as failed.
const SILENT_MAX: Duration = Duration::from_secs(3);

/// What the connections of this host know of it together.
pub(super) struct ThisHost {
    /// The number of its row.
    pub(super) no: i32,
    times: Mutex<Times>,
    /// Why the last write failed.
    failure: Mutex<Option<String>>,
    /// Why it may not write any more.
    lost: OnceLock<String>,
    /// Steps down. Called once, when the role is lost.
    step_down: fn(),
    closed_at: OnceLock<Instant>,
    is_storing: AtomicBool,
}

struct Times {
    answered: Instant,
    beaten: Instant,
}

/// A batch that is being stored, until it is dropped.
pub(super) struct Storing<'a>(&'a ThisHost);

impl ThisHost {
    pub(super) fn new(no: i32, step_down: fn()) -> Self {
        let times = Mutex::new(Times { answered: Instant::now(), beaten: Instant::now() });
        let (failure, lost, closed_at, is_storing) = Default::default();
        Self { no, times, failure, lost, step_down, closed_at, is_storing }
    }

    /// Notes that PostgreSQL has answered.
    pub(super) fn answered(&self) {
        self.times().answered = Instant::now();
    }

    /// Notes that the row of this host was written.
    pub(super) fn beaten(&self) {
        let now = Instant::now();
        *self.times() = Times { answered: now, beaten: now };
        let reason = self.reason().take();
        if let Some(reason) = reason {
            tracing::info!(%reason, "the database is writable again, after: {reason}");
        }
    }

    /// Whether the row was written within this time.
    pub(super) fn has_beaten_within(&self, time: Duration) -> bool {
        self.times().beaten.elapsed() < time
    }

    /// Notes that a write failed.
    pub(super) fn failed(&self, reason: &str) {
        *self.reason() = Some(reason.to_owned());
    }

    /// The reason why nothing can be stored. None: storing works.
    pub(super) fn failure(&self) -> Option<String> {
        if let Some(reason) = self.lost.get() {
            return Some(reason.clone());
        }
        let silent = self.times().answered.elapsed();
        if silent >= SILENT_MAX {
            return Some(format!("PostgreSQL has not answered for {} s", silent.as_secs()));
        }
        self.reason().clone()
    }

    /// Notes that this host may not write any more, and steps down.
    pub(super) fn lose(&self, reason: &str) -> StoreError {
        if self.lost.set(reason.to_owned()).is_ok() {
            tracing::error!(reason, "this host steps down, because what it would say may not be true: {reason}");
            (self.step_down)();
        }
        StoreError::Fenced(reason.to_owned())
    }

    /// Notes that this host has left, which needs no stepping down.
    pub(super) fn left(&self) {
        let _ = self.lost.set("it has left".to_owned());
    }

    /// The error of a host that may not write any more.
    pub(super) fn lost(&self) -> Option<StoreError> {
        self.lost.get().cloned().map(StoreError::Fenced)
    }

    /// Notes that the store is closed.
    pub(super) fn close(&self) {
        let _ = self.closed_at.set(Instant::now());
    }

    /// When the store was closed.
    pub(super) fn closed_at(&self) -> Option<Instant> {
        self.closed_at.get().copied()
    }

    /// Notes that a batch is being stored, which beats as well.
    pub(super) fn storing(&self) -> Storing<'_> {
        self.is_storing.store(true, Ordering::Release);
        Storing(self)
    }

    /// Whether a batch is being stored. It may hold the row of this host.
    pub(super) fn is_storing(&self) -> bool {
        self.is_storing.load(Ordering::Acquire)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        self.0.is_storing.store(false, Ordering::Release);
    }
}
