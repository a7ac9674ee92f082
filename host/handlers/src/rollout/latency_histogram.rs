//! How long calls take, counted without locks. A value is known to an eighth of itself. Knows nothing of what was
//! called.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Eight buckets for each power of two of nanoseconds.
const BUCKETS: usize = 496;

/// The times of calls.
pub(crate) struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum_ns: AtomicU64,
}

impl LatencyHistogram {
    pub(crate) fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], count: AtomicU64::new(0), sum_ns: AtomicU64::new(0) }
    }

    /// Counts one.
    pub(crate) fn add(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Their mean. Zero without any.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed) / self.count().max(1))
    }

    /// The time that `percent` of them took at the most. Zero without any.
    pub(crate) fn quantile(&self, percent: u64) -> Duration {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= rank {
                return Duration::from_nanos(least(index));
            }
        }
        Duration::ZERO
    }
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let power = ns.ilog2();
    let eighth = (ns >> (power - 3)) & 7;
    (power as usize - 2) * 8 + eighth as usize
}

/// The least time of a bucket.
fn least(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    (8 + bucket as u64 % 8) << (bucket / 8 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_belongs_into_it() {
        for ns in (0..10_000).chain([u64::MAX, 1 << 40, (1 << 40) - 1]) {
            let (least, bucket) = (least(bucket(ns)), bucket(ns));
            assert!(bucket < BUCKETS && least <= ns && ns - least <= ns / 8, "{ns}: {bucket}, {least}");
        }
    }

    #[test]
    fn a_quantile_is_what_that_many_took_at_the_most() {
        let histogram = LatencyHistogram::new();
        (1..=100).for_each(|micros| histogram.add(Duration::from_micros(micros)));
        let about = |percent: u64| histogram.quantile(percent).as_micros();
        assert!((44..=50).contains(&about(50)) && (87..=99).contains(&about(99)), "{} {}", about(50), about(99));
        assert_eq!(histogram.mean(), Duration::from_nanos(50_500));
        assert_eq!(LatencyHistogram::new().quantile(50), Duration::ZERO);
    }
}
