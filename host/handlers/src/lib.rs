//! The handlers: the only door to wasmtime. Knows the model and nothing of sockets, rooms or storage.
//!
//! [`Handlers::current`] gives the release that is active; a message takes it once and asks it everything. A
//! [`Candidate`] is brought through the gate, and [`Handlers::activate`] makes it active for the next message. There is no
//! other way to become active, and nothing becomes active before the [`Ledger`] has it on the disk: so whenever the
//! process ends, it comes back with a whole release, the one before or this one.

mod aside;
mod bindings;
mod call;
mod canary;
mod candidate;
mod cases;
mod clock;
mod engine;
mod exports;
mod fault;
mod faults;
mod file;
mod inspect;
mod kind;
mod limits;
mod load;
mod observe;
mod output;
mod pool;
mod probation;
mod release;
mod replay;
mod sandbox;
mod shadow;
mod smoke;
mod standin;
mod state;
mod times;
mod trials;
mod value;
mod version;
mod wasi;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

pub use aside::answer as answer_compile;
pub use call::Call;
pub use candidate::{Candidate, Source};
pub use cases::{CaseReport, Cases};
pub use fault::{Cause, Fault, Overrun};
pub use faults::{FaultRow, FaultsRow};
pub use file::{FileError, read as read_file};
pub use inspect::{Item, Report};
pub use kind::{HandlerKind, VersionId};
pub use limits::{
    AdmissionLimits, CallLimits, CompilerLimits, Failure, HandlersLimits, OnFault, RolloutLimits, SandboxLimits,
};
pub use load::{LoadError, Stage};
pub use release::Release;
pub use replay::{Answer, Change, Compared, Replay, Replied, Side};
pub use sandbox::{Cost, Sandbox};
pub use shadow::ShadowRow;
pub use trials::{CanaryRow, ProbationRow, Trials};
pub use value::Outcome;
pub use watch::{Found, Known, Watch, content, read_handler, watch};

use canary::Canary;

use ondol_host_model::RoomId;

/// What an operator has set for one handler.
pub type SettingsMap = BTreeMap<String, String>;

/// The active release, and the way to the next.
pub struct Handlers {
    active: ArcSwap<Active>,
    sandbox: Arc<Sandbox>,
    ledger: Ledger,
    changing: Mutex<Changing>,
}

/// Which release answers where.
#[derive(Clone)]
struct Active {
    release: Arc<Release>,
    /// The release of some rooms.
    canary: Option<Arc<Canary>>,
}

/// What changes with the active release. Held for as long as the ledger takes, and never while anything compiles.
struct Changing {
    number: u64,
    before: Option<Standing>,
    bad: HashMap<VersionId, String>,
}

/// A release and its number.
#[derive(Clone)]
pub struct Standing {
    /// Its number in the ledger.
    pub number: u64,
    /// The release itself.
    pub release: Arc<Release>,
}

/// Who wants a release to be active, and why.
#[derive(Clone, Debug)]
pub struct Why {
    /// Who.
    pub who: String,
    /// In which way.
    pub how: How,
    /// In their words.
    pub why: String,
    /// The release that this goes back to.
    pub back_to: Option<u64>,
    /// Versions that were marked as bad are taken all the same, and forgiven; and none has a probation.
    pub forced: bool,
}

/// In which way a release comes to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nothing was active before.
    First,
    /// By the watched directory, or by the config at a start.
    Directory,
    /// By an operator.
    Deploy,
    /// By an operator, back to what was active once.
    Rollback,
    /// At a start, because the release that was active is broken.
    Fallback,
    /// By the host, because the release that was active failed its probation.
    Probation,
}

impl How {
    /// Its name in the history.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Directory => "directory",
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Fallback => "fallback",
            Self::Probation => "probation",
        }
    }
}

/// What is to be on the disk before it counts.
pub struct Activation<'a> {
    /// The ids of the three versions.
    pub versions: [VersionId; 3],
    /// What those were made of that are not kept yet.
    pub fresh: &'a [Source],
    /// Who wants it, and why.
    pub why: &'a Why,
}

/// Records an activation, and returns its number once that is durable.
pub type Record = dyn Fn(&Activation<'_>) -> Result<u64, String> + Send + Sync;

/// Marks a version as bad, with the evidence, or forgives it; returns once that is durable.
pub type Mark = dyn Fn(VersionId, Option<&str>) -> Result<(), String> + Send + Sync;

/// Where releases and marks are kept.
pub struct Ledger {
    /// For releases.
    pub record: Box<Record>,
    /// For marks.
    pub mark: Box<Mark>,
}

/// Why a candidate did not become active.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActivateError {
    /// Something speaks against one of its versions.
    #[error("version {version} of {handler} is marked as bad: {evidence}")]
    Bad {
        /// Whose version it is.
        handler: HandlerKind,
        /// Which.
        version: VersionId,
        /// What speaks against it, in one line.
        evidence: String,
    },
    /// It could not be recorded, so it does not count.
    #[error("it could not be recorded: {0}")]
    Ledger(String),
}

impl Handlers {
    /// Begins with a release that the ledger has under `number` as the active one.
    ///
    /// # Errors
    ///
    /// When the candidate has not all three versions.
    pub fn resume(
        sandbox: Arc<Sandbox>,
        ledger: Ledger,
        candidate: &Candidate,
        number: u64,
        bad: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let release = candidate.whole().ok_or_else(incomplete)?;
        let changing = Mutex::new(Changing { number, before: None, bad });
        let active = Active { release: Arc::new(release), canary: None };
        Ok(Self { active: ArcSwap::from_pointee(active), sandbox, ledger, changing })
    }

    /// Begins with a release that is new to the ledger.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded, or has not all three versions.
    pub fn begin(
        sandbox: Arc<Sandbox>,
        ledger: Ledger,
        candidate: &Candidate,
        why: &Why,
        bad: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let release = candidate.whole().ok_or_else(incomplete)?;
        let activation = Activation { versions: release.versions(), fresh: candidate.fresh(), why };
        let number = (ledger.record)(&activation).map_err(ActivateError::Ledger)?;
        Self::resume(sandbox, ledger, candidate, number, bad)
    }

    /// The active release.
    #[must_use]
    pub fn current(&self) -> Arc<Release> {
        Arc::clone(&self.active.load().release)
    }

    /// The release that the next message in a room begins with.
    #[must_use]
    pub fn for_room(&self, room: RoomId) -> Arc<Release> {
        let active = self.active.load();
        match &active.canary {
            Some(canary) if canary.share.takes(room) => Arc::clone(&canary.release),
            _ => Arc::clone(&active.release),
        }
    }

    /// The release that makes a room of a request, which may be for a post.
    #[must_use]
    pub fn for_post(&self, post: Option<u64>) -> Arc<Release> {
        let active = self.active.load();
        match &active.canary {
            Some(canary) if canary.share.takes_post(post) => Arc::clone(&canary.release),
            _ => Arc::clone(&active.release),
        }
    }

    /// The active release with its number.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let changing = self.changing();
        Standing { number: changing.number, release: self.current() }
    }

    /// The release that was active before, if one was since the start: ready to answer at once.
    #[must_use]
    pub fn before(&self) -> Option<Standing> {
        self.changing().before.clone()
    }

    /// Where versions are compiled and run.
    #[must_use]
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Makes the candidate's versions active for the next message. Messages in flight finish on the release that they
    /// began with. None when they are active already. Waits for the disk, so not for a worker.
    ///
    /// # Errors
    ///
    /// When one of them is marked as bad, or the ledger does not take it. The standing release stays.
    pub fn activate(self: &Arc<Self>, candidate: &Candidate, why: &Why) -> Result<Option<Standing>, ActivateError> {
        self.put(&mut self.changing(), candidate, why)
    }

    /// The same, for whoever changes more at once. Ends a canary.
    fn put(
        self: &Arc<Self>,
        changing: &mut Changing,
        candidate: &Candidate,
        why: &Why,
    ) -> Result<Option<Standing>, ActivateError> {
        let active = self.active.load_full();
        let standing = &active.release;
        let next = candidate.over(standing);
        let changed = next.changes(standing);
        if changed.is_empty() {
            return Ok(None);
        }
        self.admit(changing, &changed, why.forced)?;
        let activation = Activation { versions: next.versions(), fresh: candidate.fresh(), why };
        let number = (self.ledger.record)(&activation).map_err(ActivateError::Ledger)?;
        let before = Standing { number: changing.number, release: Arc::new(standing.bare()) };
        let trial = self.probation(&next, standing, &before, why);
        changing.before = Some(before);
        changing.number = number;
        let release = Arc::new(next.observed(trial, standing.shadow.clone()));
        self.active.store(Arc::new(Active { release: Arc::clone(&release), canary: None }));
        for (handler, version) in changed {
            let (who, how) = (&why.who, why.how.name());
            tracing::info!(%handler, %version, release = number, who, how, why = why.why, "handler is active");
        }
        if active.canary.is_some() {
            tracing::info!(release = number, "the canary is over: one release is active in all rooms");
        }
        Ok(Some(Standing { number, release }))
    }

    /// Lets in versions that nothing speaks against; or, forced, forgives them.
    fn admit(
        &self,
        changing: &mut Changing,
        changed: &[(HandlerKind, VersionId)],
        forced: bool,
    ) -> Result<(), ActivateError> {
        for &(handler, version) in changed {
            if let Some(evidence) = changing.bad.get(&version) {
                if !forced {
                    let evidence = evidence.lines().next().unwrap_or_default().to_owned();
                    return Err(ActivateError::Bad { handler, version, evidence });
                }
                (self.ledger.mark)(version, None).map_err(ActivateError::Ledger)?;
                changing.bad.remove(&version);
            }
        }
        Ok(())
    }

    /// Marks a version that is not to be active again unless somebody insists, with what speaks against it. Waits for the
    /// disk.
    ///
    /// # Errors
    ///
    /// When it could not be recorded: the mark then holds until the process ends.
    pub fn mark_bad(&self, version: VersionId, evidence: &str) -> Result<(), ActivateError> {
        self.changing().bad.insert(version, evidence.to_owned());
        (self.ledger.mark)(version, Some(evidence)).map_err(ActivateError::Ledger)
    }

    /// What speaks against a version, if anything.
    #[must_use]
    pub fn evidence(&self, version: VersionId) -> Option<String> {
        self.changing().bad.get(&version).cloned()
    }

    /// Asks each of the three something, and gives the faults of those that do not answer.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Fault> {
        smoke::unanswered(&self.current().bare())
    }

    /// What a handler failed at since the start, whichever versions of it answered.
    #[must_use]
    pub fn faults(&self, handler: HandlerKind) -> FaultsRow {
        self.sandbox.faults.row(handler)
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn incomplete() -> ActivateError {
    ActivateError::Ledger("a first release has all three versions".to_owned())
}
