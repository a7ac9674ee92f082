//! A version's probation: for a time after it became active its faults and its times are held against the version before.
//! Decides when they are too many, and says so with the evidence. Knows nothing of how one goes back.
//!
//! Only what the version before does better counts: a fault at a call that it answers, a time that is long beside its own
//! for the same call.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Standing;
use super::call::{Call, Each};
use super::fault::{Cause, Fault, Overrun};
use super::kind::{HandlerKind, VersionId};
use super::limits::RolloutLimits;
use super::release::Release;
use super::times::Times;

/// The first calls are all compared with the version before, and of those after them one in so many.
const COMPARED_FIRST: u64 = 64;
const COMPARED_OF: u64 = 16;

/// How many comparisons say something about the middle, and how many about the slowest of a hundred.
const MEDIAN_OF: u64 = 32;
const P99_OF: u64 = 400;

/// What nobody feels is not slow, whatever it is held against: one's own share of a call's time, and a system's whim.
const MEDIAN_FELT: Duration = Duration::from_micros(50);
const P99_FELT: Duration = Duration::from_millis(5);

/// A version before that takes this long is not asked again only to be measured.
const COMPARED_MAX: Duration = Duration::from_millis(2);

/// Deadlines that are missed together are held against a version as one: the machine may have stood still.
const ONE_STALL: Duration = Duration::from_millis(50);

/// How many faults are told of in the evidence.
const TOLD_MAX: usize = 3;

/// One probation.
pub(super) struct Trial {
    /// What it leads back to.
    before: Standing,
    about: Each<bool>,
    versions: Each<VersionId>,
    terms: Terms,
    began: Instant,
    calls: AtomicU64,
    faults: AtomicU64,
    times: Each<Compared>,
    comparing: AtomicBool,
    over: AtomicBool,
    held: Mutex<Held>,
    /// Wakes whoever carries it out.
    verdict: SyncSender<()>,
}

/// The times of the same calls, of the version on probation and of the one before.
struct Compared {
    own: Times,
    before: Times,
}

/// What is held against it.
#[derive(Default)]
struct Held {
    versions: Vec<VersionId>,
    told: Vec<String>,
    summary: Option<String>,
    /// When a missed deadline was last held against it.
    stalled: Option<Instant>,
}

/// What led to the verdict.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// The versions that failed.
    pub(super) versions: Vec<VersionId>,
    /// In one line, without anything that people said.
    pub(super) summary: String,
    /// The same with the faults and the inputs that led to them, a line each.
    pub(super) whole: String,
}

/// How much is too much.
#[derive(Clone, Copy, Debug)]
struct Terms {
    faults_max: u64,
    percent_max: u64,
    calls_min: u64,
    slowdown_max: u32,
}

impl Terms {
    fn of(limits: &RolloutLimits) -> Self {
        Self {
            faults_max: limits.probation_faults_max as u64,
            percent_max: limits.probation_fault_percent_max as u64,
            calls_min: limits.probation_calls_min as u64,
            slowdown_max: u32::try_from(limits.probation_slowdown_max).unwrap_or(u32::MAX),
        }
    }

    /// Whether so many faults are too many, and by which limit.
    fn too_many(&self, faults: u64, calls: u64) -> Option<String> {
        if faults >= self.faults_max {
            return Some(format!("probation_faults_max = {}", self.faults_max));
        }
        let enough = calls >= self.calls_min;
        (enough && faults * 100 > calls * self.percent_max)
            .then(|| format!("probation_fault_percent_max = {}", self.percent_max))
    }

    /// Whether a time is too long beside the version before's.
    fn too_slow(&self, own: Duration, before: Duration, felt: Duration) -> bool {
        own > felt && own > before.saturating_mul(self.slowdown_max)
    }
}

impl Trial {
    /// A probation of `release`, which leads back to `before`.
    pub(super) fn new(release: &Release, before: Standing, limits: &RolloutLimits, verdict: SyncSender<()>) -> Self {
        let compared = || Compared { own: Times::new(), before: Times::new() };
        Self {
            about: super::call::differing(release, &before.release),
            versions: Each(release.versions()),
            before,
            terms: Terms::of(limits),
            began: Instant::now(),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            times: Each([compared(), compared(), compared()]),
            comparing: AtomicBool::new(true),
            over: AtomicBool::new(false),
            held: Mutex::default(),
            verdict,
        }
    }

    /// The release that it leads back to.
    pub(super) fn before(&self) -> &Standing {
        &self.before
    }

    /// Whether the version of this handler is on probation.
    pub(super) fn is_about(&self, handler: HandlerKind) -> bool {
        *self.about.of(handler)
    }

    /// How long it has run, the calls, and the faults among them.
    pub(super) fn counts(&self) -> (Duration, u64, u64) {
        (self.began.elapsed(), self.calls.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed))
    }

    /// Counts a call. True: the version before is to be asked the same.
    pub(super) fn called(&self) -> bool {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        (calls < COMPARED_FIRST || calls.is_multiple_of(COMPARED_OF))
            && self.comparing.load(Ordering::Relaxed)
            && !self.over.load(Ordering::Relaxed)
    }

    /// Holds the times of one call against each other. None: the version before failed at it.
    pub(super) fn compared(&self, handler: HandlerKind, own: Duration, before: Option<Duration>) {
        let Some(before) = before.filter(|before| *before < COMPARED_MAX) else {
            return self.comparing.store(false, Ordering::Relaxed);
        };
        let times = self.times.of(handler);
        times.own.add(own);
        times.before.add(before);
        let count = times.own.count();
        for (percent, enough, felt) in [(50, MEDIAN_OF, MEDIAN_FELT), (99, P99_OF, P99_FELT)] {
            let (own, before) = (times.own.quantile(percent), times.before.quantile(percent));
            if count >= enough && self.terms.too_slow(own, before, felt) {
                let (own, before) = (own.as_micros(), before.as_micros());
                let which = if percent == 50 { "the median" } else { "p99" };
                let summary = format!(
                    "{handler} is too slow: {which} of {count} calls is {own} µs, the version before takes {before} µs \
                     (probation_slowdown_max = {})",
                    self.terms.slowdown_max
                );
                let mut held = self.held();
                held.versions = vec![*self.versions.of(handler)];
                self.condemn(&mut held, summary);
                return;
            }
        }
    }

    /// Holds a fault against it, at a call that the version before answered.
    pub(super) fn failed(&self, fault: &Fault, call: &Call) {
        // Neither is this version's doing.
        if matches!(fault.cause, Cause::Host(_) | Cause::Overrun(Overrun::TooManySlow(_))) {
            return;
        }
        let mut held = self.held();
        if fault.cause.was_slow() {
            if held.stalled.is_some_and(|at| at.elapsed() < ONE_STALL) {
                return;
            }
            held.stalled = Some(Instant::now());
        }
        let faults = self.faults.fetch_add(1, Ordering::AcqRel) + 1;
        if held.summary.is_some() {
            return;
        }
        if !held.versions.contains(&fault.version) {
            held.versions.push(fault.version);
        }
        if held.told.len() < TOLD_MAX {
            held.told.push(told(fault, call));
        }
        let (ran, calls, _) = self.counts();
        if let Some(limit) = self.terms.too_many(faults, calls) {
            let calls = calls.max(faults);
            let summary = format!(
                "{faults} of {calls} calls failed within {} ms that the version before answers ({limit}), such as {}: {}",
                ran.as_millis(),
                fault.function,
                fault.cause
            );
            self.condemn(&mut held, summary);
        }
    }

    /// Ends it, with the version before the winner.
    fn condemn(&self, held: &mut Held, summary: String) {
        if !self.over.swap(true, Ordering::AcqRel) {
            held.summary = Some(summary);
            // One that waits already is enough.
            let _ = self.verdict.try_send(());
        }
    }

    /// What led to the verdict. None: there is none.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        let held = self.held();
        let summary = held.summary.clone()?;
        let mut whole = summary.clone();
        for told in &held.told {
            // Writing to a String cannot fail.
            let _ = write!(whole, "\n{told}");
        }
        Some(Evidence { versions: held.versions.clone(), summary, whole })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault with all that helps to find its reason.
fn told(fault: &Fault, call: &Call) -> String {
    let mut told = format!("{}: {}", call.function(), fault.cause);
    if !fault.cause.backtrace().is_empty() {
        let _ = write!(told, "; in {}", fault.cause.backtrace().join(" < "));
    }
    if let Some(printed) = &fault.printed {
        let _ = write!(told, "; it had printed: {}", super::call::bounded(printed));
    }
    let _ = write!(told, "; asked {}", call.input());
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { faults_max: 3, percent_max: 1, calls_min: 100, slowdown_max: 5 };

    #[test]
    fn so_many_faults_are_too_many_whatever_the_calls() {
        assert!(TERMS.too_many(2, 1_000_000).is_none());
        assert!(TERMS.too_many(3, 1_000_000).is_some_and(|limit| limit.contains("faults_max")));
    }

    #[test]
    fn a_share_counts_once_there_are_enough_calls() {
        for (faults, calls, too_many) in
            [(1, 1, false), (1, 99, false), (1, 100, false), (2, 100, true), (2, 200, false)]
        {
            assert_eq!(TERMS.too_many(faults, calls).is_some(), too_many, "{faults} of {calls}");
        }
    }

    #[test]
    fn slow_is_what_is_felt_and_many_times_slower() {
        let micros = Duration::from_micros;
        for (own, before, slow) in [(40, 1, false), (60, 1, true), (60, 12, false), (61, 12, true), (0, 0, false)] {
            assert_eq!(TERMS.too_slow(micros(own), micros(before), MEDIAN_FELT), slow, "{own} beside {before}");
        }
    }
}
