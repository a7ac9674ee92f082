//! What is tried before it counts for all: probation after an activation, a canary in some rooms, a shadow beside the
//! active release. Here they begin and end; what they measure, and when it is too much, is their own files' business.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;

use super::call::differing;
use super::canary::{Canary, Share};
use super::probation::Trial;
use super::shadow::{Shadow, ShadowRow};
use super::{ActivateError, Active, Candidate, HandlerKind, Handlers, How, Release, Standing, Why};
use ondol_host_model::Timestamp;

/// Whoever is recorded for a way back that nobody asked for.
const PROBATION: &str = "probation";

/// How long a way back that could not be recorded waits before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A probation, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbationRow {
    /// The versions on probation.
    pub versions: BTreeMap<&'static str, String>,
    /// The release that it leads back to.
    pub back_to: u64,
    /// How long it has run, in milliseconds.
    pub ran_ms: u64,
    /// How long it still runs, in milliseconds. None: for as long as the canary.
    pub left_ms: Option<u64>,
    /// The calls so far.
    pub calls: u64,
    /// Those that failed, and that the version before answered.
    pub faults: u64,
}

/// A canary, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct CanaryRow {
    /// The versions that differ from the active ones.
    pub versions: BTreeMap<&'static str, String>,
    /// In how many of a hundred rooms it answers.
    pub percent: u64,
    /// Since when.
    pub since: String,
    /// Who wanted it.
    pub who: String,
    /// In their words.
    pub why: String,
    /// How it does.
    pub probation: Option<ProbationRow>,
}

/// All that is being tried.
#[derive(Clone, Debug, Serialize)]
pub struct Trials {
    /// The active release's probation.
    pub probation: Option<ProbationRow>,
    /// The release of some rooms.
    pub canary: Option<CanaryRow>,
    /// The candidate that nobody hears.
    pub shadow: Option<ShadowRow>,
    /// The versions that are not to be active again, with what speaks against each.
    pub bad: BTreeMap<String, String>,
}

impl Handlers {
    /// Puts a candidate into so many in a hundred rooms. One that is there already ends. False: its versions are active.
    ///
    /// # Errors
    ///
    /// When one of them is marked as bad, or no thread can be had.
    pub fn start_canary(self: &Arc<Self>, candidate: Candidate, percent: u8, why: Why) -> Result<bool, ActivateError> {
        let mut changing = self.changing();
        let active = self.active.load_full();
        let next = candidate.over(&active.release);
        let changed = next.changes(&active.release);
        if changed.is_empty() {
            return Ok(false);
        }
        self.admit(&mut changing, &changed, why.forced)?;
        let before = Standing { number: changing.number, release: Arc::new(active.release.bare()) };
        let trial = self.begin_trial(&next, before, None).map_err(|error| ActivateError::Ledger(error.to_string()))?;
        for (handler, version) in changed {
            let (who, why) = (&why.who, &why.why);
            tracing::info!(%handler, %version, percent, who, why, "handler answers in some rooms");
        }
        let share = Share::new(percent, &next);
        // Its shadow would be held against another release than the active one's.
        let release = Arc::new(next.observed(Some(trial), None));
        let canary = Canary { release, candidate, share, why, since: Timestamp::now() };
        self.active.store(Arc::new(Active { canary: Some(Arc::new(canary)), ..Active::clone(&active) }));
        Ok(true)
    }

    /// Makes the canary's versions active everywhere. None: there is no canary.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded. The canary then stays.
    pub fn promote_canary(self: &Arc<Self>, who: &str, why: &str) -> Result<Option<Standing>, ActivateError> {
        let mut changing = self.changing();
        let Some(canary) = self.active.load().canary.clone() else { return Ok(None) };
        let why = if why.is_empty() { &canary.why.why } else { why };
        let why = Why { who: who.to_owned(), why: why.to_owned(), ..canary.why.clone() };
        self.put(&mut changing, &canary.candidate, &why)
    }

    /// Takes the canary back from its rooms. False: there is none.
    pub fn drop_canary(&self, who: &str, why: &str) -> bool {
        let _changing = self.changing();
        let active = self.active.load_full();
        let dropped = active.canary.is_some();
        if dropped {
            tracing::info!(who, why, "the canary is over, its rooms are answered as all others");
            self.active.store(Arc::new(Active { canary: None, ..Active::clone(&active) }));
        }
        dropped
    }

    /// Gives a candidate copies of what the active release is asked. One that runs already ends. False: its versions are
    /// active.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub fn start_shadow(&self, candidate: &Candidate) -> std::io::Result<bool> {
        let _changing = self.changing();
        let active = self.active.load_full();
        let next = candidate.over(&active.release);
        if next.changes(&active.release).is_empty() {
            return Ok(false);
        }
        let about = differing(&next, &active.release);
        let shadow = Arc::new(Shadow::start(next, about, &self.sandbox.all_limits().rollout)?);
        self.replace_shadow(&active, Some(shadow));
        Ok(true)
    }

    /// Ends the shadow, and gives what it came to.
    pub fn stop_shadow(&self) -> Option<ShadowRow> {
        let _changing = self.changing();
        let active = self.active.load_full();
        let row = active.release.shadow.as_ref().map(|shadow| shadow.row());
        self.replace_shadow(&active, None);
        row
    }

    fn replace_shadow(&self, active: &Arc<Active>, shadow: Option<Arc<Shadow>>) {
        if let Some(shadow) = &active.release.shadow {
            shadow.stop();
        }
        let release = Arc::new(active.release.observed(active.release.trial.clone(), shadow));
        self.active.store(Arc::new(Active { release, ..Active::clone(active) }));
    }

    /// All that is being tried.
    #[must_use]
    pub fn trials(&self) -> Trials {
        let bad = self.changing().bad.iter().map(|(version, evidence)| (version.whole(), evidence.clone())).collect();
        let active = self.active.load();
        let span_ms = self.sandbox.all_limits().rollout.probation_ms;
        let probation = active.release.trial.as_ref().map(|trial| row(trial, &active.release, Some(span_ms)));
        let canary = active.canary.as_ref().map(|canary| CanaryRow {
            versions: versions(&canary.release, &active.release),
            percent: canary.share.percent(),
            since: canary.since.to_string(),
            who: canary.why.who.clone(),
            why: canary.why.why.clone(),
            probation: canary.release.trial.as_ref().map(|trial| row(trial, &canary.release, None)),
        });
        let shadow = active.release.shadow.as_ref().map(|shadow| shadow.row());
        Trials { probation, canary, shadow, bad }
    }

    /// The probation of a release that is about to be active, if it is to have one. It leads back to the last release that
    /// has none itself: so what an operator or the directory changed in several steps goes back as one. It never leads back
    /// to where a handler that is changed has no version: the built-in one answers its faults, and is nothing to go back to.
    pub(super) fn probation(
        self: &Arc<Self>,
        next: &Release,
        standing: &Release,
        before: &Standing,
        why: &Why,
    ) -> Option<Arc<Trial>> {
        let span_ms = self.sandbox.all_limits().rollout.probation_ms;
        let wanted = matches!(why.how, How::Deploy | How::Directory) && !why.forced && span_ms > 0;
        let before = standing.trial.as_ref().map_or(before, |trial| trial.before());
        let changed = next.changes(&before.release);
        if !wanted || changed.is_empty() || changed.iter().any(|(handler, _)| before.release.lacks(*handler)) {
            return None;
        }
        match self.begin_trial(next, before.clone(), Some(Duration::from_millis(span_ms))) {
            Ok(trial) => Some(trial),
            Err(error) => {
                tracing::warn!(%error, "no thread to watch over the new release, it has no probation");
                None
            }
        }
    }

    /// Begins a probation, with a thread that waits for its end or its verdict.
    fn begin_trial(
        self: &Arc<Self>,
        next: &Release,
        before: Standing,
        span: Option<Duration>,
    ) -> std::io::Result<Arc<Trial>> {
        let (verdict, spoken) = sync_channel(1);
        let trial = Arc::new(Trial::new(next, before, &self.sandbox.all_limits().rollout, verdict));
        let (handlers, own) = (Arc::downgrade(self), Arc::downgrade(&trial));
        let thread = std::thread::Builder::new().name("handler-trial".to_owned());
        thread.spawn(move || wait(&handlers, &own, &spoken, span))?;
        Ok(trial)
    }

    /// The probation was passed.
    fn passed(&self, trial: &Arc<Trial>) {
        let _changing = self.changing();
        let active = self.active.load_full();
        if active.release.is_on(trial) {
            let release = Arc::new(active.release.observed(None, active.release.shadow.clone()));
            let (_, calls, faults) = trial.counts();
            tracing::info!(calls, faults, "the release has passed its probation");
            self.active.store(Arc::new(Active { release, ..Active::clone(&active) }));
        }
    }

    /// The probation has failed: goes back, and marks what led to it. False: that is to be tried again.
    fn failed(self: &Arc<Self>, trial: &Arc<Trial>) -> bool {
        let Some(evidence) = trial.evidence() else { return true };
        let mut changing = self.changing();
        let active = self.active.load_full();
        let reason = &evidence.summary;
        if active.release.is_on(trial) {
            let before = trial.before();
            let mut candidate = Candidate::default();
            HandlerKind::ALL.into_iter().for_each(|handler| candidate.take(handler, &before.release));
            let why = Why {
                who: PROBATION.to_owned(),
                how: How::Probation,
                why: reason.clone(),
                back_to: Some(before.number),
                forced: false,
            };
            tracing::error!(
                release = changing.number,
                back_to = before.number,
                reason,
                "the release failed its probation"
            );
            if let Err(error) = self.put(&mut changing, &candidate, &why) {
                tracing::error!(%error, "the way back could not be taken");
                return matches!(error, ActivateError::Bad { .. });
            }
        } else if active.canary.as_ref().is_some_and(|canary| canary.release.is_on(trial)) {
            tracing::error!(reason, "the canary failed its probation and is over");
            self.active.store(Arc::new(Active { canary: None, ..Active::clone(&active) }));
        }
        for version in evidence.versions {
            changing.bad.insert(version, evidence.whole.clone());
            if let Err(error) = (self.ledger.mark)(version, Some(&evidence.whole)) {
                tracing::error!(%version, error, "a version is bad, and that could not be recorded: it holds until the end");
            }
        }
        true
    }
}

/// Waits for a probation's end or its verdict, or until nobody cares any more.
fn wait(handlers: &Weak<Handlers>, trial: &Weak<Trial>, spoken: &Receiver<()>, span: Option<Duration>) {
    let heard = match span {
        Some(span) => spoken.recv_timeout(span),
        None => spoken.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    loop {
        let (Some(handlers), Some(trial)) = (handlers.upgrade(), trial.upgrade()) else { return };
        let done = match heard {
            Ok(()) => handlers.failed(&trial),
            Err(RecvTimeoutError::Timeout) => {
                handlers.passed(&trial);
                true
            }
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if done {
            return;
        }
        drop((handlers, trial));
        std::thread::sleep(AGAIN);
    }
}

fn versions(release: &Release, other: &Release) -> BTreeMap<&'static str, String> {
    let changes = release.changes(other).into_iter();
    changes.map(|(handler, version)| (handler.name(), version.whole())).collect()
}

fn row(trial: &Trial, release: &Release, span_ms: Option<u64>) -> ProbationRow {
    let (ran, calls, faults) = trial.counts();
    let ran_ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
    let before = trial.before();
    ProbationRow {
        versions: versions(release, &before.release),
        back_to: before.number,
        ran_ms,
        left_ms: span_ms.map(|span| span.saturating_sub(ran_ms)),
        calls,
        faults,
    }
}
