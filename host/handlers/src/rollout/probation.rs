//! The probation of what one deploy changed: for a time its faults and its times are compared with the baseline, the
//! release that it was deployed onto. Decides when they are too many, and says so with the evidence. Knows nothing of
//! how a rollback is done.
//!
//! Only what the baseline does better counts: a fault at a call that it answers, a time that is long beside its own for
//! the same call. Faults are reason for a rollback, and so is a time that users notice; a smaller slowdown is a warning.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::change::Change;
use super::ledger::NumberedRelease;
use super::slowness::{Quantile, Slowness, SlownessOverride, SlownessTerms};
use super::terms::Terms;
use crate::run::call::{Call, describe};
use crate::run::fault::{Cause, Fault, Overrun};
use crate::run::kind::{Each, HandlerKind, VersionId};
use crate::run::latency_histogram::LatencyHistogram;
use crate::run::limits::RolloutLimits;
use crate::run::version_set::VersionSet;

/// Every call is to be compared until so many were, and after that one in so many. A call during a warm-up is not
/// compared; with many processors there are many instances to warm up, so only the first calls are all tried.
const COMPARED_FIRST: u64 = 64;
const COMPARED_OF: u64 = 16;
const TRIED_FIRST: u64 = 4_096;

/// A baseline that takes this long is not called again only to be measured.
const COMPARED_MAX: Duration = Duration::from_millis(2);

/// Nor is one that failed or took that long so many times. A busy machine may hold up a few of its calls.
const USELESS_MAX: u64 = 8;

/// Deadlines that are missed within this time count as one: the machine may have stood still.
const ONE_STALL: Duration = Duration::from_millis(50);

/// The faults that the evidence describes.
const FAULTS_DESCRIBED_MAX: usize = 3;

/// How long a verdict that could not be carried out waits for the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// One probation.
pub(crate) struct Probation {
    /// The number of the release that is on probation. None: a canary, which has none yet.
    release: Option<u64>,
    baseline: NumberedRelease,
    change: Change,
    terms: Terms,
    span: Option<Duration>,
    began: Instant,
    calls: AtomicU64,
    faults: AtomicU64,
    times: Each<ComparedTimes>,
    useless: AtomicU64,
    over: AtomicBool,
    findings: Mutex<Findings>,
    /// Wakes the thread that waits for the end.
    news: SyncSender<Verdict>,
}

/// What a probation is about.
pub(crate) struct Subject<'a> {
    /// The number of the release. None: a canary.
    pub(crate) release: Option<u64>,
    /// Its versions.
    pub(crate) versions: &'a VersionSet,
    /// The release that they were deployed onto.
    pub(crate) baseline: NumberedRelease,
    /// How long it takes. None: until the canary ends.
    pub(crate) span: Option<Duration>,
    /// What the deploy asks for.
    pub(crate) slowness: SlownessOverride,
}

/// The times of the same calls, of the version on probation and of the baseline.
struct ComparedTimes {
    own: LatencyHistogram,
    baseline: LatencyHistogram,
    warned: AtomicBool,
}

/// What counts against the version.
#[derive(Default)]
struct Findings {
    versions: Vec<VersionId>,
    described: Vec<String>,
    summary: Option<String>,
    warnings: Vec<String>,
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

/// What a probation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its time is over.
    Passed,
    /// There is a new warning. It goes on.
    Warned,
    /// There is evidence.
    Failed,
}

impl Probation {
    /// Begins a probation. A thread waits for what it comes to and calls `carry_out` with that, again each second until
    /// it returns true.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub(crate) fn begin(
        subject: Subject<'_>,
        limits: &RolloutLimits,
        carry_out: impl Fn(&Arc<Self>, Verdict) -> bool + Send + 'static,
    ) -> std::io::Result<Arc<Self>> {
        let Subject { release, versions, baseline, span, slowness } = subject;
        // A warning for each handler, and the end.
        let (news, verdicts) = sync_channel(4);
        let times = || ComparedTimes {
            own: LatencyHistogram::new(),
            baseline: LatencyHistogram::new(),
            warned: AtomicBool::new(false),
        };
        let probation = Arc::new(Self {
            release,
            change: Change { before: Each(baseline.versions.ids()), after: Each(versions.ids()) },
            baseline,
            terms: Terms::of(limits, slowness),
            span,
            began: Instant::now(),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            times: Each([times(), times(), times()]),
            useless: AtomicU64::new(0),
            over: AtomicBool::new(false),
            findings: Mutex::default(),
            news,
        });
        let own = Arc::downgrade(&probation);
        let thread = std::thread::Builder::new().name("probation".to_owned());
        thread.spawn(move || wait(&own, &verdicts, span, carry_out))?;
        Ok(probation)
    }

    /// The number of the release that is on probation.
    pub(crate) fn release(&self) -> Option<u64> {
        self.release
    }

    /// What its deploy changed.
    pub(crate) fn change(&self) -> &Change {
        &self.change
    }

    /// When a version counts as slow.
    pub(crate) fn slowness(&self) -> SlownessTerms {
        self.terms.slowness
    }

    /// How long it takes in all. None: until the canary ends.
    pub(crate) fn span(&self) -> Option<Duration> {
        self.span
    }

    /// The release that its versions were deployed onto.
    pub(crate) fn baseline(&self) -> &NumberedRelease {
        &self.baseline
    }

    /// How long it has run, the calls, and the faults among them.
    pub(crate) fn counts(&self) -> (Duration, u64, u64) {
        (self.began.elapsed(), self.calls.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed))
    }

    /// Counts a call. True: the baseline is to be called as well.
    pub(crate) fn count_call(&self, handler: HandlerKind) -> bool {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let is_first = calls < TRIED_FIRST && self.times.of(handler).own.count() < COMPARED_FIRST;
        (is_first || calls.is_multiple_of(COMPARED_OF))
            && self.useless.load(Ordering::Relaxed) < USELESS_MAX
            && !self.over.load(Ordering::Relaxed)
    }

    /// Compares the times of one call, made in warm instances. None: the baseline failed at it.
    pub(crate) fn compare(&self, handler: HandlerKind, own: Duration, baseline: Option<Duration>) {
        let Some(baseline) = baseline.filter(|baseline| *baseline < COMPARED_MAX) else {
            self.useless.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let times = self.times.of(handler);
        times.own.add(own);
        times.baseline.add(baseline);
        for quantile in Quantile::ALL {
            self.judge(handler, times, quantile);
        }
    }

    fn judge(&self, handler: HandlerKind, times: &ComparedTimes, quantile: Quantile) {
        let count = times.own.count();
        if count < quantile.calls_min() {
            return;
        }
        let (own, baseline) = (times.own.quantile(quantile.percent()), times.baseline.quantile(quantile.percent()));
        let SlownessTerms { slowdown_max, slowdown_floor_ms, slowdown_rollback_ms } = self.terms.slowness;
        let figures = || {
            let (own, baseline) = (own.as_micros(), baseline.as_micros());
            let which = quantile.name();
            format!("{which} of {count} calls is {own} µs, and {baseline} µs with the baseline")
        };
        match self.terms.slowness.judge(quantile, own, baseline) {
            Slowness::Fine => {}
            Slowness::Slow if times.warned.swap(true, Ordering::AcqRel) => {}
            Slowness::Slow => {
                let warning = format!(
                    "{handler} is slow: {} (slowdown_max = {slowdown_max}, slowdown_floor_ms = {slowdown_floor_ms})",
                    figures()
                );
                self.findings().warnings.push(warning);
                let _ = self.news.try_send(Verdict::Warned);
            }
            Slowness::TooSlow => {
                let summary = format!(
                    "{handler} is too slow: {} (slowdown_max = {slowdown_max}, slowdown_rollback_ms = \
                     {slowdown_rollback_ms})",
                    figures()
                );
                let mut findings = self.findings();
                findings.versions = vec![*self.change.after.of(handler)];
                self.fail(&mut findings, summary);
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
        // A version deployed onto this one may have failed at the same call.
        for version in [*self.change.after.of(fault.handler), fault.version] {
            if !findings.versions.contains(&version) {
                findings.versions.push(version);
            }
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
            let _ = self.news.try_send(Verdict::Failed);
        }
    }

    /// What led to the verdict. None: it has not failed.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        let findings = self.findings();
        let summary = findings.summary.clone()?;
        let whole = std::iter::once(&summary).chain(&findings.described).cloned().collect::<Vec<_>>().join("\n");
        Some(Evidence { versions: findings.versions.clone(), summary, whole })
    }

    /// What is no reason for a rollback, a sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.findings().warnings.clone()
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a probation's warnings and its end, or until its release is gone.
fn wait(
    probation: &Weak<Probation>,
    verdicts: &Receiver<Verdict>,
    span: Option<Duration>,
    carry_out: impl Fn(&Arc<Probation>, Verdict) -> bool,
) {
    let end = span.map(|span| Instant::now() + span);
    loop {
        let next = match end {
            Some(end) => verdicts.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => verdicts.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let verdict = match next {
            Ok(verdict) => verdict,
            Err(RecvTimeoutError::Timeout) => Verdict::Passed,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        loop {
            let Some(probation) = probation.upgrade() else { return };
            if carry_out(&probation, verdict) {
                break;
            }
            drop(probation);
            std::thread::sleep(RETRY);
        }
        if verdict != Verdict::Warned {
            return;
        }
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
