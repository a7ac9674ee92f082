//! Versions and releases of handlers as they are recorded. To the store a version is bytes and text.

use ondol_host_model::Timestamp;

/// The most blocked versions that are remembered. There is one for each version that failed its probation.
pub(crate) const BLOCKED_MAX: u64 = 1_000;

/// The most events that are kept. Each is an operator's command, or one of the few that a probation leads to.
pub(crate) const EVENTS_MAX: u64 = 10_000;

/// A version with its component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// What is known without the component.
    pub about: AboutVersion,
    /// The component.
    pub wasm: Vec<u8>,
}

/// A version without its component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutVersion {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// The handler that it is a version of.
    pub handler: String,
    /// The SHA-256 of its component, 64 hexadecimal digits.
    pub component: String,
    /// Its settings: a JSON object of strings.
    pub settings: String,
    /// Its cases, as TOML.
    pub cases: Option<String>,
    /// The size of its component.
    pub bytes: u64,
    /// When it was first deployed.
    pub first_seen: Timestamp,
    /// When it last became active.
    pub last_active: Timestamp,
}

/// A release as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRelease {
    /// Its number, from 1.
    pub number: u64,
    /// The ids of its versions: rooms, messages, events.
    pub versions: [String; 3],
    /// Who wanted it.
    pub actor: String,
    /// How it came about: `deploy`, `directory`, `rollback` …
    pub trigger: String,
    /// Why it was wanted, in the words of its actor.
    pub reason: String,
    /// The earlier release that it restored.
    pub back_to: Option<u64>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// `active`, `replaced`, `rolled_back`, `refused` or `broken`.
    pub outcome: String,
    /// What led to the outcome.
    pub detail: Option<String>,
}

/// A release to be recorded.
#[derive(Debug, Clone)]
pub struct ReleaseRecord {
    /// The ids of its versions: rooms, messages, events.
    pub versions: [String; 3],
    /// Who wants it.
    pub actor: String,
    /// How it came about: `deploy`, `directory`, `rollback` …
    pub trigger: String,
    /// Why it is wanted, in the words of its actor.
    pub reason: String,
    /// The earlier release that it restores.
    pub back_to: Option<u64>,
    /// The release that has to be active until then. None: there may be none.
    pub over: Option<u64>,
    /// The outcome of the release that it replaces: `replaced`, `rolled_back` or `broken`.
    pub previous_outcome: String,
    /// What led to that outcome.
    pub previous_detail: Option<String>,
}

/// How much of the history is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The most versions of each handler.
    pub versions_max: usize,
    /// The most releases that were active, and the most that were rejected.
    pub releases_max: usize,
}

/// Something that befell a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The release that was active.
    pub release: u64,
    /// What it was: `canary_started`, `shadow_ended` …
    pub what: String,
    /// Who did it.
    pub actor: String,
    /// Which versions it concerns, and why.
    pub detail: String,
    /// When. What a new event says here is ignored.
    pub created_at: Timestamp,
}

/// What the watched directory and the config last held for a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySnapshot {
    /// The handler.
    pub handler: String,
    /// The SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// The settings of the config, as JSON.
    pub settings: String,
}
