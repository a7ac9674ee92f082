//! How often something came too fast, by the name of the rate. Outlives the rates: a counter never falls, whatever a reload
//! changes, and counts what the sockets that were open before it still refuse.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counters of a listener.
#[derive(Default)]
pub(in crate::http) struct Refusals(Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>);

impl Refusals {
    /// The counter of a rate.
    pub(super) fn of(&self, rate: &'static str) -> Arc<AtomicU64> {
        Arc::clone(self.counters().entry(rate).or_default())
    }

    /// The numbers of all rates that are or were on.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        self.counters().iter().map(|(rate, counter)| (*rate, counter.load(Ordering::Relaxed))).collect()
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<AtomicU64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
