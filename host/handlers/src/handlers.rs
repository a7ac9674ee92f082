//! Which release answers where, and how that changes.
//!
//! [`Handlers::current`] returns the active release; a message takes it once and keeps it. A [`Candidate`] becomes
//! active by [`Handlers::activate`] only, for the next message, once the [`Ledger`] has it on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ondol_host_model::{RoomId, Timestamp};

use crate::active::Active;
use crate::admit::admission::Admission;
use crate::admit::candidate::Candidate;
use crate::admit::smoke;
use crate::release::Release;
use crate::rollout::canary::{Canary, Share};
use crate::rollout::ledger::{ActivateError, Activation, Ledger, NumberedRelease, Provenance, Register, Trigger};
use crate::rollout::probation::{Probation, Verdict};
use crate::rollout::rows::{CanaryRow, ProbationRow, Rollouts};
use crate::rollout::shadow::{Shadow, ShadowRow};
use crate::run::fault::Fault;
use crate::run::fault_history::FaultsRow;
use crate::run::kind::{HandlerKind, VersionId};
use crate::run::limits::RolloutLimits;
use crate::run::version_set::VersionSet;

/// The actor of a rollback after a failed probation.
const PROBATION: &str = "probation";

/// The active release, and how it changes.
pub struct Handlers {
    admission: Arc<Admission>,
    limits: RolloutLimits,
    active: ArcSwap<Active>,
    /// Held while the active release changes: for as long as recording takes, and never while anything compiles.
    register: Mutex<Register>,
}

impl Handlers {
    /// Begins with a release that is recorded as the active one, under `number`.
    ///
    /// # Errors
    ///
    /// When the candidate does not have all three versions.
    pub fn resume(
        admission: Arc<Admission>,
        limits: RolloutLimits,
        candidate: &Candidate,
        ledger: Ledger,
        number: u64,
        blocked: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let versions = candidate.whole().ok_or(ActivateError::Incomplete)?;
        Ok(Self::new(admission, limits, versions, Register::resume(ledger, number, blocked)))
    }

    /// Begins with a release that is not recorded yet.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded, or does not have all three versions.
    pub fn begin(
        admission: Arc<Admission>,
        limits: RolloutLimits,
        candidate: &Candidate,
        provenance: &Provenance,
        ledger: Ledger,
        blocked: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let versions = candidate.whole().ok_or(ActivateError::Incomplete)?;
        let activation = Activation { versions: versions.ids(), fresh: candidate.fresh(), provenance };
        let register = Register::begin(ledger, &activation, blocked)?;
        Ok(Self::new(admission, limits, versions, register))
    }

    fn new(admission: Arc<Admission>, limits: RolloutLimits, versions: VersionSet, register: Register) -> Self {
        let release = Release::new(admission.sandbox(), versions, None, None);
        let active = ArcSwap::from_pointee(Active::everywhere(release));
        Self { admission, limits, active, register: Mutex::new(register) }
    }

    /// The active release.
    #[must_use]
    pub fn current(&self) -> Arc<Release> {
        Arc::clone(&self.active.load().release)
    }

    /// The release for the next message in a room.
    #[must_use]
    pub fn for_room(&self, room: RoomId) -> Arc<Release> {
        Arc::clone(self.active.load().for_room(room))
    }

    /// The release for a request that creates a room, which may be for a post.
    #[must_use]
    pub fn for_post(&self, post: Option<u64>) -> Arc<Release> {
        Arc::clone(self.active.load().for_post(post))
    }

    /// The active versions with the number of their release.
    #[must_use]
    pub fn numbered(&self) -> NumberedRelease {
        let register = self.register();
        NumberedRelease { number: register.number(), versions: self.current().versions().clone() }
    }

    /// The release that was active before, if one was since startup: it needs no compiling.
    #[must_use]
    pub fn previous(&self) -> Option<NumberedRelease> {
        self.register().previous().cloned()
    }

    /// The admission checks.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Makes the candidate's versions active for the next message. Messages in progress keep the release that they
    /// began with. None: they are active already. Waits for the disk, so not for a worker.
    ///
    /// # Errors
    ///
    /// When one of them is blocked, or cannot be recorded. The active release is unchanged.
    pub fn activate(
        self: &Arc<Self>,
        candidate: &Candidate,
        provenance: &Provenance,
    ) -> Result<Option<NumberedRelease>, ActivateError> {
        self.swap(&mut self.register(), candidate, provenance)
    }

    /// The same, while more changes. Ends a canary.
    fn swap(
        self: &Arc<Self>,
        register: &mut Register,
        candidate: &Candidate,
        provenance: &Provenance,
    ) -> Result<Option<NumberedRelease>, ActivateError> {
        let active = self.active.load_full();
        let current = active.release.versions();
        let next = candidate.over(current);
        let changed = next.changes_from(current);
        if changed.is_empty() {
            return Ok(None);
        }
        register.check_blocked(&changed, provenance.forced)?;
        let activation = Activation { versions: next.ids(), fresh: candidate.fresh(), provenance };
        let previous = register.record(&activation, current)?;
        let probation = self.probation_of(&next, &active.release, previous, provenance);
        let shadow = active.release.shadow().cloned();
        let release = Release::new(self.admission.sandbox(), next.clone(), probation, shadow);
        self.active.store(Arc::new(Active::everywhere(release)));
        let (number, trigger) = (register.number(), provenance.trigger.name());
        let Provenance { actor, reason, .. } = provenance;
        for (handler, version) in changed {
            tracing::info!(
                %handler, %version, release = number, actor, trigger, reason,
                "handler {handler} {version} activated (release {number})"
            );
        }
        if active.canary().is_some() {
            tracing::info!(release = number, "canary ended: release {number} is active in all rooms");
        }
        Ok(Some(NumberedRelease { number, versions: next }))
    }

    /// The probation of a release that is about to be active, if it is to have one. Its baseline is the last release
    /// that has passed its own: so what was changed in several steps is rolled back as one. A handler without a version
    /// has no baseline: the built-in one answers for it, and is nothing to roll back to.
    fn probation_of(
        self: &Arc<Self>,
        next: &VersionSet,
        active: &Release,
        previous: NumberedRelease,
        provenance: &Provenance,
    ) -> Option<Arc<Probation>> {
        let span = Duration::from_millis(self.limits.probation_ms);
        let baseline = active.probation().map_or(previous, |probation| probation.baseline().clone());
        let changed = next.changes_from(&baseline.versions);
        let has_baseline = changed.iter().all(|(handler, _)| !baseline.versions.lacks(*handler));
        if !provenance.wants_probation() || span.is_zero() || changed.is_empty() || !has_baseline {
            return None;
        }
        match self.begin_probation(next, baseline, Some(span)) {
            Ok(probation) => Some(probation),
            Err(error) => {
                tracing::warn!(%error, "no thread for the probation: the new release has none: {error}");
                None
            }
        }
    }

    fn begin_probation(
        self: &Arc<Self>,
        versions: &VersionSet,
        baseline: NumberedRelease,
        span: Option<Duration>,
    ) -> std::io::Result<Arc<Probation>> {
        let handlers = Arc::downgrade(self);
        Probation::begin(versions, baseline, &self.limits, span, move |probation, verdict| {
            handlers.upgrade().is_none_or(|handlers| match verdict {
                Verdict::Passed => handlers.pass(probation),
                Verdict::Failed => handlers.fail(probation),
            })
        })
    }

    /// Ends a probation that was passed.
    fn pass(&self, probation: &Arc<Probation>) -> bool {
        let register = self.register();
        let active = self.active.load_full();
        if active.is_on(probation) {
            let (release, (_, calls, faults)) = (register.number(), probation.counts());
            let unobserved = active.release.with(None, active.release.shadow().cloned());
            self.active.store(Arc::new(active.with_release(unobserved)));
            tracing::info!(release, calls, faults, "release {release} has passed its probation");
        }
        true
    }

    /// Rolls back after a failed probation, and blocks the versions that led to it. False: try again.
    fn fail(self: &Arc<Self>, probation: &Arc<Probation>) -> bool {
        let Some(evidence) = probation.evidence() else { return true };
        let mut register = self.register();
        let active = self.active.load_full();
        let reason = &evidence.summary;
        if active.is_on(probation) {
            let (release, baseline) = (register.number(), probation.baseline());
            let back_to = baseline.number;
            tracing::error!(
                release,
                back_to,
                reason,
                "release {release} failed its probation, rolling back to release {back_to}: {reason}"
            );
            let mut candidate = Candidate::default();
            HandlerKind::ALL.into_iter().for_each(|handler| candidate.take(handler, &baseline.versions));
            let provenance = Provenance {
                actor: PROBATION.to_owned(),
                trigger: Trigger::Probation,
                reason: reason.clone(),
                back_to: Some(back_to),
                forced: false,
            };
            if let Err(error) = self.swap(&mut register, &candidate, &provenance) {
                tracing::error!(%error, release, "automatic rollback of release {release} failed: {error}");
                return matches!(error, ActivateError::Blocked { .. });
            }
        } else if active.canary_is_on(probation) {
            tracing::error!(reason, "the canary failed its probation and has ended: {reason}");
            self.active.store(Arc::new(active.without_canary()));
        }
        for version in evidence.versions {
            if let Err(error) = register.block(version, &evidence.whole) {
                tracing::error!(%version, %error, "version {version} is blocked until the server ends only: {error}");
            }
        }
        true
    }

    /// Activates a candidate in a percentage of the rooms. An earlier canary ends. False: its versions are active.
    ///
    /// # Errors
    ///
    /// When one of them is blocked, or no thread is available.
    pub fn start_canary(
        self: &Arc<Self>,
        candidate: Candidate,
        percent: u8,
        provenance: Provenance,
    ) -> Result<bool, ActivateError> {
        let mut register = self.register();
        let active = self.active.load_full();
        let current = active.release.versions();
        let versions = candidate.over(current);
        let changed = versions.changes_from(current);
        if changed.is_empty() {
            return Ok(false);
        }
        register.check_blocked(&changed, provenance.forced)?;
        let baseline = NumberedRelease { number: register.number(), versions: current.clone() };
        let probation = self.begin_probation(&versions, baseline, None);
        let probation = probation.map_err(|error| ActivateError::Thread(error.to_string()))?;
        let Provenance { actor, reason, .. } = &provenance;
        for (handler, version) in changed {
            tracing::info!(
                %handler, %version, percent, actor, reason,
                "handler {handler} {version} activated in {percent} % of the rooms (canary)"
            );
        }
        // Its shadow would be compared with another release than the active one.
        let release = Release::new(self.admission.sandbox(), versions.clone(), Some(Arc::clone(&probation)), None);
        let share = Share::new(percent, &versions);
        let canary = Canary { versions, candidate, share, provenance, since: Timestamp::now(), probation };
        self.active.store(Arc::new(active.with_canary(canary, release)));
        Ok(true)
    }

    /// Makes the canary's versions active everywhere. None: there is no canary.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded. The canary then stays.
    pub fn promote_canary(
        self: &Arc<Self>,
        actor: &str,
        reason: &str,
    ) -> Result<Option<NumberedRelease>, ActivateError> {
        let mut register = self.register();
        let Some(canary) = self.active.load().canary().cloned() else { return Ok(None) };
        let reason = if reason.is_empty() { &canary.provenance.reason } else { reason };
        let provenance = Provenance { actor: actor.to_owned(), reason: reason.to_owned(), ..canary.provenance.clone() };
        self.swap(&mut register, &canary.candidate, &provenance)
    }

    /// Ends the canary. False: there is none.
    pub fn drop_canary(&self, actor: &str, reason: &str) -> bool {
        let _register = self.register();
        let active = self.active.load_full();
        let dropped = active.canary().is_some();
        if dropped {
            tracing::info!(actor, reason, "canary dropped by {actor}: one release is active in all rooms");
            self.active.store(Arc::new(active.without_canary()));
        }
        dropped
    }

    /// Copies calls of the active release to a candidate. An earlier shadow ends. False: its versions are active.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub fn start_shadow(&self, candidate: &Candidate) -> std::io::Result<bool> {
        let _register = self.register();
        let active = self.active.load_full();
        let current = active.release.versions();
        let versions = candidate.over(current);
        if versions.changes_from(current).is_empty() {
            return Ok(false);
        }
        let shadow = Shadow::start(versions, current, &self.limits)?;
        self.replace_shadow(&active, Some(Arc::new(shadow)));
        Ok(true)
    }

    /// Ends the shadow, and returns its results.
    pub fn stop_shadow(&self) -> Option<ShadowRow> {
        let _register = self.register();
        let active = self.active.load_full();
        self.replace_shadow(&active, None);
        active.release.shadow().map(|shadow| shadow.row())
    }

    fn replace_shadow(&self, active: &Active, shadow: Option<Arc<Shadow>>) {
        if let Some(shadow) = active.release.shadow() {
            shadow.stop();
        }
        let release = active.release.with(active.release.probation().cloned(), shadow);
        self.active.store(Arc::new(active.with_release(release)));
    }

    /// The rollouts, and the blocked versions.
    #[must_use]
    pub fn rollouts(&self) -> Rollouts {
        let blocked = self.register().blocked().iter().map(|(id, evidence)| (id.whole(), evidence.clone())).collect();
        let active = self.active.load();
        let versions = active.release.versions();
        let probation = active.release.probation();
        let probation =
            probation.map(|probation| ProbationRow::of(probation, versions, Some(self.limits.probation_ms)));
        let canary = active.canary().map(|canary| CanaryRow::of(canary, versions));
        let shadow = active.release.shadow().map(|shadow| shadow.row());
        Rollouts { probation, canary, shadow, blocked }
    }

    /// Why a version is blocked. None: it is not.
    #[must_use]
    pub fn evidence(&self, version: VersionId) -> Option<String> {
        self.register().blocked().get(&version).cloned()
    }

    /// Calls each of the three active versions, and returns the faults of those that do not answer.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Fault> {
        smoke::unanswered(self.current().versions())
    }

    /// What a handler failed at since startup, whichever versions of it were active.
    #[must_use]
    pub fn faults(&self, handler: HandlerKind) -> FaultsRow {
        self.admission.sandbox().faults.row(handler)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
