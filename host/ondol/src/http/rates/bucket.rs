//! A token bucket and its rate. Knows nothing of what is counted.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota};

use super::refusals::Refusals;

/// Something came too fast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("This is faster than {limit} = {per_min}; try again in {} ms.", self.wait_ms())]
pub(in crate::http) struct TooFast {
    /// The name of the limit.
    pub(in crate::http) limit: &'static str,
    per_min: u32,
    wait: Duration,
}

impl TooFast {
    /// After how many milliseconds it may come again.
    pub(in crate::http) fn wait_ms(&self) -> u64 {
        u64::try_from(self.wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
    }

    /// The same in seconds, for the header `Retry-After`.
    pub(in crate::http) fn wait_s(&self) -> u64 {
        self.wait_ms().div_ceil(1_000)
    }
}

/// A rate limit: what its buckets hold, and how fast they fill.
pub(in crate::http) struct Rate {
    limit: &'static str,
    per_min: NonZeroU32,
    burst: NonZeroU32,
    since: Instant,
    is_logged: AtomicBool,
    refused: Arc<AtomicU64>,
}

impl Rate {
    /// A rate by the name of its limit, whose refusals are counted under that name. None: it is off.
    pub(in crate::http) fn new(
        limit: &'static str,
        per_min: usize,
        burst: usize,
        refusals: &Refusals,
    ) -> Option<Arc<Self>> {
        let count = |number: usize| NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX));
        let (per_min, burst) = (count(per_min)?, count(burst)?);
        let (since, is_logged, refused) = (Instant::now(), AtomicBool::new(false), refusals.of(limit));
        Some(Arc::new(Self { limit, per_min, burst, since, is_logged, refused }))
    }

    fn too_fast(&self, wait: Duration) -> TooFast {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if !self.is_logged.swap(true, Ordering::Relaxed) {
            let (limit, per_min) = (self.limit, self.per_min);
            tracing::warn!(
                limit,
                per_min,
                "refused what came faster than {limit} = {per_min}; said once for each limit"
            );
        }
        TooFast { limit: self.limit, per_min: self.per_min.get(), wait }
    }
}

/// A bucket of tokens.
pub(in crate::http) struct Bucket {
    rate: Arc<Rate>,
    limiter: DefaultDirectRateLimiter,
    /// When there are tokens again, in milliseconds of the rate's time.
    empty_until: AtomicU64,
}

impl Bucket {
    /// A full one.
    pub(in crate::http) fn new(rate: &Arc<Rate>) -> Self {
        let quota = Quota::per_minute(rate.per_min).allow_burst(rate.burst);
        let limiter = DefaultDirectRateLimiter::direct(quota);
        Self { rate: Arc::clone(rate), limiter, empty_until: AtomicU64::new(0) }
    }

    /// Takes this many tokens, and all of a full bucket for more than it holds: what is large must not wait forever.
    ///
    /// # Errors
    ///
    /// When it holds fewer. Then it keeps them.
    pub(in crate::http) fn take(&self, tokens: usize) -> Result<(), TooFast> {
        let tokens = u32::try_from(tokens).ok().and_then(NonZeroU32::new).unwrap_or(match tokens {
            0 => NonZeroU32::MIN,
            _ => NonZeroU32::MAX,
        });
        let Ok(Err(until)) = self.limiter.check_n(tokens.min(self.rate.burst)) else { return Ok(()) };
        let too_fast = self.rate.too_fast(until.wait_time_from(self.limiter.clock().now()));
        self.empty_until.store(self.now_ms().saturating_add(too_fast.wait_ms()), Ordering::Relaxed);
        Err(too_fast)
    }

    /// Whether it has been found empty and has no token yet. Takes none.
    ///
    /// # Errors
    ///
    /// When that is so.
    pub(in crate::http) fn check(&self) -> Result<(), TooFast> {
        match self.empty_until.load(Ordering::Relaxed).saturating_sub(self.now_ms()) {
            0 => Ok(()),
            ms => Err(self.rate.too_fast(Duration::from_millis(ms))),
        }
    }

    /// Whether it is full. Empties it, so it is for a bucket that ends.
    pub(super) fn was_full(&self) -> bool {
        matches!(self.limiter.check_n(self.rate.burst), Ok(Ok(())))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.rate.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_says_when_there_is_more() {
        let bucket = Bucket::new(&Rate::new("tests_per_min", 1, 3, &Refusals::default()).unwrap());
        assert_eq!((bucket.take(2), bucket.check()), (Ok(()), Ok(())));
        let refused = bucket.take(2).unwrap_err();
        assert!(
            (1..=60).contains(&refused.wait_s()) && refused.to_string().contains("tests_per_min = 1;"),
            "{refused}"
        );
        assert!(bucket.check().is_err(), "it was found short of tokens");
        assert_eq!(bucket.take(1), Ok(()), "a refusal takes nothing");
        assert!(!bucket.was_full());
    }

    #[test]
    fn what_is_larger_than_a_bucket_takes_a_full_one() {
        let bucket = Bucket::new(&Rate::new("tests_per_min", 1, 3, &Refusals::default()).unwrap());
        assert!(bucket.take(usize::MAX).is_ok() && bucket.take(0).is_err());
        assert!(Bucket::new(&Rate::new("tests_per_min", 1, 3, &Refusals::default()).unwrap()).was_full());
        assert!(Rate::new("tests_per_min", 0, 3, &Refusals::default()).is_none());
    }

    #[test]
    fn waits_are_rounded_up() {
        let wait = |wait| TooFast { limit: "", per_min: 1, wait };
        assert_eq!((wait(Duration::from_nanos(1)).wait_ms(), wait(Duration::ZERO).wait_s()), (1, 1));
        assert_eq!((wait(Duration::from_micros(1_001)).wait_ms(), wait(Duration::from_millis(1_001)).wait_s()), (2, 2));
    }
}
