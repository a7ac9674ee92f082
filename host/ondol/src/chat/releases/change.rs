//! A change of the active versions: what it asks for, what it led to, and why nothing was changed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::admitted::SettingsRows;
use ondol_host_handlers::{
    ActivateError, Activated, AdmissionError, CanaryRow, HandlerKind, NumberedRelease, ProbationRow, SettingsMap,
    SlownessOverride, VersionSet,
};
use ondol_host_store::StoreError;

/// A change of one handler. A part that is not given stays as it is.
#[derive(Clone, Debug)]
pub struct HandlerChange {
    /// Which.
    pub handler: HandlerKind,
    /// Its component.
    pub wasm: Option<Vec<u8>>,
    /// All its settings.
    pub settings: Option<SettingsMap>,
    /// The cases that it has to pass.
    pub cases: Option<String>,
}

/// Who asks for a change, and why.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// Who.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// Blocked versions are accepted, and there is no probation.
    pub forced: bool,
    /// The release that has to be active. None: any.
    pub expected: Option<u64>,
    /// How slow is too slow on probation.
    pub slowness: SlownessOverride,
}

/// Where to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTarget {
    /// To the release before.
    Before,
    /// To a release by its number.
    Release(u64),
    /// To a version, by the beginning of its id; the other two handlers stay.
    Version(String),
}

/// What is active after a change, and what the change led to.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The number of the active release.
    #[serde(rename = "release")]
    pub number: u64,
    /// Whether it was not active already.
    pub changed: bool,
    /// Its versions.
    pub versions: BTreeMap<&'static str, String>,
    /// The probation that began.
    pub probation: Option<ProbationRow>,
    /// The canary that ended.
    pub ended_canary: Option<CanaryRow>,
    /// The numbers of the releases whose probation ended.
    pub ended_probations: Vec<u64>,
    /// The settings of the handlers that changed.
    pub settings: SettingsRows,
    /// How long it waited for another change, in milliseconds.
    pub waited_ms: u64,
    /// The names of the hosts on which it is active, where there are several.
    pub hosts: Vec<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Admission checks failed: for each handler, why.
    #[error("{}", describe(.0))]
    Refused(Vec<(HandlerKind, AdmissionError)>),
    /// Other hosts cannot activate it, or do not answer: a sentence about each.
    #[error("{}; the active release is unchanged", .0.join("; "))]
    Elsewhere(Vec<String>),
    /// One of its versions is blocked, or it could not be recorded.
    #[error(transparent)]
    Activate(#[from] ActivateError),
    /// There is no such release or version.
    #[error("{0}")]
    Unknown(String),
    /// There is one, and it does not work any more.
    #[error("{0}")]
    Broken(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// It is so already.
    #[error("{0}")]
    Conflict(&'static str),
}

fn describe(refused: &[(HandlerKind, AdmissionError)]) -> String {
    let reasons: Vec<String> = refused.iter().map(|(handler, error)| format!("{handler}: {error}")).collect();
    reasons.join("; ")
}

impl Changed {
    /// What an activation led to.
    pub(in crate::chat) fn of(activated: Activated) -> Self {
        let Activated { release, probation, ended_canary, ended_probations } = activated;
        Self { changed: true, probation, ended_canary, ended_probations, ..Self::unchanged(&release) }
    }

    /// Nothing.
    pub(in crate::chat) fn unchanged(active: &NumberedRelease) -> Self {
        let NumberedRelease { number, versions } = active;
        Self {
            number: *number,
            changed: false,
            versions: ids(versions),
            probation: None,
            ended_canary: None,
            ended_probations: Vec::new(),
            settings: SettingsRows::new(),
            waited_ms: 0,
            hosts: Vec::new(),
        }
    }
}

fn ids(versions: &VersionSet) -> BTreeMap<&'static str, String> {
    HandlerKind::ALL.into_iter().map(|handler| (handler.name(), versions.id(handler).whole())).collect()
}
