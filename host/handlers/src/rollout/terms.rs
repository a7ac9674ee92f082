//! How many faults are too many on probation, and how slow is too slow.

use super::slowness::{SlownessOverride, SlownessTerms};
use crate::run::limits::RolloutLimits;

/// How much is too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    faults_max: u64,
    percent_max: u64,
    calls_min: u64,
    pub(crate) slowness: SlownessTerms,
}

impl Terms {
    pub(crate) fn of(limits: &RolloutLimits, slowness: SlownessOverride) -> Self {
        Self {
            faults_max: limits.probation_faults_max as u64,
            percent_max: limits.probation_fault_percent_max as u64,
            calls_min: limits.probation_calls_min as u64,
            slowness: SlownessTerms::of(limits, slowness),
        }
    }

    /// The limit that so many faults exceed.
    pub(crate) fn exceeded(&self, faults: u64, calls: u64) -> Option<String> {
        if faults >= self.faults_max {
            return Some(format!("probation_faults_max = {}", self.faults_max));
        }
        let enough = calls >= self.calls_min;
        (enough && faults * 100 > calls * self.percent_max)
            .then(|| format!("probation_fault_percent_max = {}", self.percent_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOWNESS: SlownessTerms = SlownessTerms { slowdown_max: 5, slowdown_floor_ms: 1, slowdown_rollback_ms: 10 };
    const TERMS: Terms = Terms { faults_max: 3, percent_max: 1, calls_min: 100, slowness: SLOWNESS };

    #[test]
    fn so_many_faults_are_too_many_whatever_the_calls() {
        assert!(TERMS.exceeded(2, 1_000_000).is_none());
        assert!(TERMS.exceeded(3, 1_000_000).is_some_and(|limit| limit.contains("faults_max")));
    }

    #[test]
    fn a_share_counts_once_there_are_enough_calls() {
        for (faults, calls, too_many) in
            [(1, 1, false), (1, 99, false), (1, 100, false), (2, 100, true), (2, 200, false)]
        {
            assert_eq!(TERMS.exceeded(faults, calls).is_some(), too_many, "{faults} of {calls}");
        }
    }
}
