//! This host as PostgreSQL knows it: its number, whether it may still write, and whether the server answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::reports::Reports;
use crate::error::StoreError;

/// How often this host shows that it lives.
pub(super) const BEAT: Duration = Duration::from_millis(500);

/// Why a host whose row says so may not write any more.
pub(super) const DECLARED_DEAD: &str = "another host has declared it dead";

/// After this time without an answer the database counts as failed.
const SILENT_MAX: Duration = Duration::from_secs(3);

/// What the connections do whose troubles are told.
pub(super) const WRITING: &str = "writing";
pub(super) const CONTROL: &str = "control";
/// Beats that are further apart, or an answer to one that takes so long, are a break: the other hosts may not have been able
/// to beat either.
const BREAK: Duration = Duration::from_millis(1_500);

/// What the connections of this host know of it together.
pub(super) struct ThisHost {
    /// The number of its row.
    pub(super) no: i32,
    times: Mutex<Times>,
    /// Why the last batch failed, and when that was last seen.
    failure: Mutex<Option<(String, Instant)>>,
    /// Why connections are lost and not open again, by what they do.
    troubles: Mutex<BTreeMap<&'static str, String>>,
    /// Why it may not write any more.
    lost: OnceLock<String>,
    /// Steps down. Called once, when the role is lost.
    step_down: fn(),
    closed_at: OnceLock<Instant>,
    /// The number of the last batch that is stored.
    stored: AtomicI64,
    beat_is_due: Notify,
    /// What it says of itself.
    pub(super) reports: Reports,
}

struct Times {
    answered: Instant,
    /// When the last beat was sent: the clock of the database has it no earlier.
    beaten: Instant,
    /// There was no break between beats since then.
    unbroken_since: Instant,
    /// Since when messages wait for an answer.
    waiting: Option<Instant>,
}

/// A wait of messages for PostgreSQL, until it is dropped.
pub(super) struct Waiting<'a>(&'a ThisHost);

impl ThisHost {
    pub(super) fn new(no: i32, step_down: fn()) -> Self {
        let now = Instant::now();
        let times = Mutex::new(Times { answered: now, beaten: now, unbroken_since: now, waiting: None });
        let (failure, troubles, lost, closed_at, stored, reports) = Default::default();
        Self { no, times, failure, troubles, lost, step_down, closed_at, stored, beat_is_due: Notify::new(), reports }
    }

    /// Notes that PostgreSQL has answered.
    pub(super) fn answered(&self) {
        self.times().answered = Instant::now();
    }

    /// Notes that the row of this host was written, by a statement that was sent then.
    pub(super) fn beaten(&self, sent: Instant) {
        let now = Instant::now();
        {
            let mut times = self.times();
            let is_break = sent.saturating_duration_since(times.beaten) > BREAK || now - sent > BREAK;
            if is_break {
                times.unbroken_since = now;
            }
            (times.answered, times.beaten) = (now, times.beaten.max(sent));
        }
        if now - sent >= BEAT {
            self.beat_is_due.notify_one();
        }
    }

    /// Notes that a batch is stored, which beats as well, by a statement that was sent then.
    pub(super) fn stored(&self, batch: i64, sent: Instant) {
        self.stored.store(batch, Ordering::Release);
        self.beaten(sent);
        self.writable();
    }

    /// The number of the last batch that is stored.
    pub(super) fn last_stored(&self) -> i64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Whether a beat was sent within this time.
    pub(super) fn has_beaten_within(&self, time: Duration) -> bool {
        self.times().beaten.elapsed() < time
    }

    /// Notes that a connection was lost: other hosts may have lost theirs.
    pub(super) fn interrupted(&self) {
        self.times().unbroken_since = Instant::now();
    }

    /// Whether this host has beaten for this time without a break.
    pub(super) fn has_beaten_for(&self, time: Duration) -> bool {
        let times = self.times();
        times.beaten.elapsed() <= BREAK && times.unbroken_since.elapsed() >= time
    }

    /// Waits until it is time for the next beat, or longer, if batches beat meanwhile. After a slow answer it is at once.
    pub(super) async fn until_beat_is_due(&self) {
        let _ = timeout(BEAT, self.beat_is_due.notified()).await;
    }

    /// Notes that a batch failed, as others would. A beat that succeeds does not refute it.
    pub(super) fn failed(&self, reason: &str) {
        *self.reason() = Some((reason.to_owned(), Instant::now()));
    }

    /// Whether the last batch failed, and that was not looked at again for this time.
    pub(super) fn has_failed_for(&self, time: Duration) -> bool {
        self.reason().as_ref().is_some_and(|(_, at)| at.elapsed() >= time)
    }

    /// Notes that batches can be stored.
    pub(super) fn writable(&self) {
        let reason = self.reason().take();
        if let Some((reason, _)) = reason {
            tracing::info!(%reason, "the database is writable again, after: {reason}");
        }
    }

    /// Notes why there is no connection for a purpose. Each change is logged once.
    pub(super) fn disconnected(&self, purpose: &'static str, reason: &str) {
        let known = self.troubles().insert(purpose, reason.to_owned());
        if known.as_deref() != Some(reason) {
            tracing::warn!(reason, "no {purpose} connection to PostgreSQL: {reason}");
        }
    }

    /// Notes that there is one again.
    pub(super) fn connected(&self, purpose: &'static str) {
        if self.troubles().remove(purpose).is_some() {
            tracing::info!("the {purpose} connection to PostgreSQL is open again");
        }
    }

    /// The reason why nothing can be stored. None: storing works.
    pub(super) fn failure(&self) -> Option<String> {
        if let Some(reason) = self.lost.get() {
            return Some(reason.clone());
        }
        let (silent, waited) = {
            let times = self.times();
            (times.answered.elapsed(), times.waiting.map(|since| since.elapsed()).unwrap_or_default())
        };
        if silent >= SILENT_MAX {
            return Some(format!("PostgreSQL has not answered for {} s{}", silent.as_secs(), self.trouble()));
        }
        if waited >= SILENT_MAX {
            return Some(format!("messages have waited for PostgreSQL for {} s{}", waited.as_secs(), self.trouble()));
        }
        self.reason().as_ref().map(|(reason, _)| reason.clone())
    }

    /// Why connections are not open, to be appended to a sentence.
    fn trouble(&self) -> String {
        let troubles = self.troubles();
        // What the messages wait for says more than the other.
        let reason = troubles.get(WRITING).or_else(|| troubles.values().next());
        reason.map(|reason| format!(": {reason}")).unwrap_or_default()
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

    /// Notes that messages wait for PostgreSQL.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.times().waiting = Some(Instant::now());
        Waiting(self)
    }

    /// Whether messages wait for PostgreSQL.
    pub(super) fn is_waiting(&self) -> bool {
        self.times().waiting.is_some()
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.times().waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_that_has_beaten_for(seconds: u64) -> ThisHost {
        let host = ThisHost::new(1, || {});
        host.times().unbroken_since -= Duration::from_secs(seconds);
        host
    }

    #[test]
    fn beats_without_a_break_count_on() {
        let host = host_that_has_beaten_for(10);
        host.beaten(Instant::now());
        assert!(host.has_beaten_for(Duration::from_secs(10)));
        assert!(!host.has_beaten_for(Duration::from_secs(20)));
    }

    #[test]
    fn after_a_break_the_time_begins_anew() {
        let long = BREAK + Duration::from_secs(1);
        // No beat for long, and then one.
        let host = host_that_has_beaten_for(10);
        host.times().beaten -= long;
        assert!(!host.has_beaten_for(Duration::ZERO), "as long as it lasts");
        host.beaten(Instant::now());
        assert!(host.has_beaten_for(Duration::ZERO) && !host.has_beaten_for(Duration::from_secs(5)));
        // A slow answer.
        let host = host_that_has_beaten_for(10);
        host.times().beaten -= long;
        host.beaten(Instant::now().checked_sub(long).unwrap());
        assert!(!host.has_beaten_for(Duration::from_secs(5)));
        // A lost connection.
        let host = host_that_has_beaten_for(10);
        host.interrupted();
        assert!(!host.has_beaten_for(Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn after_a_slow_answer_the_next_beat_is_due_at_once() {
        let host = ThisHost::new(1, || {});
        host.beaten(Instant::now().checked_sub(Duration::from_secs(4)).unwrap());
        assert!(!host.has_beaten_for(Duration::from_secs(1)));
        let waiting = host.until_beat_is_due();
        assert!(timeout(Duration::ZERO, waiting).await.is_ok());
        assert!(timeout(Duration::ZERO, host.until_beat_is_due()).await.is_err(), "only once");
    }
}
