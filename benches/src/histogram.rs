//! Latencies, counted in buckets that are 3 % wide: small, and quick to add to.

use std::time::Duration;

/// Buckets for each doubling, as a power of two.
const BITS: u32 = 5;
const BUCKETS: usize = 64 << BITS;

/// How often each latency occurred.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest_ns: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, ns: u64) {
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
            self.total += 1;
            self.longest_ns = self.longest_ns.max(ns);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    /// The latency that this share of all (0 to 1) did not exceed, rounded down to its bucket. Zero when empty.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return Duration::from_nanos(floor(index));
            }
        }
        Duration::ZERO
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns)
    }
}

/// Below 64 ns a bucket is one nanosecond; above, 32 buckets share each doubling.
fn bucket(ns: u64) -> usize {
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (ns >> shift) as usize
}

/// The shortest latency that falls into a bucket.
fn floor(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    ((bucket - (shift << BITS)) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_within_3_percent() {
        for ns in (0..40).map(|doublings| 3_u64 << doublings).chain(0..5000) {
            let floor = floor(bucket(ns));
            assert!(floor <= ns && (ns - floor) as f64 <= ns as f64 / 32.0, "{ns} is counted as {floor}");
        }
    }

    #[test]
    fn quantiles_are_read_in_order() {
        let mut latencies = Histogram::default();
        (1..=100).for_each(|ms| latencies.add(ms * 1_000_000));
        let median = latencies.quantile(0.5).as_secs_f64();
        assert!((0.048..=0.050).contains(&median), "{median}");
        assert_eq!(latencies.longest(), Duration::from_millis(100));
    }
}
