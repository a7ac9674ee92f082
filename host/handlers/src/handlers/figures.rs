//! What an operator's monitoring asks of the handlers: calls by version, and how often releases changed and why.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Handlers;
use crate::admit::error::Stage;
use crate::rollout::ledger::{ActivateError, Trigger};
use crate::run::call_figures::VersionFigures;
use crate::run::kind::{HandlerKind, VersionId};
use crate::run::version_set::VersionSet;

/// Counts what happens to releases.
#[derive(Default)]
pub(super) struct ReleaseCounters {
    /// In the order of [`Trigger::ALL`].
    activations: [AtomicU64; Trigger::ALL.len()],
    pub(super) passed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) warnings: AtomicU64,
    blocked: AtomicU64,
}

/// What happened to releases since startup, and what is active.
#[derive(Clone, Debug, Default)]
pub struct ReleaseFigures {
    /// The number of the active release.
    pub release: u64,
    /// The versions that answer: whose, which, and whether it is that of the `active` release, the `canary` or the
    /// `shadow`.
    pub versions: Vec<(HandlerKind, String, &'static str)>,
    /// How many releases became active, by what led to that.
    pub activations: Vec<(&'static str, u64)>,
    /// How probations came out: `passed`, `failed` or `ended` before their time.
    pub probations: [(&'static str, u64); 3],
    /// The warnings of probations.
    pub warnings: u64,
    /// The probations that are running.
    pub running: u64,
    /// The versions that were rejected, by the step that rejected them.
    pub rejected: Vec<(String, u64)>,
    /// The blocked versions.
    pub blocked: u64,
    /// The instances of each handler that exist, idle or answering.
    pub instances: Vec<(HandlerKind, u64)>,
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Counts several.
pub(super) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl ReleaseCounters {
    /// Counts a release that became active.
    pub(super) fn activated(&self, trigger: Trigger) {
        let mut counters = Trigger::ALL.iter().zip(&self.activations);
        if let Some((_, counter)) = counters.find(|(known, _)| **known == trigger) {
            count(counter);
        }
    }

    /// Counts a change that was rejected because of a blocked version.
    pub(super) fn rejected(&self, error: &ActivateError) {
        if matches!(error, ActivateError::Blocked { .. }) {
            count(&self.blocked);
        }
    }
}

impl Handlers {
    /// How many calls of clients each version answered since startup, and how long they took.
    #[must_use]
    pub fn call_figures(&self) -> Vec<VersionFigures> {
        self.admission.sandbox().calls.read()
    }

    /// What happened to releases since startup, and what is active. Waits for a change that is being recorded, so not for
    /// a worker.
    #[must_use]
    pub fn release_figures(&self) -> ReleaseFigures {
        let counters = &self.counters;
        let (release, blocked) = {
            let register = self.register();
            (register.number(), register.blocked().len() as u64)
        };
        let active = self.active.load();
        let current = active.release.versions();
        let all = HandlerKind::ALL.map(|handler| (handler, current.id(handler)));
        let mut versions = Vec::new();
        let mut name = |these: &[(HandlerKind, VersionId)], role| {
            versions.extend(these.iter().map(|(handler, version)| (*handler, version.whole(), role)));
        };
        name(&all, "active");
        let changes = |versions: &VersionSet| versions.changes_from(current);
        active.canary().inspect(|canary| name(&changes(&canary.versions), "canary"));
        active.release.shadow().inspect(|shadow| name(shadow.versions(), "shadow"));
        let running = active.release.probations().latest_first().count() + usize::from(active.canary().is_some());
        let rejected = Stage::ALL.iter().zip(self.admission.rejected());
        let rejected = rejected.map(|(stage, number)| (stage.to_string(), number));
        let sandbox = self.admission.sandbox();
        let activations = Trigger::ALL.iter().zip(&counters.activations);
        ReleaseFigures {
            release,
            versions,
            activations: activations.map(|(trigger, number)| (trigger.name(), read(number))).collect(),
            probations: [
                ("passed", read(&counters.passed)),
                ("failed", read(&counters.failed)),
                ("ended", read(&counters.ended)),
            ],
            warnings: read(&counters.warnings),
            running: running as u64,
            rejected: rejected.chain([("blocked".to_owned(), read(&counters.blocked))]).collect(),
            blocked,
            instances: HandlerKind::ALL.map(|handler| (handler, sandbox.instances.of(handler).number())).into(),
        }
    }
}
