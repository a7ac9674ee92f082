//! A candidate that answers copies of live calls, on a thread of its own, and whose answers nobody sees: they are held
//! against those of the active release, and counted. Knows nothing of who asked.
//!
//! Nobody waits for it. What does not fit into its queue is dropped and counted; a candidate that is slow rests three
//! times as long as it took, so that it never has more than a quarter of a processor.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::call::{Answer, Call, Each};
use super::kind::HandlerKind;
use super::limits::RolloutLimits;
use super::release::Release;
use super::times::Times;
use ondol_host_model::Timestamp;

/// A call that took longer than this is followed by a rest.
const QUICK: Duration = Duration::from_millis(1);

/// How many times as long as a slow call the rest after it is.
const REST: u32 = 3;

/// A shadow that runs until the last release lets go of it.
pub(super) struct Shadow {
    about: Each<bool>,
    queue: Sender<Job>,
    counted: Arc<Counted>,
    queue_max: u64,
    queue_bytes_max: u64,
}

/// A copy of a live call, and what became of that.
struct Job {
    call: Call,
    answer: Result<Answer, String>,
    took: Duration,
    bytes: u64,
}

/// What there is to know of it.
struct Counted {
    versions: Vec<(HandlerKind, String)>,
    since: Timestamp,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    calls: AtomicU64,
    dropped: AtomicU64,
    differences: AtomicU64,
    faults: AtomicU64,
    active: Times,
    shadow: Times,
    first: Mutex<Vec<Difference>>,
    first_max: usize,
    stopped: AtomicBool,
}

/// One call that was answered in two ways.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The function.
    pub function: &'static str,
    /// What it was asked.
    pub input: String,
    /// What the active release answered.
    pub active: String,
    /// What the shadow did.
    pub shadow: String,
}

/// What calls cost, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// The mean.
    pub mean_us: f64,
    /// The slowest of a hundred.
    pub p99_us: f64,
}

/// A shadow, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowRow {
    /// Its versions, where they differ from the active ones.
    pub versions: std::collections::BTreeMap<&'static str, String>,
    /// Since when it runs.
    pub since: String,
    /// The calls that it was asked.
    pub calls: u64,
    /// The calls that it was not asked, because too many or too large ones waited.
    pub dropped: u64,
    /// The calls that it answered otherwise.
    pub differences: u64,
    /// The calls that it failed at.
    pub faults: u64,
    /// What those calls cost when the active release was asked.
    pub active: Costs,
    /// What they cost the shadow.
    pub shadow: Costs,
    /// The first differences.
    pub first_differences: Vec<Difference>,
}

impl Shadow {
    /// Starts one: `release` answers for the handlers that `about` names.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub(super) fn start(release: Release, about: Each<bool>, limits: &RolloutLimits) -> std::io::Result<Self> {
        let versions = HandlerKind::ALL.into_iter().filter(|handler| *about.of(*handler));
        let counted = Arc::new(Counted {
            versions: versions.map(|handler| (handler, release.version(handler).whole())).collect(),
            since: Timestamp::now(),
            waiting: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            differences: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            active: Times::new(),
            shadow: Times::new(),
            first: Mutex::default(),
            first_max: limits.shadow_differences_max,
            stopped: AtomicBool::new(false),
        });
        let (queue, jobs) = channel();
        let own = Arc::clone(&counted);
        let thread = std::thread::Builder::new().name("handler-shadow".to_owned());
        thread.spawn(move || follow(&release, &jobs, &own))?;
        let (queue_max, queue_bytes_max) = (limits.shadow_queue_max as u64, limits.shadow_queue_bytes_max as u64);
        Ok(Self { about, queue, counted, queue_max, queue_bytes_max })
    }

    /// Whether it is asked what this handler is.
    pub(super) fn is_about(&self, handler: HandlerKind) -> bool {
        *self.about.of(handler)
    }

    /// Gives it a call that was answered.
    pub(super) fn offer(&self, call: impl FnOnce() -> Call, answer: Result<Answer, String>, took: Duration) {
        // Each caller counts its call first, so there are never more than fit.
        let counted = &self.counted;
        let fits = counted.waiting.fetch_add(1, Ordering::AcqRel) < self.queue_max
            && counted.waiting_bytes.load(Ordering::Acquire) < self.queue_bytes_max;
        if !fits || !self.enqueue(call(), answer, took) {
            counted.waiting.fetch_sub(1, Ordering::AcqRel);
            counted.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a call into the queue. False: its bytes do not fit, or nobody takes it out any more.
    fn enqueue(&self, call: Call, answer: Result<Answer, String>, took: Duration) -> bool {
        let bytes = (call.bytes() + answer.as_ref().map_or_else(String::len, Answer::bytes)) as u64;
        let before = self.counted.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = before.saturating_add(bytes) <= self.queue_bytes_max;
        let queued = fits && self.queue.send(Job { call, answer, took, bytes }).is_ok();
        if !queued {
            self.counted.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        queued
    }

    /// Ends it, whoever still holds it.
    pub(super) fn stop(&self) {
        self.counted.stopped.store(true, Ordering::Release);
    }

    pub(super) fn row(&self) -> ShadowRow {
        let counted = &self.counted;
        let costs = |times: &Times| Costs { mean_us: micros(times.mean()), p99_us: micros(times.quantile(99)) };
        ShadowRow {
            versions: counted.versions.iter().map(|(handler, version)| (handler.name(), version.clone())).collect(),
            since: counted.since.to_string(),
            calls: counted.calls.load(Ordering::Relaxed),
            dropped: counted.dropped.load(Ordering::Relaxed),
            differences: counted.differences.load(Ordering::Relaxed),
            faults: counted.faults.load(Ordering::Relaxed),
            active: costs(&counted.active),
            shadow: costs(&counted.shadow),
            first_differences: counted.first.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// To a tenth.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000_000.0).round() / 10.0
}

/// Asks the candidate what was asked, until nobody can ask any more.
fn follow(release: &Release, jobs: &Receiver<Job>, counted: &Counted) {
    for Job { call, answer, took, bytes } in jobs {
        counted.waiting.fetch_sub(1, Ordering::AcqRel);
        counted.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if counted.stopped.load(Ordering::Acquire) {
            return;
        }
        let started = Instant::now();
        let own = call.ask(release);
        let own_took = started.elapsed();
        counted.active.add(took);
        counted.shadow.add(own_took);
        if own.is_err() {
            counted.faults.fetch_add(1, Ordering::Relaxed);
        }
        let own = own.map_err(|fault| fault.cause.to_string());
        if own != answer {
            counted.differences.fetch_add(1, Ordering::Relaxed);
            let mut first = counted.first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.len() < counted.first_max {
                first.push(Difference {
                    function: call.function(),
                    input: call.input(),
                    active: told(&answer),
                    shadow: told(&own),
                });
            }
        }
        counted.calls.fetch_add(1, Ordering::Release);
        if own_took > QUICK {
            std::thread::sleep(own_took * REST);
        }
    }
}

fn told(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(answer) => answer.told(),
        Err(cause) => format!("failed: {}", super::call::bounded(cause)),
    }
}
