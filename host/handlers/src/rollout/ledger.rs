//! Which release is recorded as active, who wanted it and why, and which versions are blocked. Nothing becomes active
//! before it is on disk: so whenever the process ends, the next start finds a whole release, the previous one or this
//! one.

use std::collections::HashMap;

use super::event::{EventKind, ReleaseEvent};
use super::slowness::SlownessOverride;
use crate::admit::source::Source;
use crate::run::kind::{HandlerKind, VersionId};
use crate::run::version_set::VersionSet;

/// A release with its number in the ledger.
#[derive(Clone)]
pub struct NumberedRelease {
    /// Its number.
    pub number: u64,
    /// Its versions.
    pub versions: VersionSet,
}

/// Who wanted a release, how it came about, and why.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Who.
    pub actor: String,
    /// How.
    pub trigger: Trigger,
    /// Why, in the actor's words.
    pub reason: String,
    /// The release that this goes back to.
    pub back_to: Option<u64>,
    /// Blocked versions are admitted and unblocked, and none has a probation.
    pub forced: bool,
    /// The release that has to be active, or this is rejected. None: any.
    pub expected: Option<u64>,
    /// How slow is too slow on probation.
    pub slowness: SlownessOverride,
}

impl Provenance {
    /// An actor's wish, whichever release is active.
    #[must_use]
    pub fn new(actor: String, trigger: Trigger, reason: String) -> Self {
        let slowness = SlownessOverride::default();
        Self { actor, trigger, reason, back_to: None, forced: false, expected: None, slowness }
    }

    /// How slow is too slow for versions that come about so, when they are compared with a baseline. None: they are not.
    #[must_use]
    pub fn probation(&self) -> Option<SlownessOverride> {
        (self.trigger.has_probation() && !self.forced).then_some(self.slowness)
    }
}

/// How a release comes to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Nothing was active before.
    First,
    /// The watched directory, or the config at a start.
    Directory,
    /// A deploy by an operator.
    Deploy,
    /// A rollback by an operator.
    Rollback,
    /// A start that found the active release broken.
    Fallback,
    /// A probation that the active release failed.
    Probation,
}

impl Trigger {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::First, Self::Directory, Self::Deploy, Self::Rollback, Self::Fallback, Self::Probation];

    /// The one of this name in the history.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.name() == name)
    }

    /// Whether versions that come about so are compared with a baseline, unless they are forced.
    #[must_use]
    pub fn has_probation(self) -> bool {
        matches!(self, Self::Deploy | Self::Directory)
    }

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

/// A release that is about to be active.
pub struct Activation<'a> {
    /// The ids of its versions.
    pub versions: [VersionId; 3],
    /// What those were made of that are not stored yet.
    pub fresh: &'a [Source],
    /// The release that it was made over. None: there was none.
    pub over: Option<u64>,
    /// Who wants it, and why.
    pub provenance: &'a Provenance,
}

/// Why an activation is not recorded.
#[derive(Clone, Debug)]
pub enum Unrecorded {
    /// Another release is recorded as active than the one that it was made over: this one. 0: none is.
    Overtaken(u64),
    /// Recording failed.
    Failed(String),
}

/// Records an activation, unless another release is active than the one that it was made over. Returns its number once that is
/// durable.
pub(crate) type Record = dyn Fn(&Activation<'_>) -> Result<u64, Unrecorded> + Send + Sync;

/// Blocks a version with the evidence, or unblocks it; returns once that is durable.
pub(crate) type Block = dyn Fn(VersionId, Option<&str>) -> Result<(), String> + Send + Sync;

/// Keeps what befell a release; returns once that is durable.
pub(crate) type Note = dyn Fn(&ReleaseEvent) -> Result<(), String> + Send + Sync;

/// Where releases and blocked versions are stored.
pub struct Ledger {
    /// For releases.
    pub record: Box<Record>,
    /// For blocked versions.
    pub block: Box<Block>,
    /// For what befalls the active release.
    pub note: Box<Note>,
}

/// Why a candidate did not become active.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActivateError {
    /// One of its versions is blocked.
    #[error("version {version} of {handler} is blocked: {evidence}")]
    Blocked {
        /// Whose version it is.
        handler: HandlerKind,
        /// Which.
        version: VersionId,
        /// Why, in one line.
        evidence: String,
    },
    /// Another release is active than the one that it was aimed at.
    #[error("it was aimed at release {expected}, and release {active} is active by now; nothing was changed")]
    Overtaken {
        /// The release that it was aimed at.
        expected: u64,
        /// The active one.
        active: u64,
    },
    /// It is a first release without one of its versions.
    #[error("a first release needs a version of each handler")]
    Incomplete,
    /// It could not be recorded, so it is not active.
    #[error("the release could not be recorded: {0}")]
    Ledger(String),
    /// The thread of its probation could not be started.
    #[error("no thread for the probation: {0}")]
    Thread(String),
}

/// The active release as it is recorded, and the blocked versions.
pub(crate) struct Register {
    ledger: Ledger,
    number: u64,
    previous: Option<NumberedRelease>,
    blocked: HashMap<VersionId, String>,
}

impl Register {
    /// Release `number` is recorded as active.
    pub(crate) fn resume(ledger: Ledger, number: u64, blocked: HashMap<VersionId, String>) -> Self {
        Self { ledger, number, previous: None, blocked }
    }

    /// Records a first release.
    pub(crate) fn begin(
        ledger: Ledger,
        activation: &Activation<'_>,
        blocked: HashMap<VersionId, String>,
    ) -> Result<Self, ActivateError> {
        let number = (ledger.record)(activation).map_err(|why| unrecorded(why, activation))?;
        Ok(Self::resume(ledger, number, blocked))
    }

    /// The number of the active release.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The release that was active before, if one was since startup.
    pub(crate) fn previous(&self) -> Option<&NumberedRelease> {
        self.previous.as_ref()
    }

    /// Records the release that follows `active`, and returns the one that was active before.
    pub(crate) fn record(
        &mut self,
        activation: &Activation<'_>,
        active: &VersionSet,
    ) -> Result<NumberedRelease, ActivateError> {
        let number = (self.ledger.record)(activation).map_err(|why| unrecorded(why, activation))?;
        let previous = NumberedRelease { number: self.number, versions: active.clone() };
        self.previous = Some(previous.clone());
        self.number = number;
        Ok(previous)
    }

    /// Another host has recorded a release as active, and which versions are blocked.
    pub(crate) fn follow(&mut self, number: u64, active: &VersionSet, blocked: HashMap<VersionId, String>) {
        self.previous = Some(NumberedRelease { number: self.number, versions: active.clone() });
        self.number = number;
        self.blocked = blocked;
    }

    /// Other hosts may have blocked versions or lifted a block.
    pub(crate) fn set_blocked(&mut self, blocked: HashMap<VersionId, String>) {
        self.blocked = blocked;
    }

    /// Rejects what was aimed at another release than the active one.
    pub(crate) fn check_expected(&self, expected: Option<u64>) -> Result<(), ActivateError> {
        match expected {
            Some(expected) if expected != self.number => {
                Err(ActivateError::Overtaken { expected, active: self.number })
            }
            _ => Ok(()),
        }
    }

    /// Records what befell the active release. It has happened whether or not that can be recorded.
    pub(crate) fn note(&self, what: EventKind, actor: &str, detail: String) {
        let event = ReleaseEvent { release: self.number, what, actor: actor.to_owned(), detail };
        if let Err(error) = (self.ledger.note)(&event) {
            let what = what.name();
            tracing::warn!(release = self.number, what, %error, "{what} is missing from the history: {error}");
        }
    }

    /// Rejects blocked versions; or, forced, unblocks them.
    pub(crate) fn check_blocked(
        &mut self,
        versions: &[(HandlerKind, VersionId)],
        forced: bool,
    ) -> Result<(), ActivateError> {
        for &(handler, version) in versions {
            if let Some(evidence) = self.blocked.get(&version) {
                if !forced {
                    let evidence = evidence.lines().next().unwrap_or_default().to_owned();
                    return Err(ActivateError::Blocked { handler, version, evidence });
                }
                self.unblock(version)?;
            }
        }
        Ok(())
    }

    /// Lifts the block of a version.
    pub(crate) fn unblock(&mut self, version: VersionId) -> Result<(), ActivateError> {
        (self.ledger.block)(version, None).map_err(ActivateError::Ledger)?;
        self.blocked.remove(&version);
        Ok(())
    }

    /// Blocks a version. When that cannot be recorded, it holds until the process ends.
    pub(crate) fn block(&mut self, version: VersionId, evidence: &str) -> Result<(), ActivateError> {
        self.blocked.insert(version, evidence.to_owned());
        (self.ledger.block)(version, Some(evidence)).map_err(ActivateError::Ledger)
    }

    /// The blocked versions, with the evidence.
    pub(crate) fn blocked(&self) -> &HashMap<VersionId, String> {
        &self.blocked
    }
}

fn unrecorded(why: Unrecorded, activation: &Activation<'_>) -> ActivateError {
    match why {
        Unrecorded::Overtaken(active) => {
            ActivateError::Overtaken { expected: activation.over.unwrap_or_default(), active }
        }
        Unrecorded::Failed(reason) => ActivateError::Ledger(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_has_its_name_in_the_history() {
        assert!(Trigger::ALL.into_iter().all(|trigger| Trigger::named(trigger.name()) == Some(trigger)));
        assert_eq!(Trigger::named("canary"), None);
    }
}
