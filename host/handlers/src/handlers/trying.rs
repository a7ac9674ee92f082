//! How a canary and a shadow begin and end.

use std::sync::Arc;

use ondol_host_model::Timestamp;

use super::figures::count;
use super::{Activated, Handlers, because};
use crate::active::Active;
use crate::admit::candidate::Candidate;
use crate::release::Release;
use crate::rollout::canary::{Canary, CanaryTerms, Share};
use crate::rollout::event::EventKind;
use crate::rollout::ledger::{ActivateError, NumberedRelease, Provenance, Register};
use crate::rollout::probation::Subject;
use crate::rollout::probations::Probations;
use crate::rollout::rows::{CanaryRow, named};
use crate::rollout::shadow::{Shadow, ShadowRow};
use crate::run::version_set::VersionSet;

/// What the start of a canary led to.
pub struct CanaryStarted {
    /// The canary.
    pub canary: CanaryRow,
    /// The one that it replaced.
    pub ended_canary: Option<CanaryRow>,
}

impl Handlers {
    /// Activates a candidate in a percentage of the rooms. An earlier canary ends. None: its versions are active.
    ///
    /// # Errors
    ///
    /// When one of them is blocked, or no thread is available.
    pub fn start_canary(
        self: &Arc<Self>,
        candidate: Candidate,
        percent: u8,
        provenance: Provenance,
    ) -> Result<Option<CanaryStarted>, ActivateError> {
        let mut register = self.register();
        register.check_expected(provenance.expected)?;
        let active = self.active.load_full();
        let current = active.release.versions();
        let versions = candidate.over(current);
        let changed = versions.changes_from(current);
        if changed.is_empty() {
            return Ok(None);
        }
        register.check_blocked(&changed, provenance.forced).inspect_err(|error| self.counters.rejected(error))?;
        let Provenance { actor, reason, .. } = provenance.clone();
        let row = self.begin_canary(&register, candidate, percent, Timestamp::now(), provenance)?;
        let ended_canary = active.canary().map(|ended| CanaryRow::of(ended, current));
        if let Some(ended) = &ended_canary {
            count(&self.counters.ended);
            register.note(EventKind::CanaryEnded, &actor, format!("another one replaced it; {ended}"));
        }
        register.note(EventKind::CanaryStarted, &actor, because(&row.to_string(), &reason));
        Ok(Some(CanaryStarted { canary: row, ended_canary }))
    }

    /// In place of an earlier canary.
    fn begin_canary(
        self: &Arc<Self>,
        register: &Register,
        candidate: Candidate,
        percent: u8,
        since: Timestamp,
        provenance: Provenance,
    ) -> Result<CanaryRow, ActivateError> {
        let active = self.active.load_full();
        let current = active.release.versions();
        let versions = candidate.over(current);
        let baseline = NumberedRelease { number: register.number(), versions: current.clone() };
        let slowness = provenance.slowness;
        let subject = Subject { release: None, versions: &versions, baseline, span: None, slowness };
        let probation = self.begin_probation(subject).map_err(|error| ActivateError::Thread(error.to_string()))?;
        let Provenance { actor, reason, .. } = &provenance;
        for (handler, version) in versions.changes_from(current) {
            tracing::info!(
                %handler, %version, percent, actor, reason,
                "handler {handler} {version} activated in {percent} % of the rooms (canary)"
            );
        }
        // Its shadow would be compared with another release than the active one.
        let probations = Probations::one(Arc::clone(&probation));
        let release = Release::new(self.admission.sandbox(), versions.clone(), probations, None);
        let share = Share::new(percent, &versions);
        let canary = Canary { versions, candidate, share, provenance, since, probation };
        let row = CanaryRow::of(&canary, current);
        self.active.store(Arc::new(active.with_canary(canary, release)));
        Ok(row)
    }

    /// The number of the active release, and the canary beside it as other hosts are told of it.
    #[must_use]
    pub fn canary_terms(&self) -> (u64, Option<CanaryTerms>) {
        let register = self.register();
        (register.number(), self.active.load().canary().map(|canary| canary.terms()))
    }

    /// The versions of the canary, if there is one.
    #[must_use]
    pub fn canary_versions(&self) -> Option<VersionSet> {
        self.active.load().canary().map(|canary| canary.versions.clone())
    }

    /// Activates the canary that another host tells of, in place of an earlier one. False: another release is active here than
    /// the one beside which it began.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub fn follow_canary(self: &Arc<Self>, candidate: Candidate, terms: &CanaryTerms) -> Result<bool, ActivateError> {
        let register = self.register();
        let is_beside = register.number() == terms.over;
        if is_beside {
            self.begin_canary(&register, candidate, terms.percent, Timestamp(terms.since), terms.provenance())?;
        }
        Ok(is_beside)
    }

    /// Ends the canary, as another host tells.
    pub fn follow_end_of_canary(&self) {
        let _register = self.register();
        let active = self.active.load_full();
        if active.canary().is_some() {
            tracing::info!("canary ended on another host: one release is active in all rooms");
            self.active.store(Arc::new(active.without_canary()));
        }
    }

    /// Makes the canary's versions active everywhere. None: there is no canary.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded. The canary then stays.
    pub fn promote_canary(self: &Arc<Self>, actor: &str, reason: &str) -> Result<Option<Activated>, ActivateError> {
        let mut register = self.register();
        let Some(canary) = self.active.load().canary().cloned() else { return Ok(None) };
        let reason = if reason.is_empty() { &canary.provenance.reason } else { reason };
        let provenance = Provenance {
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            // The canary was aimed at the release beside which it began; none has followed, or it would have ended.
            expected: None,
            ..canary.provenance.clone()
        };
        self.swap(&mut register, &canary.candidate, &provenance)
    }

    /// Ends the canary, and returns its figures. None: there is none.
    pub fn drop_canary(&self, actor: &str, reason: &str) -> Option<CanaryRow> {
        let register = self.register();
        let active = self.active.load_full();
        let row = CanaryRow::of(active.canary()?, active.release.versions());
        tracing::info!(actor, reason, "canary dropped by {actor}: one release is active in all rooms");
        self.active.store(Arc::new(active.without_canary()));
        count(&self.counters.ended);
        register.note(EventKind::CanaryEnded, actor, because(&format!("dropped; {row}"), reason));
        Some(row)
    }

    /// Copies calls of the active release to a candidate. An earlier shadow ends, and its results are returned with
    /// those of the new one. None: the candidate's versions are active.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub fn start_shadow(
        &self,
        candidate: &Candidate,
        actor: &str,
        reason: &str,
    ) -> std::io::Result<Option<(ShadowRow, Option<ShadowRow>)>> {
        let register = self.register();
        let active = self.active.load_full();
        let current = active.release.versions();
        let versions = candidate.over(current);
        if versions.changes_from(current).is_empty() {
            return Ok(None);
        }
        let shadow = Shadow::start(versions, current, &self.limits.load())?;
        let (row, ended) = (shadow.row(), active.release.shadow().map(|shadow| shadow.row()));
        self.replace_shadow(&active, Some(Arc::new(shadow)));
        tracing::info!(actor, reason, "shadow started by {actor}: {reason}");
        if let Some(ended) = &ended {
            register.note(EventKind::ShadowEnded, actor, format!("another one replaced it; {ended}"));
        }
        register.note(EventKind::ShadowStarted, actor, because(&named(&row.versions), reason));
        Ok(Some((row, ended)))
    }

    /// Ends the shadow, and returns its results. None: there is none.
    pub fn stop_shadow(&self, actor: &str, reason: &str) -> Option<ShadowRow> {
        let register = self.register();
        let active = self.active.load_full();
        let row = active.release.shadow()?.row();
        self.replace_shadow(&active, None);
        tracing::info!(actor, reason, "shadow stopped by {actor}: {reason}");
        register.note(EventKind::ShadowEnded, actor, because(&format!("stopped; {row}"), reason));
        Some(row)
    }

    fn replace_shadow(&self, active: &Active, shadow: Option<Arc<Shadow>>) {
        if let Some(shadow) = active.release.shadow() {
            shadow.stop();
        }
        let release = active.release.with(active.release.probations().clone(), shadow);
        self.active.store(Arc::new(active.with_release(release)));
    }
}
