//! Medians, quartiles and latencies.

use hdrhistogram::Histogram;

/// The value below which this share (0 to 1) of all values lies, interpolated between two of them.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = share * sorted.len().saturating_sub(1) as f64;
    let at = |position: f64| sorted.get(position as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(position.floor()), at(position.ceil()));
    below + (above - below) * position.fract()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The ratio of each round: the rest of the machine disturbs both measurements of one round alike.
pub(crate) fn ratios(values: &[f64], base: &[f64]) -> Vec<f64> {
    values.iter().zip(base).map(|(value, base)| value / base).collect()
}

/// The median, with the least and the greatest.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    let [least, median, most] = [0.0, 0.5, 1.0].map(|share| quantile(values, share));
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// Latencies in nanoseconds, to two digits.
pub(crate) fn latencies() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000_000, 2)?)
}

/// The latency in ms below which this share (0 to 1) of all lies.
pub(crate) fn latency_ms(latencies: &Histogram<u64>, share: f64) -> f64 {
    latencies.value_at_quantile(share) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_between_two_values_are_interpolated() {
        let quartiles = |values: &[f64]| [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(values, share));
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 5.0]), [1.0, 1.75, 2.5, 3.5, 5.0]);
        assert_eq!(quartiles(&[7.0]), [7.0; 5]);
    }
}
