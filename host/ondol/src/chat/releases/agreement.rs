//! Changes where there are several hosts: what the others have to prepare first, and what they have recorded themselves. Where
//! there is one host, nothing of it is done.

use std::sync::Arc;
use std::time::Instant;

use super::{ChangeRequest, Changed, ReleaseError, Releases};
use crate::chat::cluster::{Hosts, Proposal};
use crate::chat::release_store;
use ondol_host_handlers::{
    ActivateError, CanaryTerms, Candidate, HandlerKind, NumberedRelease, Provenance, SlownessOverride, Trigger,
    VersionSet,
};
use ondol_host_store::{StoreError, StoredRelease};

/// How often a change is made again over a release that another host has recorded meanwhile.
const AGAIN_MAX: usize = 5;

impl Releases {
    /// There are other hosts.
    pub(in crate::chat) fn set_hosts(&self, hosts: &Arc<Hosts>) {
        let _ = self.hosts.set(Arc::clone(hosts));
    }

    /// Makes a change. If another host has recorded a release meanwhile and `is_over_any`, it is made again over that one.
    pub(super) fn over_others<R>(
        &self,
        is_over_any: bool,
        change: impl Fn() -> Result<R, ReleaseError>,
    ) -> Result<R, ReleaseError> {
        let mut again = 0;
        loop {
            self.follow()?;
            match change() {
                Err(ReleaseError::Activate(ActivateError::Overtaken { .. })) if is_over_any && again < AGAIN_MAX => {
                    again += 1;
                }
                changed => {
                    if matches!(changed, Err(ReleaseError::Activate(ActivateError::Overtaken { .. }))) {
                        // Its status shows the other release. If that cannot be followed now, it is tried again.
                        let _ = self.follow();
                    }
                    return changed;
                }
            }
        }
    }

    /// Stores what is new in a candidate, and has all other hosts prepare it.
    pub(super) fn agree(
        &self,
        candidate: &mut Candidate,
        base: &NumberedRelease,
        provenance: &Provenance,
    ) -> Result<(), ReleaseError> {
        let Some(hosts) = self.hosts.get() else { return Ok(()) };
        let versions = candidate.over(&base.versions).ids();
        if versions == base.versions.ids() {
            return Ok(());
        }
        release_store::keep(&self.pipeline, candidate.fresh())?;
        candidate.set_stored();
        hosts.agree(versions.map(|id| id.whole()), provenance.probation()).map_err(|reasons| {
            let error = ReleaseError::Elsewhere(reasons);
            self.record_rejected(versions, provenance, &error);
            error
        })
    }

    /// Tells the other hosts of a release that is active here, and waits a while for them.
    pub(super) fn spread(&self, changed: Changed) -> Changed {
        let hosts = self.hosts.get().map(|hosts| hosts.spread(changed.number)).unwrap_or_default();
        Changed { hosts, ..changed }
    }

    /// Prepares what another host is about to make active.
    pub(in crate::chat) fn prepare(&self, proposal: Proposal) -> Result<(), ReleaseError> {
        let Proposal { versions, probation, .. } = proposal;
        let named: Vec<_> = HandlerKind::ALL.into_iter().zip(versions.clone()).collect();
        if let Some(release) = self.restore(&named)?.whole() {
            self.prepared.keep(versions, probation, release);
        }
        Ok(())
    }

    /// Drops what was prepared and never became active.
    pub(in crate::chat) fn drop_unused(&self) {
        self.prepared.drop_unused(Instant::now());
    }

    /// Makes the release active that another host has recorded as that, if it is later than this host's. Takes over which versions
    /// are blocked in any case.
    pub(in crate::chat) fn follow(&self) -> Result<bool, ReleaseError> {
        if self.pipeline.store.hosts().is_none() {
            return Ok(false);
        }
        let (own, history) = (self.handlers.numbered().number, self.pipeline.store.releases());
        let active = history.active()?.filter(|active| active.number > own);
        let blocked = release_store::blocked(&self.pipeline)?;
        let Some(active) = active else {
            self.handlers.set_blocked(blocked);
            return Ok(false);
        };
        let probation = self.probation_of(&active, own)?;
        let named: Vec<_> = HandlerKind::ALL.into_iter().zip(active.versions.clone()).collect();
        let candidate = self.restore(&named)?;
        let has_followed = self.handlers.follow(&candidate, active.number, probation, blocked);
        self.prepared.drop_active(&active.versions);
        Ok(has_followed)
    }

    /// The probation of a release that another host has recorded. The host that asked to prepare it has said what it wants. Where
    /// a release between the two was missed there is none: what this host would compare it with is not its baseline.
    fn probation_of(&self, release: &StoredRelease, own: u64) -> Result<Option<SlownessOverride>, StoreError> {
        let is_tried = Trigger::named(&release.trigger).is_some_and(Trigger::has_probation);
        let before = self.pipeline.store.releases().list_admitted(Some(release.number), 1)?;
        if !is_tried || before.first().is_none_or(|before| before.number != own) {
            return Ok(None);
        }
        Ok(self.prepared.probation(&release.versions).unwrap_or_else(|| Some(SlownessOverride::default())))
    }

    /// Activates the canary that another host tells of. False: not beside the release that is active here.
    pub(in crate::chat) fn follow_canary(&self, canary: &CanaryTerms) -> Result<bool, ReleaseError> {
        let named: Vec<_> = HandlerKind::ALL.into_iter().zip(canary.versions.clone()).collect();
        let candidate = self.restore(&named)?;
        Ok(self.handlers.follow_canary(candidate, canary)?)
    }

    /// Makes the canary active in all rooms. None: there is none.
    pub(in crate::chat) fn promote_canary(&self, request: &ChangeRequest) -> Result<Option<Changed>, ReleaseError> {
        self.over_others(false, || {
            let promoted = self.handlers.promote_canary(&request.actor, &request.reason)?;
            Ok(promoted.map(|promoted| self.spread(Changed::of(promoted))))
        })
    }

    /// The releases whose versions are in memory.
    pub(super) fn ready(&self) -> Vec<VersionSet> {
        let mut ready = vec![self.handlers.current().versions().clone()];
        ready.extend(self.handlers.previous().map(|previous| previous.versions));
        ready.extend(self.handlers.canary_versions());
        ready.extend(self.prepared.all());
        ready
    }
}
