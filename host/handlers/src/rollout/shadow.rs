//! A candidate that answers copies of live calls, on a thread of its own. Its answers are compared with those of the
//! active release, counts, and discarded. Knows nothing of their callers.
//!
//! No caller waits for it. Calls that do not fit into its queue are dropped and counts; a slow candidate pauses for
//! three times as long as it took, so that it is throttled to a quarter of a CPU.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ondol_host_model::Timestamp;
use serde::Serialize;

use super::rows::named;
use crate::run::call::{Answer, Call};
use crate::run::kind::{Each, HandlerKind, VersionId};
use crate::run::latency_histogram::LatencyHistogram;
use crate::run::limits::RolloutLimits;
use crate::run::version_set::VersionSet;

/// A call that took longer than this is followed by a pause.
const QUICK: Duration = Duration::from_millis(1);

/// How many times as long as a slow call the pause after it is.
const PAUSE: u32 = 3;

/// A shadow that runs until it is dropped or stopped.
pub(crate) struct Shadow {
    versions: Vec<(HandlerKind, VersionId)>,
    about: Each<bool>,
    queue: Sender<CopiedCall>,
    counts: Arc<Counts>,
    queue_max: u64,
    queue_bytes_max: u64,
}

/// A copy of a live call, and its outcome.
struct CopiedCall {
    call: Call,
    answer: Result<Answer, String>,
    took: Duration,
    bytes: u64,
}

/// What is known of a shadow.
struct Counts {
    versions: Vec<(HandlerKind, String)>,
    since: Timestamp,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    calls: AtomicU64,
    dropped: AtomicU64,
    differences: AtomicU64,
    faults: AtomicU64,
    active: LatencyHistogram,
    shadow: LatencyHistogram,
    first: Mutex<Vec<Difference>>,
    first_max: usize,
    stopped: AtomicBool,
}

/// A call with two answers.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The function.
    pub function: &'static str,
    /// Its input.
    pub input: String,
    /// The answer of the active release.
    pub active: String,
    /// The answer of the shadow.
    pub shadow: String,
}

/// The times of calls, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct CallTimes {
    /// The mean.
    pub mean_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
}

/// A shadow, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowRow {
    /// Its versions, where they differ from the active ones.
    pub versions: BTreeMap<&'static str, String>,
    /// Since when it runs.
    pub since: String,
    /// The calls that it answered or failed at.
    pub calls: u64,
    /// The calls that did not fit into its queue.
    pub dropped: u64,
    /// The calls with another answer.
    pub differences: u64,
    /// The calls that it failed at.
    pub faults: u64,
    /// The times of those calls in the active release.
    pub active: CallTimes,
    /// Their times in the shadow.
    pub shadow: CallTimes,
    /// The first differences.
    pub first_differences: Vec<Difference>,
}

impl Shadow {
    /// Starts a shadow of `versions`, beside the `active` ones.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub(crate) fn start(versions: VersionSet, active: &VersionSet, limits: &RolloutLimits) -> std::io::Result<Self> {
        let about = versions.differs_from(active);
        let changes = versions.changes_from(active);
        let counts = Arc::new(Counts {
            versions: changes.iter().map(|(handler, id)| (*handler, id.whole())).collect(),
            since: Timestamp::now(),
            waiting: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            differences: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            active: LatencyHistogram::new(),
            shadow: LatencyHistogram::new(),
            first: Mutex::default(),
            first_max: limits.shadow_differences_max,
            stopped: AtomicBool::new(false),
        });
        let (queue, calls) = channel();
        let own = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("handler-shadow".to_owned());
        thread.spawn(move || follow(&versions, &calls, &own))?;
        let (queue_max, queue_bytes_max) = (limits.shadow_queue_max as u64, limits.shadow_queue_bytes_max as u64);
        Ok(Self { versions: changes, about, queue, counts, queue_max, queue_bytes_max })
    }

    /// Whether calls to this handler are copied to it.
    pub(crate) fn is_about(&self, handler: HandlerKind) -> bool {
        *self.about.of(handler)
    }

    /// Copies a call to it.
    pub(crate) fn offer(&self, call: impl FnOnce() -> Call, answer: Result<Answer, String>, took: Duration) {
        // Each caller counts its call first, so there are never more than fit.
        let counts = &self.counts;
        let fits = counts.waiting.fetch_add(1, Ordering::AcqRel) < self.queue_max
            && counts.waiting_bytes.load(Ordering::Acquire) < self.queue_bytes_max;
        if !fits || !self.enqueue(call(), answer, took) {
            counts.waiting.fetch_sub(1, Ordering::AcqRel);
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a call into the queue. False: its bytes do not fit, or the shadow has ended.
    fn enqueue(&self, call: Call, answer: Result<Answer, String>, took: Duration) -> bool {
        let bytes = (call.bytes() + answer.as_ref().map_or_else(String::len, Answer::bytes)) as u64;
        let before = self.counts.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = before.saturating_add(bytes) <= self.queue_bytes_max;
        let queued = fits && self.queue.send(CopiedCall { call, answer, took, bytes }).is_ok();
        if !queued {
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        queued
    }

    /// Its versions, where they differ from the active ones.
    pub(crate) fn versions(&self) -> &[(HandlerKind, VersionId)] {
        &self.versions
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.counts.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn row(&self) -> ShadowRow {
        let counts = &self.counts;
        let times_of =
            |times: &LatencyHistogram| CallTimes { mean_us: micros(times.mean()), p99_us: micros(times.quantile(99)) };
        ShadowRow {
            versions: counts.versions.iter().map(|(handler, version)| (handler.name(), version.clone())).collect(),
            since: counts.since.to_string(),
            calls: counts.calls.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
            differences: counts.differences.load(Ordering::Relaxed),
            faults: counts.faults.load(Ordering::Relaxed),
            active: times_of(&counts.active),
            shadow: times_of(&counts.shadow),
            first_differences: counts.first.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// For the history: the versions and the figures.
impl fmt::Display for ShadowRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, differences, faults, .. } = self;
        write!(f, "{}, {calls} calls, {differences} answered differently, {faults} faults", named(&self.versions))
    }
}

/// To a tenth.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000_000.0).round() / 10.0
}

/// Makes the copied calls, until the shadow is dropped or stopped.
fn follow(versions: &VersionSet, calls: &Receiver<CopiedCall>, counts: &Counts) {
    for CopiedCall { call, answer, took, bytes } in calls {
        counts.waiting.fetch_sub(1, Ordering::AcqRel);
        counts.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if counts.stopped.load(Ordering::Acquire) {
            return;
        }
        let started = Instant::now();
        let own = call.make(versions);
        let own_took = started.elapsed();
        counts.active.add(took);
        counts.shadow.add(own_took);
        if own.is_err() {
            counts.faults.fetch_add(1, Ordering::Relaxed);
        }
        let own = own.map_err(|fault| fault.cause.to_string());
        if own != answer {
            counts.differences.fetch_add(1, Ordering::Relaxed);
            let mut first = counts.first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.len() < counts.first_max {
                first.push(Difference {
                    function: call.function(),
                    input: call.input(),
                    active: call.outcome(&answer),
                    shadow: call.outcome(&own),
                });
            }
        }
        counts.calls.fetch_add(1, Ordering::Release);
        if own_took > QUICK {
            std::thread::sleep(own_took * PAUSE);
        }
    }
}
