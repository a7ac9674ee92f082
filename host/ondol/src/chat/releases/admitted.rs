//! What the admission checks made of a change: a candidate, and what its settings come to.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::Duration;

use serde::Serialize;

use ondol_host_handlers::{Candidate, HandlerKind, NumberedRelease, SettingsMap};

/// A change that has passed the admission checks.
pub(in crate::chat) struct Admitted<'a> {
    /// Its versions.
    pub(in crate::chat) candidate: Candidate,
    /// The release that it was made over.
    pub(in crate::chat) base: NumberedRelease,
    /// How long it waited for another change.
    pub(in crate::chat) waited: Duration,
    /// The settings of the handlers that it changes.
    pub(in crate::chat) settings: SettingsRows,
    /// While it lives, no other change is prepared.
    pub(in crate::chat) turn: MutexGuard<'a, ()>,
}

/// By handler.
pub type SettingsRows = BTreeMap<&'static str, SettingsRow>;

/// The settings of a handler that changes, as an operator sees them.
#[derive(Clone, Debug, Serialize)]
pub struct SettingsRow {
    /// All of its settings.
    pub in_force: SettingsMap,
    /// The keys that the active version has and it has not.
    pub taken_away: Vec<String>,
    /// The keys for which it did not ask when the admission checks called it.
    pub unasked: Vec<String>,
    /// Those for which it asked.
    pub asked: Vec<String>,
}

impl SettingsRow {
    /// The settings of a handler of this candidate.
    pub(super) fn of(
        handler: HandlerKind,
        candidate: &Candidate,
        in_force: &SettingsMap,
        before: &SettingsMap,
    ) -> Self {
        let asked = candidate.asked(handler);
        let is_asked = |key: &&String| asked.is_none_or(|asked| asked.contains(*key));
        Self {
            in_force: in_force.clone(),
            taken_away: before.keys().filter(|key| !in_force.contains_key(*key)).cloned().collect(),
            unasked: in_force.keys().filter(|key| !is_asked(key)).cloned().collect(),
            asked: asked.into_iter().flatten().cloned().collect(),
        }
    }
}
