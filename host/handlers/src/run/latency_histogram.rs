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

    /// What it holds at this moment.
    pub(crate) fn snapshot(&self) -> LatencySnapshot {
        let sum_ns = self.sum_ns.load(Ordering::Relaxed);
        LatencySnapshot { buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(), sum_ns }
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

/// The times of calls up to one moment.
#[derive(Clone, Debug)]
pub struct LatencySnapshot {
    buckets: Box<[u64]>,
    sum_ns: u64,
}

impl Default for LatencySnapshot {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS].into(), sum_ns: 0 }
    }
}

impl LatencySnapshot {
    /// How many calls there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many of them took less than this, which is a power of two of nanoseconds.
    #[must_use]
    pub fn count_below(&self, ns: u64) -> u64 {
        self.buckets.iter().take(bucket(ns)).sum()
    }

    /// How long they took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The time that `percent` of them took at the most, known to an eighth of itself. None without any call.
    #[must_use]
    pub fn quantile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.buckets.iter().position(reaches).map(|bucket| Duration::from_nanos(least(bucket)))
    }

    /// The calls since an earlier snapshot of the same figures.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| now.saturating_sub(*then));
        Self { buckets: buckets.collect(), sum_ns: self.sum_ns.saturating_sub(earlier.sum_ns) }
    }

    /// Adds other calls to these.
    pub(crate) fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, more)| *own += more);
        self.sum_ns += other.sum_ns;
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

    #[test]
    fn a_snapshot_tells_what_came_since_an_earlier_one() {
        let histogram = LatencyHistogram::new();
        (0..100).for_each(|_| histogram.add(Duration::from_micros(900)));
        let earlier = histogram.snapshot();
        (1..=100).for_each(|micros| histogram.add(Duration::from_micros(micros)));
        let (whole, since) = (histogram.snapshot(), histogram.snapshot().since(&earlier));
        assert_eq!((whole.count(), since.count()), (200, 100));
        assert_eq!((since.sum(), whole.sum()), (Duration::from_micros(5_050), Duration::from_micros(95_050)));
        let about = |percent: u64| since.quantile(percent).unwrap_or_default().as_micros();
        assert!((44..=50).contains(&about(50)) && (87..=99).contains(&about(99)), "{} {}", about(50), about(99));
        assert_eq!((since.count_below(1 << 16), since.count_below(1 << 17)), (65, 100));
        assert_eq!(since.since(&since).quantile(50), None);
    }
}
