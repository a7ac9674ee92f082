//! How a probation begins and what it comes to: the release has passed it, the operator is warned, or what was deployed
//! is taken back.

use std::sync::Arc;
use std::time::Duration;

use super::Handlers;
use super::figures::count;
use crate::admit::candidate::Candidate;
use crate::rollout::event::EventKind;
use crate::rollout::ledger::{ActivateError, NumberedRelease, Provenance, Register, Trigger};
use crate::rollout::probation::{Evidence, Probation, Subject, Verdict};
use crate::rollout::slowness::SlownessOverride;
use crate::run::version_set::VersionSet;

/// The actor of what a probation leads to.
const PROBATION: &str = "probation";

impl Handlers {
    /// The probation of a release that is about to be active, if it is to have one, under these terms. Its baseline is the release before
    /// it: so only what was deployed together is taken back together. A handler without a version has no baseline: the
    /// built-in one answers for it, and is nothing to roll back to.
    pub(super) fn probation_of(
        self: &Arc<Self>,
        number: u64,
        next: &VersionSet,
        previous: NumberedRelease,
        slowness: Option<SlownessOverride>,
    ) -> Option<Arc<Probation>> {
        let slowness = slowness?;
        let span = Duration::from_millis(self.limits.load().probation_ms);
        let changed = next.changes_from(&previous.versions);
        let has_baseline = changed.iter().all(|(handler, _)| !previous.versions.lacks(*handler));
        if changed.is_empty() || span.is_zero() || !has_baseline {
            return None;
        }
        let subject = Subject { release: Some(number), versions: next, baseline: previous, span: Some(span), slowness };
        match self.begin_probation(subject) {
            Ok(probation) => Some(probation),
            Err(error) => {
                tracing::warn!(%error, "no thread for the probation: the new release has none: {error}");
                None
            }
        }
    }

    pub(super) fn begin_probation(self: &Arc<Self>, subject: Subject<'_>) -> std::io::Result<Arc<Probation>> {
        let handlers = Arc::downgrade(self);
        Probation::begin(subject, &self.limits.load(), move |probation, verdict| {
            handlers.upgrade().is_none_or(|handlers| match verdict {
                Verdict::Passed => handlers.pass(probation),
                Verdict::Warned => handlers.warn(probation),
                Verdict::Failed => handlers.fail(probation),
            })
        })
    }

    /// Ends a probation that was passed.
    fn pass(&self, probation: &Arc<Probation>) -> bool {
        let _register = self.register();
        if self.end_probation(probation) {
            count(&self.counters.passed);
            let ((_, calls, faults), release) = (probation.counts(), probation.release().unwrap_or_default());
            tracing::info!(release, calls, faults, "release {release} has passed its probation");
        }
        true
    }

    /// False: the active release does not have it. The register has to be held.
    fn end_probation(&self, probation: &Arc<Probation>) -> bool {
        let active = self.active.load_full();
        let is_on = active.is_on(probation);
        if is_on {
            let (probations, shadow) = (active.release.probations().without(probation), active.release.shadow());
            let release = active.release.with(probations, shadow.cloned());
            self.active.store(Arc::new(active.with_release(release)));
        }
        is_on
    }

    /// Tells the operator of the latest warning.
    fn warn(&self, probation: &Arc<Probation>) -> bool {
        let register = self.register();
        let active = self.active.load();
        let (Some(warning), is_canary) = (probation.warnings().pop(), active.canary_is_on(probation)) else {
            return true;
        };
        if is_canary || active.is_on(probation) {
            let release = probation.release();
            let which = release.map_or_else(|| "the canary".to_owned(), |number| format!("release {number}"));
            let warning = self.seen_here(warning);
            tracing::warn!(release, reason = warning, "{which} on probation: {warning}");
            count(&self.counters.warnings);
            register.note(EventKind::Warning, PROBATION, format!("{which}: {warning}"));
        }
        true
    }

    /// Names this host in a sentence about what it found, where there are several.
    fn seen_here(&self, found: String) -> String {
        match self.host.get() {
            Some(host) => format!("on host {host}: {found}"),
            None => found,
        }
    }

    /// Rolls back after a failed probation, and blocks the versions that led to it. Another host may do the same, so that this
    /// release is overtaken: then there is nothing left to do once this host has followed. False: try again.
    fn fail(self: &Arc<Self>, probation: &Arc<Probation>) -> bool {
        let Some(Evidence { versions, summary, whole }) = probation.evidence() else { return true };
        let evidence = Evidence { versions, summary: self.seen_here(summary), whole: self.seen_here(whole) };
        let mut register = self.register();
        let active = self.active.load_full();
        let reason = &evidence.summary;
        if active.is_on(probation) {
            if let Err(error) = self.take_back(&mut register, probation, &evidence) {
                if matches!(error, ActivateError::Overtaken { .. }) {
                    return false;
                }
                let release = probation.release();
                tracing::error!(%error, release, "automatic rollback of what failed its probation failed: {error}");
                return matches!(error, ActivateError::Blocked { .. });
            }
        } else if active.canary_is_on(probation) {
            tracing::error!(reason, "the canary failed its probation and has ended: {reason}");
            self.active.store(Arc::new(active.without_canary()));
            register.note(EventKind::CanaryEnded, PROBATION, format!("it failed its probation: {reason}"));
        }
        count(&self.counters.failed);
        for version in evidence.versions {
            if register.blocked().contains_key(&version) {
                continue;
            }
            if let Err(error) = register.block(version, &evidence.whole) {
                tracing::error!(%version, %error, "version {version} is blocked until the server ends only: {error}");
            }
        }
        true
    }

    /// Makes the versions active again that the failed deploy replaced.
    fn take_back(
        self: &Arc<Self>,
        register: &mut Register,
        probation: &Arc<Probation>,
        evidence: &Evidence,
    ) -> Result<(), ActivateError> {
        let active = self.active.load_full();
        let current = active.release.versions();
        let (release, reason) = (probation.release(), &evidence.summary);
        let mut candidate = Candidate::default();
        let mut targets = Vec::new();
        for (handler, taken) in active.release.probations().taken_back(probation, current.ids()) {
            let baseline = taken.baseline();
            candidate.take(handler, &baseline.versions);
            targets.push(format!("{handler} back to release {}", baseline.number));
        }
        let targets = targets.join(", ");
        let number = release.unwrap_or_default();
        tracing::error!(release, reason, "release {number} failed its probation, rolling {targets}: {reason}");
        let baseline = probation.baseline();
        let is_whole = candidate.over(current).ids() == baseline.versions.ids();
        let provenance = Provenance {
            back_to: is_whole.then_some(baseline.number),
            ..Provenance::new(PROBATION.to_owned(), Trigger::Probation, format!("{targets}: {reason}"))
        };
        if self.swap(register, &candidate, &provenance)?.is_none() {
            self.end_probation(probation);
        }
        Ok(())
    }
}
