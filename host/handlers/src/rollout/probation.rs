//! A version's probation: for a time after a deploy its faults and its times are compared with the baseline. Decides
//! when they are too many, and says so with the evidence. Knows nothing of how a rollback is done.
//!
//! Only what the baseline does better counts: a fault at a call that it answers, a time that is long beside its own for
//! the same call.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::latency_histogram::LatencyHistogram;
use super::ledger::NumberedRelease;
use crate::run::call::{Call, describe};
use crate::run::fault::{Cause, Fault, Overrun};
use crate::run::kind::{Each, HandlerKind, VersionId};
use crate::run::limits::RolloutLimits;
use crate::run::version_set::VersionSet;

/// The first calls are all compared with the baseline, and of those after them one in so many.
const COMPARED_FIRST: u64 = 64;
const COMPARED_OF: u64 = 16;

/// How many comparisons say something about the median, and how many about the 99th percentile.
const MEDIAN_OF: u64 = 32;
const P99_OF: u64 = 400;

/// Slowdowns below these absolute times are treated as noise.
const MEDIAN_NOISE: Duration = Duration::from_micros(50);
const P99_NOISE: Duration = Duration::from_millis(5);

/// A baseline that takes this long is not called again only to be measured.
const COMPARED_MAX: Duration = Duration::from_millis(2);

/// Deadlines that are missed within this time count as one: the machine may have stood still.
const ONE_STALL: Duration = Duration::from_millis(50);

/// The faults that the evidence describes.
const FAULTS_DESCRIBED_MAX: usize = 3;

/// How long a verdict that could not be carried out waits for the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// One probation.
pub(crate) struct Probation {
    baseline: NumberedRelease,
    about: Each<bool>,
    versions: Each<VersionId>,
    terms: Terms,
    began: Instant,
    calls: AtomicU64,
    faults: AtomicU64,
    times: Each<ComparedTimes>,
    comparing: AtomicBool,
    over: AtomicBool,
    findings: Mutex<Findings>,
    /// Wakes the thread that waits for the end.
    failed: SyncSender<()>,
}

/// The times of the same calls, of the version on probation and of the baseline.
struct ComparedTimes {
    own: LatencyHistogram,
    baseline: LatencyHistogram,
}

/// What counts against the version.
#[derive(Default)]
struct Findings {
    versions: Vec<VersionId>,
    described: Vec<String>,
    summary: Option<String>,
    /// When a missed deadline last counted.
    stalled: Option<Instant>,
}

/// What led to the verdict.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// The versions that failed.
    pub(crate) versions: Vec<VersionId>,
    /// In one line, without anything that users sent.
    pub(crate) summary: String,
    /// The same with the faults and the inputs that led to them, a line each.
    pub(crate) whole: String,
}

/// How a probation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its time is over.
    Passed,
    /// There is evidence.
    Failed,
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

    /// The limit that so many faults exceed.
    fn exceeded(&self, faults: u64, calls: u64) -> Option<String> {
        if faults >= self.faults_max {
            return Some(format!("probation_faults_max = {}", self.faults_max));
        }
        let enough = calls >= self.calls_min;
        (enough && faults * 100 > calls * self.percent_max)
            .then(|| format!("probation_fault_percent_max = {}", self.percent_max))
    }

    /// Whether a time is too long beside the baseline's.
    fn too_slow(&self, own: Duration, baseline: Duration, noise: Duration) -> bool {
        own > noise && own > baseline.saturating_mul(self.slowdown_max)
    }
}

impl Probation {
    /// Begins a probation of `versions`. A thread waits for its end, which comes after `span`, if there is one, or when
    /// it has failed; `carry_out` is called then, and again each second until it returns true.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub(crate) fn begin(
        versions: &VersionSet,
        baseline: NumberedRelease,
        limits: &RolloutLimits,
        span: Option<Duration>,
        carry_out: impl Fn(&Arc<Self>, Verdict) -> bool + Send + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let (failed, verdict) = sync_channel(1);
        let times = || ComparedTimes { own: LatencyHistogram::new(), baseline: LatencyHistogram::new() };
        let probation = Arc::new(Self {
            about: versions.differs_from(&baseline.versions),
            versions: Each(versions.ids()),
            baseline,
            terms: Terms::of(limits),
            began: Instant::now(),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            times: Each([times(), times(), times()]),
            comparing: AtomicBool::new(true),
            over: AtomicBool::new(false),
            findings: Mutex::default(),
            failed,
        });
        let own = Arc::downgrade(&probation);
        let thread = std::thread::Builder::new().name("probation".to_owned());
        thread.spawn(move || wait(&own, &verdict, span, carry_out))?;
        Ok(probation)
    }

    /// The release that a failure rolls back to.
    pub(crate) fn baseline(&self) -> &NumberedRelease {
        &self.baseline
    }

    /// Whether the version of this handler is on probation.
    pub(crate) fn is_about(&self, handler: HandlerKind) -> bool {
        *self.about.of(handler)
    }

    /// How long it has run, the calls, and the faults among them.
    pub(crate) fn counts(&self) -> (Duration, u64, u64) {
        (self.began.elapsed(), self.calls.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed))
    }

    /// Counts a call. True: the baseline is to be called as well.
    pub(crate) fn count_call(&self) -> bool {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        (calls < COMPARED_FIRST || calls.is_multiple_of(COMPARED_OF))
            && self.comparing.load(Ordering::Relaxed)
            && !self.over.load(Ordering::Relaxed)
    }

    /// Compares the times of one call. None: the baseline failed at it.
    pub(crate) fn compare(&self, handler: HandlerKind, own: Duration, baseline: Option<Duration>) {
        let Some(baseline) = baseline.filter(|baseline| *baseline < COMPARED_MAX) else {
            return self.comparing.store(false, Ordering::Relaxed);
        };
        let times = self.times.of(handler);
        times.own.add(own);
        times.baseline.add(baseline);
        let count = times.own.count();
        for (percent, enough, noise) in [(50, MEDIAN_OF, MEDIAN_NOISE), (99, P99_OF, P99_NOISE)] {
            let (own, baseline) = (times.own.quantile(percent), times.baseline.quantile(percent));
            if count >= enough && self.terms.too_slow(own, baseline, noise) {
                let (own, baseline) = (own.as_micros(), baseline.as_micros());
                let which = if percent == 50 { "the median" } else { "p99" };
                let summary = format!(
                    "{handler} is too slow: {which} of {count} calls is {own} µs, and {baseline} µs with the baseline \
                     (probation_slowdown_max = {})",
                    self.terms.slowdown_max
                );
                let mut findings = self.findings();
                findings.versions = vec![*self.versions.of(handler)];
                self.fail(&mut findings, summary);
                return;
            }
        }
    }

    /// Counts a fault, at a call that the baseline answered.
    pub(crate) fn count_fault(&self, fault: &Fault, call: &Call) {
        // Neither is this version's doing.
        if matches!(fault.cause, Cause::Host(_) | Cause::Overrun { overrun: Overrun::TooManySlow(_), .. }) {
            return;
        }
        let mut findings = self.findings();
        if fault.cause.was_slow() {
            if findings.stalled.is_some_and(|at| at.elapsed() < ONE_STALL) {
                return;
            }
            findings.stalled = Some(Instant::now());
        }
        let faults = self.faults.fetch_add(1, Ordering::AcqRel) + 1;
        if findings.summary.is_some() {
            return;
        }
        if !findings.versions.contains(&fault.version) {
            findings.versions.push(fault.version);
        }
        if findings.described.len() < FAULTS_DESCRIBED_MAX {
            findings.described.push(describe_fault(fault, call));
        }
        let (ran, calls, _) = self.counts();
        if let Some(limit) = self.terms.exceeded(faults, calls) {
            let calls = calls.max(faults);
            let summary = format!(
                "{faults} of {calls} calls failed within {} ms that the baseline answers ({limit}), such as {}: {}",
                ran.as_millis(),
                fault.function,
                fault.cause
            );
            self.fail(&mut findings, summary);
        }
    }

    fn fail(&self, findings: &mut Findings, summary: String) {
        if !self.over.swap(true, Ordering::AcqRel) {
            findings.summary = Some(summary);
            // One that waits already is enough.
            let _ = self.failed.try_send(());
        }
    }

    /// What led to the verdict. None: it has not failed.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        let findings = self.findings();
        let summary = findings.summary.clone()?;
        let whole = std::iter::once(&summary).chain(&findings.described).cloned().collect::<Vec<_>>().join("\n");
        Some(Evidence { versions: findings.versions.clone(), summary, whole })
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a probation's end, or until its release is gone.
fn wait(
    probation: &Weak<Probation>,
    failed: &Receiver<()>,
    span: Option<Duration>,
    carry_out: impl Fn(&Arc<Probation>, Verdict) -> bool,
) {
    let ended = match span {
        Some(span) => failed.recv_timeout(span),
        None => failed.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    let verdict = match ended {
        Ok(()) => Verdict::Failed,
        Err(RecvTimeoutError::Timeout) => Verdict::Passed,
        Err(RecvTimeoutError::Disconnected) => return,
    };
    while let Some(probation) = probation.upgrade() {
        if carry_out(&probation, verdict) {
            return;
        }
        drop(probation);
        std::thread::sleep(RETRY);
    }
}

/// A fault with all that helps to find its reason.
fn describe_fault(fault: &Fault, call: &Call) -> String {
    let mut description = format!("{}: {}", call.function(), fault.cause);
    // Writing to a String cannot fail.
    if !fault.cause.backtrace().is_empty() {
        let _ = write!(description, "; in {}", fault.cause.backtrace().join(" < "));
    }
    if let Some(printed) = &fault.printed {
        let _ = write!(description, "; it had printed: {}", describe(printed));
    }
    let _ = write!(description, "; input: {}", call.input());
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { faults_max: 3, percent_max: 1, calls_min: 100, slowdown_max: 5 };

    #[test]
    fn so_many_faults_are_too_many_whatever_the_calls() {
        assert!(TERMS.exceeded(2, 1_000_000).is_none());
        assert!(TERMS.exceeded(3, 1_000_000).is_some_and(|limit| limit.contains("faults_max")));
    }

    #[test]
    fn a_share_counts_once_there_are_enough_calls() {
        for (faults, calls, too_many) in
            [(1, 1, false), (1, 99, false), (1, 100, false), (2, 100, true), (2, 200, false)]
        {
            assert_eq!(TERMS.exceeded(faults, calls).is_some(), too_many, "{faults} of {calls}");
        }
    }

    #[test]
    fn slow_is_many_times_slower_and_above_the_noise() {
        let micros = Duration::from_micros;
        for (own, baseline, slow) in [(40, 1, false), (60, 1, true), (60, 12, false), (61, 12, true), (0, 0, false)] {
            assert_eq!(TERMS.too_slow(micros(own), micros(baseline), MEDIAN_NOISE), slow, "{own} beside {baseline}");
        }
    }
}
