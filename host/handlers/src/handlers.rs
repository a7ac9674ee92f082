//! Which release answers where, and how that changes.
//!
//! [`Handlers::current`] returns the active release; a message takes it once and keeps it. A [`Candidate`] becomes
//! active by [`Handlers::activate`] only, for the next message, once the [`Ledger`] has it on disk.

mod figures;
mod observing;
mod probation;
mod trying;

pub use figures::ReleaseFigures;
pub use observing::Recording;
pub use trying::CanaryStarted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use figures::ReleaseCounters;
use ondol_host_model::RoomId;

use crate::active::Active;
use crate::admit::admission::Admission;
use crate::admit::candidate::Candidate;
use crate::admit::smoke;
use crate::release::Release;
use crate::rollout::event::EventKind;
use crate::rollout::ledger::{ActivateError, Activation, Ledger, NumberedRelease, Provenance, Register, Trigger};
use crate::rollout::probations::Probations;
use crate::rollout::rows::{CanaryRow, ProbationRow, Rollouts};
use crate::rollout::slowness::SlownessOverride;
use crate::run::fault::Fault;
use crate::run::fault_history::FaultsRow;
use crate::run::kind::{HandlerKind, VersionId};
use crate::run::limits::RolloutLimits;
use crate::run::version_set::VersionSet;

/// What an activation led to.
pub struct Activated {
    /// The release that is active now.
    pub release: NumberedRelease,
    /// Its probation, if it has one.
    pub probation: Option<ProbationRow>,
    /// The canary that it ended.
    pub ended_canary: Option<CanaryRow>,
    /// The releases whose probation it ended.
    pub ended_probations: Vec<u64>,
}

/// The active release, and how it changes.
pub struct Handlers {
    admission: Arc<Admission>,
    /// Of the probations and shadows that begin from now on.
    limits: ArcSwap<RolloutLimits>,
    active: ArcSwap<Active>,
    /// Held while the active release changes: for as long as recording takes, and never while anything compiles.
    register: Mutex<Register>,
    counters: ReleaseCounters,
    /// The name of this host, where there are several.
    host: OnceLock<String>,
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

    /// Begins with a release that is not recorded yet, over the one that is recorded as active.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded, does not have all three versions, or another release is recorded as active.
    pub fn begin(
        admission: Arc<Admission>,
        limits: RolloutLimits,
        candidate: &Candidate,
        over: Option<u64>,
        provenance: &Provenance,
        ledger: Ledger,
        blocked: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let versions = candidate.whole().ok_or(ActivateError::Incomplete)?;
        let activation = Activation { versions: versions.ids(), fresh: candidate.fresh(), over, provenance };
        let register = Register::begin(ledger, &activation, blocked)?;
        Ok(Self::new(admission, limits, versions, register))
    }

    fn new(admission: Arc<Admission>, limits: RolloutLimits, versions: VersionSet, register: Register) -> Self {
        let release = Release::new(admission.sandbox(), versions, Probations::default(), None);
        let active = ArcSwap::from_pointee(Active::everywhere(release));
        Self {
            admission,
            limits: ArcSwap::from_pointee(limits),
            active,
            register: Mutex::new(register),
            counters: ReleaseCounters::default(),
            host: OnceLock::new(),
        }
    }

    /// There are several hosts, and this is the name of this one: the evidence against a version names it.
    pub fn set_host(&self, name: String) {
        let _ = self.host.set(name);
    }

    /// Changes the limits of the probations and shadows that begin from now on.
    pub fn set_limits(&self, limits: RolloutLimits) {
        self.limits.store(Arc::new(limits));
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

    /// Rejects what was aimed at another release than the active one.
    ///
    /// # Errors
    ///
    /// When another one is active.
    pub fn check_expected(&self, provenance: &Provenance) -> Result<(), ActivateError> {
        self.register().check_expected(provenance.expected)
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
    ) -> Result<Option<Activated>, ActivateError> {
        self.swap(&mut self.register(), candidate, provenance)
    }

    /// Makes a release active that another host has recorded as that. A canary ends. With a `probation` it is compared with the
    /// release before it here as well. False: this host has it already, or a later one.
    pub fn follow(
        self: &Arc<Self>,
        candidate: &Candidate,
        number: u64,
        probation: Option<SlownessOverride>,
        blocked: HashMap<VersionId, String>,
    ) -> bool {
        let mut register = self.register();
        if number <= register.number() {
            return false;
        }
        let active = self.active.load_full();
        let current = active.release.versions();
        let next = candidate.over(current);
        let previous = NumberedRelease { number: register.number(), versions: current.clone() };
        register.follow(number, current, blocked);
        let probation = self.probation_of(number, &next, previous, probation);
        let probations = active.release.probations().after(probation, next.ids());
        let release = Release::new(self.admission.sandbox(), next, probations, active.release.shadow().cloned());
        self.active.store(Arc::new(Active::everywhere(release)));
        tracing::info!(release = number, "release {number} is active, as another host has recorded");
        true
    }

    /// The same, while more changes. Ends a canary.
    fn swap(
        self: &Arc<Self>,
        register: &mut Register,
        candidate: &Candidate,
        provenance: &Provenance,
    ) -> Result<Option<Activated>, ActivateError> {
        register.check_expected(provenance.expected)?;
        let active = self.active.load_full();
        let current = active.release.versions();
        let next = candidate.over(current);
        let changed = next.changes_from(current);
        if changed.is_empty() {
            return Ok(None);
        }
        register.check_blocked(&changed, provenance.forced).inspect_err(|error| self.counters.rejected(error))?;
        let over = Some(register.number());
        let activation = Activation { versions: next.ids(), fresh: candidate.fresh(), over, provenance };
        let previous = register.record(&activation, current)?;
        let number = register.number();
        let probation = self.probation_of(number, &next, previous, provenance.probation());
        let probations = active.release.probations().after(probation.clone(), next.ids());
        let ended_probations = active.release.probations().missing_in(&probations);
        let shadow = active.release.shadow().cloned();
        let release = Release::new(self.admission.sandbox(), next.clone(), probations, shadow);
        self.active.store(Arc::new(Active::everywhere(release)));
        self.counters.activated(provenance.trigger);
        let Provenance { actor, reason, trigger, .. } = provenance;
        let trigger = trigger.name();
        for (handler, version) in changed {
            tracing::info!(
                %handler, %version, release = number, actor, trigger, reason,
                "handler {handler} {version} activated (release {number})"
            );
        }
        let ended_canary = active.canary().map(|canary| {
            tracing::info!(release = number, "canary ended: release {number} is active in all rooms");
            let row = CanaryRow::of(canary, current);
            register.note(EventKind::CanaryEnded, actor, format!("release {number} is active in all rooms; {row}"));
            row
        });
        // The one that failed counts as such.
        let failed = usize::from(provenance.trigger == Trigger::Probation);
        let ended = ended_probations.len() + usize::from(active.canary().is_some());
        figures::add(&self.counters.ended, ended.saturating_sub(failed));
        for ended in &ended_probations {
            register.note(EventKind::ProbationEnded, actor, format!("that of release {ended}, by release {number}"));
        }
        let probation = probation.map(|probation| ProbationRow::of(&probation, &next));
        let release = NumberedRelease { number, versions: next };
        Ok(Some(Activated { release, probation, ended_canary, ended_probations }))
    }

    /// The rollouts, and the blocked versions.
    #[must_use]
    pub fn rollouts(&self) -> Rollouts {
        let blocked = self.register().blocked().iter().map(|(id, evidence)| (id.whole(), evidence.clone())).collect();
        let active = self.active.load();
        let versions = active.release.versions();
        let mut probations = active.release.probations().latest_first();
        let mut row = || probations.next().map(|probation| ProbationRow::of(probation, versions));
        let probation = row();
        let earlier_probations = std::iter::from_fn(row).collect();
        let canary = active.canary().map(|canary| CanaryRow::of(canary, versions));
        let shadow = active.release.shadow().map(|shadow| shadow.row());
        Rollouts { probation, earlier_probations, canary, shadow, blocked }
    }

    /// Lifts the block of a version. False: it is not blocked.
    ///
    /// # Errors
    ///
    /// When that cannot be recorded. The version is then still blocked.
    pub fn forgive(&self, version: VersionId, actor: &str, reason: &str) -> Result<bool, ActivateError> {
        let mut register = self.register();
        if !register.blocked().contains_key(&version) {
            return Ok(false);
        }
        register.unblock(version)?;
        tracing::info!(%version, actor, reason, "version {version} is no longer blocked, by {actor}: {reason}");
        register.note(EventKind::Forgiven, actor, because(&format!("version {version}"), reason));
        Ok(true)
    }

    /// Other hosts may have blocked versions or lifted a block: these are blocked now.
    pub fn set_blocked(&self, blocked: HashMap<VersionId, String>) {
        self.register().set_blocked(blocked);
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

/// A sentence with its reason, if one was given.
fn because(what: &str, reason: &str) -> String {
    if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") }
}
