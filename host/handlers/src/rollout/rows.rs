//! Rollouts as an operator sees them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::canary::Canary;
use super::probation::Probation;
use super::shadow::ShadowRow;
use crate::run::version_set::VersionSet;

/// A probation, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ProbationRow {
    /// The versions on probation.
    pub versions: BTreeMap<&'static str, String>,
    /// The release that a failure rolls back to.
    pub back_to: u64,
    /// How long it has run, in milliseconds.
    pub ran_ms: u64,
    /// How long it still runs, in milliseconds. None: for as long as the canary.
    pub left_ms: Option<u64>,
    /// The calls so far.
    pub calls: u64,
    /// Those that failed, and that the baseline answered.
    pub faults: u64,
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
    /// The active release's probation.
    pub probation: Option<ProbationRow>,
    /// The release of some rooms.
    pub canary: Option<CanaryRow>,
    /// The candidate beside the active release.
    pub shadow: Option<ShadowRow>,
    /// The blocked versions, with the evidence of each.
    #[serde(rename = "bad")]
    pub blocked: BTreeMap<String, String>,
}

impl ProbationRow {
    /// The probation of `versions`, which ends after `span_ms`.
    pub(crate) fn of(probation: &Probation, versions: &VersionSet, span_ms: Option<u64>) -> Self {
        let (ran, calls, faults) = probation.counts();
        let ran_ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        let baseline = probation.baseline();
        Self {
            versions: changes(versions, &baseline.versions),
            back_to: baseline.number,
            ran_ms,
            left_ms: span_ms.map(|span| span.saturating_sub(ran_ms)),
            calls,
            faults,
        }
    }
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
            probation: Some(ProbationRow::of(&canary.probation, &canary.versions, None)),
        }
    }
}

fn changes(versions: &VersionSet, from: &VersionSet) -> BTreeMap<&'static str, String> {
    versions.changes_from(from).into_iter().map(|(handler, version)| (handler.name(), version.whole())).collect()
}
