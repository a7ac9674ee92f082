//! When a version counts as slow beside its baseline, and what follows. Knows nothing of how times are measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::run::limits::RolloutLimits;

/// The tail of a busy machine is long: what is normal for a median is multiplied by this for the 99th percentile.
const P99_FLOOR_TIMES: u32 = 10;

/// What a deploy asks for in place of the limits of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlownessOverride {
    /// In place of `probation_slowdown_max`.
    pub slowdown_max: Option<u64>,
    /// In place of `probation_slowdown_floor_ms`.
    pub slowdown_floor_ms: Option<u64>,
    /// In place of `probation_slowdown_rollback_ms`.
    pub slowdown_rollback_ms: Option<u64>,
}

impl SlownessOverride {
    /// What `other` asks for, and for the rest this.
    #[must_use]
    pub fn overridden_by(self, other: Self) -> Self {
        Self {
            slowdown_max: other.slowdown_max.or(self.slowdown_max),
            slowdown_floor_ms: other.slowdown_floor_ms.or(self.slowdown_floor_ms),
            slowdown_rollback_ms: other.slowdown_rollback_ms.or(self.slowdown_rollback_ms),
        }
    }
}

/// How slow is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SlownessTerms {
    /// How many times as long as the baseline a version may take.
    pub slowdown_max: u64,
    /// The time below which no version is slow.
    pub slowdown_floor_ms: u64,
    /// The median above which a slow version is rolled back.
    pub slowdown_rollback_ms: u64,
}

/// A place in the order of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantile {
    Median,
    P99,
}

/// What two times say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slowness {
    /// No user notices.
    Fine,
    /// The operator is warned.
    Slow,
    /// The version is rolled back.
    TooSlow,
}

impl Quantile {
    pub(crate) const ALL: [Self; 2] = [Self::Median, Self::P99];

    pub(crate) fn percent(self) -> u64 {
        match self {
            Self::Median => 50,
            Self::P99 => 99,
        }
    }

    /// How many comparisons say something about it.
    pub(crate) fn calls_min(self) -> u64 {
        match self {
            Self::Median => 32,
            Self::P99 => 400,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Median => "the median",
            Self::P99 => "p99",
        }
    }
}

impl SlownessTerms {
    /// The limits, and what a deploy asks for in their place.
    pub(crate) fn of(limits: &RolloutLimits, asked: SlownessOverride) -> Self {
        Self {
            slowdown_max: asked.slowdown_max.unwrap_or(limits.probation_slowdown_max as u64),
            slowdown_floor_ms: asked.slowdown_floor_ms.unwrap_or(limits.probation_slowdown_floor_ms),
            slowdown_rollback_ms: asked.slowdown_rollback_ms.unwrap_or(limits.probation_slowdown_rollback_ms),
        }
    }

    /// Compares a time with the baseline's. A long tail alone is no reason for a rollback: calls that really are too
    /// long miss their deadline, and count as faults.
    pub(crate) fn judge(&self, quantile: Quantile, own: Duration, baseline: Duration) -> Slowness {
        let floor = Duration::from_millis(self.slowdown_floor_ms);
        let floor = if quantile == Quantile::P99 { floor * P99_FLOOR_TIMES } else { floor };
        let times = u32::try_from(self.slowdown_max).unwrap_or(u32::MAX);
        if own <= floor || own <= baseline.saturating_mul(times) {
            return Slowness::Fine;
        }
        let too_slow = quantile == Quantile::Median && own > Duration::from_millis(self.slowdown_rollback_ms);
        if too_slow { Slowness::TooSlow } else { Slowness::Slow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: SlownessTerms = SlownessTerms { slowdown_max: 5, slowdown_floor_ms: 1, slowdown_rollback_ms: 10 };

    fn judged(quantile: Quantile, own_us: u64, baseline_us: u64) -> Slowness {
        TERMS.judge(quantile, Duration::from_micros(own_us), Duration::from_micros(baseline_us))
    }

    #[test]
    fn what_no_user_notices_is_not_slow() {
        for (own, baseline) in [(0, 0), (300, 5), (1_000, 5), (1_900, 400), (9_999, 2_000), (50_000, 10_000)] {
            assert_eq!(judged(Quantile::Median, own, baseline), Slowness::Fine, "{own} beside {baseline}");
        }
    }

    #[test]
    fn a_slow_median_warns_and_past_the_second_bound_it_rolls_back() {
        assert_eq!(judged(Quantile::Median, 1_001, 5), Slowness::Slow);
        assert_eq!(judged(Quantile::Median, 10_000, 5), Slowness::Slow);
        assert_eq!(judged(Quantile::Median, 10_001, 5), Slowness::TooSlow);
    }

    #[test]
    fn a_long_tail_has_a_higher_floor_and_only_warns() {
        assert_eq!(judged(Quantile::P99, 10_000, 5), Slowness::Fine);
        assert_eq!(judged(Quantile::P99, 90_000, 5), Slowness::Slow);
    }

    #[test]
    fn a_deploy_may_ask_for_other_terms() {
        let limits = crate::run::limits::HandlersLimits::for_tests().rollout;
        let asked = SlownessOverride { slowdown_max: Some(50), ..SlownessOverride::default() };
        assert_eq!(SlownessTerms::of(&limits, asked), SlownessTerms { slowdown_max: 50, ..TERMS });
    }
}
