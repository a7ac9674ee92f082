//! Rollouts as an operator sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::canary::Canary;
use super::probation::Probation;
use super::shadow::ShadowRow;
use super::slowness::SlownessTerms;
use crate::run::kind::HandlerKind;
use crate::run::version_set::VersionSet;

/// A probation, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbationRow {
    /// The number of the release. None: a canary.
    pub release: Option<u64>,
    /// The versions on probation.
    pub versions: BTreeMap<&'static str, String>,
    /// The release that it is compared with, and that a failure rolls its handlers back to.
    pub back_to: u64,
    /// How long it has run, in milliseconds.
    pub ran_ms: u64,
    /// How long it still runs, in milliseconds. None: for as long as the canary.
    pub left_ms: Option<u64>,
    /// The calls so far.
    pub calls: u64,
    /// Those that failed, and that the baseline answered.
    pub faults: u64,
    /// When a version counts as slow.
    #[serde(flatten)]
    pub slowness: SlownessTerms,
    /// What it found that is no reason for a rollback.
    pub warnings: Vec<String>,
}

/// A canary, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct CanaryRow {
    /// The versions that differ from the active ones.
    pub versions: BTreeMap<&'static str, String>,
    /// The percentage of rooms in which it is active.
    pub percent: u64,
    /// When it began.
    pub since: String,
    /// Who wanted it.
    pub who: String,
    /// Why, in their words.
    pub why: String,
    /// Its probation.
    pub probation: Option<ProbationRow>,
}

/// All rollouts, and the blocked versions.
#[derive(Clone, Debug, Serialize)]
pub struct Rollouts {
    /// The latest probation of the active release.
    pub probation: Option<ProbationRow>,
    /// Those of the releases before it, the latest first.
    pub earlier_probations: Vec<ProbationRow>,
    /// The release of some rooms.
    pub canary: Option<CanaryRow>,
    /// The candidate beside the active release.
    pub shadow: Option<ShadowRow>,
    /// The blocked versions, with the evidence of each.
    #[serde(rename = "bad")]
    pub blocked: BTreeMap<String, String>,
}

impl ProbationRow {
    /// A probation of some of the `active` versions.
    pub(crate) fn of(probation: &Probation, active: &VersionSet) -> Self {
        let (ran, calls, faults) = probation.counts();
        let change = probation.change();
        let on_probation =
            |handler: &HandlerKind| change.is_about(*handler) && *change.after.of(*handler) == active.id(*handler);
        let versions = HandlerKind::ALL.into_iter().filter(on_probation);
        Self {
            release: probation.release(),
            versions: versions.map(|handler| (handler.name(), active.id(handler).whole())).collect(),
            back_to: probation.baseline().number,
            ran_ms: millis(ran),
            left_ms: probation.span().map(|span| millis(span.saturating_sub(ran))),
            calls,
            faults,
            slowness: probation.slowness(),
            warnings: probation.warnings(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl CanaryRow {
    /// A canary beside the `active` versions.
    pub(crate) fn of(canary: &Canary, active: &VersionSet) -> Self {
        Self {
            versions: changes(&canary.versions, active),
            percent: canary.share.percent(),
            since: canary.since.to_string(),
            who: canary.provenance.actor.clone(),
            why: canary.provenance.reason.clone(),
            probation: Some(ProbationRow::of(&canary.probation, &canary.versions)),
        }
    }
}

/// For the history: the versions, the share and who wanted it.
impl fmt::Display for CanaryRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} % of the rooms, by {}", named(&self.versions), self.percent, self.who)
    }
}

/// Versions in one line.
pub(crate) fn named(versions: &BTreeMap<&'static str, String>) -> String {
    let short = |version: &String| version.get(..12).unwrap_or(version).to_owned();
    let each = versions.iter().map(|(handler, version)| format!("{handler} {}", short(version)));
    each.collect::<Vec<_>>().join(", ")
}

fn changes(versions: &VersionSet, from: &VersionSet) -> BTreeMap<&'static str, String> {
    versions.changes_from(from).into_iter().map(|(handler, version)| (handler.name(), version.whole())).collect()
}
