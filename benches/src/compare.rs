//! Two builds of the server side by side: the ratio of what a delivery costs, round by round. Knows nothing of how a round
//! is measured.

use std::fmt;

use serde::Serialize;

use crate::cli::{BEFORE, NOW};
use crate::report::{Load, median, range};

/// The two builds under one load.
#[derive(Serialize)]
pub(crate) struct Comparison {
    load: &'static str,
    /// Server CPU for each delivery, now ÷ before, in each round.
    now_to_before: Spread,
    now_to_plain: Spread,
    before_to_plain: Spread,
}

/// What the rounds found, and how far apart they are.
#[derive(Serialize)]
struct Spread {
    rounds: Vec<f64>,
    least: f64,
    lower_quartile: f64,
    median: f64,
    upper_quartile: f64,
    most: f64,
}

impl Comparison {
    pub(crate) const HEAD: &str = "| load | now ÷ before: median (quartiles; least–most) | now ÷ plain | before ÷ plain |\n\
                                   |---|--:|--:|--:|";

    /// None when the load was not put on both builds.
    pub(crate) fn of(load: &Load) -> Option<Self> {
        let (now_us, now_to_plain) = load.costs(NOW)?;
        let (before_us, before_to_plain) = load.costs(BEFORE)?;
        Some(Self {
            load: load.name,
            now_to_before: Spread::of(ratios(now_us, before_us)),
            now_to_plain: Spread::of(now_to_plain.to_vec()),
            before_to_plain: Spread::of(before_to_plain.to_vec()),
        })
    }
}

/// The ratio in each round: what the machine does besides is much the same for both within one.
fn ratios(now: &[f64], before: &[f64]) -> Vec<f64> {
    now.iter().zip(before).map(|(now, before)| now / before).collect()
}

impl Spread {
    fn of(rounds: Vec<f64>) -> Self {
        let (least, most) = range(&rounds);
        Self {
            least,
            lower_quartile: quantile(&rounds, 0.25),
            median: median(&rounds),
            upper_quartile: quantile(&rounds, 0.75),
            most,
            rounds,
        }
    }
}

/// The value below which this share (0 to 1) of all lies; between two of them it is interpolated.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { least, lower_quartile, median, upper_quartile, most, .. } = &self.now_to_before;
        write!(f, "| {} | **{median:.3}** ({lower_quartile:.3}–{upper_quartile:.3}; {least:.3}–{most:.3})", self.load)?;
        for Spread { median, least, most, .. } in [&self.now_to_plain, &self.before_to_plain] {
            write!(f, " | {median:.2} ({least:.2}–{most:.2})")?;
        }
        f.write_str(" |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_two_measurements_of_the_same_round() {
        assert_eq!(ratios(&[2.0, 9.0], &[4.0, 3.0]), [0.5, 3.0]);
    }

    #[test]
    fn the_spread_of_the_rounds_is_their_quartiles_and_ends() {
        let spread = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        let Spread { least, lower_quartile, median, upper_quartile, most, rounds } = &spread;
        assert_eq!([*least, *lower_quartile, *median, *upper_quartile, *most], [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(rounds, &[5.0, 1.0, 4.0, 2.0, 3.0], "rounds stay in their order");
    }

    #[test]
    fn a_quartile_between_two_values_is_interpolated() {
        let spread = Spread::of(vec![1.0, 2.0, 3.0, 5.0]);
        assert_eq!([spread.lower_quartile, spread.median, spread.upper_quartile], [1.75, 2.5, 3.5]);
        let one = Spread::of(vec![7.0]);
        assert_eq!([one.lower_quartile, one.median, one.upper_quartile], [7.0; 3]);
    }

    #[test]
    fn a_line_says_the_ratio_of_the_builds_first() {
        let comparison = Comparison {
            load: "1x50",
            now_to_before: Spread::of(vec![0.9, 1.0, 1.1]),
            now_to_plain: Spread::of(vec![1.2]),
            before_to_plain: Spread::of(vec![1.25]),
        };
        assert_eq!(
            comparison.to_string(),
            "| 1x50 | **1.000** (0.950–1.050; 0.900–1.100) | 1.20 (1.20–1.20) | 1.25 (1.25–1.25) |"
        );
    }
}
