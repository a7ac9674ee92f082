//! The buckets of all users, or of all addresses, for one rate. One that is full again is like a new one, so it is forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Rate, TooFast};

/// Fewer buckets are not worth a search for full ones.
const SWEPT_MIN: usize = 1_024;
/// How long a search waits for the last one when all buckets are in use.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The buckets of a rate, by what has them.
pub(in crate::http) struct Buckets<K> {
    rate: Option<Arc<Rate>>,
    keys_max: usize,
    table: Mutex<Table<K>>,
    full_before: AtomicBool,
}

struct Table<K> {
    buckets: HashMap<K, Arc<Bucket>>,
    /// How many there are when full ones are next looked for.
    sweep_at: usize,
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// `rate` is None where it is off.
    pub(super) fn new(rate: Option<Arc<Rate>>, keys_max: usize) -> Self {
        let table = Table { buckets: HashMap::new(), sweep_at: SWEPT_MIN.min(keys_max), swept: None };
        Self { rate, keys_max, table: Mutex::new(table), full_before: AtomicBool::new(false) }
    }

    /// The bucket of a key, which is shared for as long as it is held. None: the rate is off.
    ///
    /// With too many keys a new one's bucket is not remembered: those who bring many keys lock no other out.
    pub(in crate::http) fn of(&self, key: K) -> Option<Arc<Bucket>> {
        let rate = self.rate.as_ref()?;
        let mut table = self.table();
        if let Some(bucket) = table.buckets.get(&key) {
            return Some(Arc::clone(bucket));
        }
        let bucket = Arc::new(Bucket::new(rate));
        if table.has_space(self.keys_max) {
            table.buckets.insert(key, Arc::clone(&bucket));
        } else if !self.full_before.swap(true, Ordering::Relaxed) {
            let max = self.keys_max;
            tracing::warn!(
                max,
                "rate_keys_max = {max} users or addresses are not at rest: further ones have no rate limit"
            );
        }
        Some(bucket)
    }

    /// Takes a token from a key's bucket.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub(super) fn take(&self, key: K) -> Result<(), TooFast> {
        self.of(key).map_or(Ok(()), |bucket| bucket.take(1))
    }

    /// Whether a key's bucket is known to be empty. Takes no token.
    ///
    /// # Errors
    ///
    /// When that is so.
    pub(super) fn check(&self, key: &K) -> Result<(), TooFast> {
        if self.rate.is_none() {
            return Ok(());
        }
        self.table().buckets.get(key).map_or(Ok(()), |bucket| bucket.check())
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Table<K> {
    /// Whether there is space for one more. Forgets full buckets as their number doubles, so that each costs the same.
    fn has_space(&mut self, keys_max: usize) -> bool {
        let may_sweep = self.buckets.len() < keys_max || self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_PAUSE);
        if self.buckets.len() >= self.sweep_at && may_sweep {
            // Without the lock no other can take hold of one, so one that is held here alone stays so.
            self.buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.was_full());
            self.sweep_at = (2 * self.buckets.len()).max(SWEPT_MIN).min(keys_max);
            self.buckets.shrink_to(self.sweep_at);
            self.swept = Some(Instant::now());
        }
        self.buckets.len() < keys_max
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;
    use crate::http::rates::Refusals;

    fn buckets(per_min: usize, burst: usize, keys_max: usize) -> Buckets<u64> {
        Buckets::new(Rate::new("tests_per_min", per_min, burst, &Refusals::default()), keys_max)
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let buckets = buckets(1, 1, 10);
        assert!(buckets.take(1).is_ok() && buckets.take(1).is_err());
        assert!(buckets.check(&1).is_err() && buckets.check(&2).is_ok() && buckets.take(2).is_ok());
        let held = buckets.of(3).unwrap();
        assert!(held.take(1).is_ok() && buckets.take(3).is_err());
    }

    #[test]
    fn a_rate_that_is_off_keeps_nothing() {
        let buckets = buckets(0, 1, 10);
        for key in 0..100 {
            assert!(buckets.take(key).is_ok() && buckets.check(&key).is_ok() && buckets.of(key).is_none());
        }
        assert_eq!(buckets.table().buckets.len(), 0);
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_locks_none_out() {
        let buckets = buckets(1, 2, 5_000);
        let known = buckets.of(0).unwrap();
        for key in 0..1_000_000 {
            assert!(buckets.take(key).is_ok());
        }
        let capacity = buckets.table().buckets.capacity();
        assert!(buckets.table().buckets.len() == 5_000 && capacity < 20_000, "{capacity}");
        assert!(known.take(1).is_ok() && buckets.take(0).is_err(), "known keys are still counted");
    }

    #[test]
    fn full_buckets_are_forgotten_unless_they_are_held() {
        // A token a microsecond: each is full again by the next look.
        let buckets = buckets(60_000_000, 1, 5_000);
        let held = buckets.of(0).unwrap();
        let mut most = 0;
        for key in 1..100_000 {
            let _ = buckets.take(key);
            most = most.max(buckets.table().buckets.len());
        }
        assert!(most < 5_000, "{most}");
        assert!(Arc::ptr_eq(&held, &buckets.of(0).unwrap()));
    }
}
