//! Releases that another host is about to record, which are kept ready until they are active, or for a while. Knows nothing of
//! what is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ondol_host_handlers::SlownessOverride;

/// How long a release is kept ready after a host last asked for it.
const KEPT: Duration = Duration::from_secs(300);

/// Releases that are ready, by the ids of their versions.
pub(super) struct Prepared<T>(Mutex<Vec<Entry<T>>>);

struct Entry<T> {
    versions: [String; 3],
    /// The probation that it is to have.
    probation: Option<SlownessOverride>,
    release: T,
    asked: Instant,
}

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Prepared<T> {
    /// Keeps a release, in place of one of the same versions.
    pub(super) fn keep(&self, versions: [String; 3], probation: Option<SlownessOverride>, release: T) {
        let mut entries = self.lock();
        entries.retain(|entry| entry.versions != versions);
        entries.push(Entry { versions, probation, release, asked: Instant::now() });
    }

    /// All that are ready.
    pub(super) fn all(&self) -> Vec<T> {
        self.lock().iter().map(|entry| entry.release.clone()).collect()
    }

    /// The probation that the host which asked for a release wants for it. None: no host has asked.
    pub(super) fn probation(&self, versions: &[String; 3]) -> Option<Option<SlownessOverride>> {
        self.lock().iter().find(|entry| entry.versions == *versions).map(|entry| entry.probation)
    }

    /// It is active, so others keep it.
    pub(super) fn drop_active(&self, versions: &[String; 3]) {
        self.lock().retain(|entry| entry.versions != *versions);
    }

    /// Drops what no host has asked for since a while.
    pub(super) fn drop_unused(&self, now: Instant) {
        self.lock().retain(|entry| now.saturating_duration_since(entry.asked) < KEPT);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(events: &str) -> [String; 3] {
        ["r".into(), "m".into(), events.into()]
    }

    #[test]
    fn what_is_prepared_is_kept_until_it_is_active_or_for_a_while() {
        let prepared = Prepared::default();
        let patient = SlownessOverride { slowdown_max: Some(50), ..SlownessOverride::default() };
        prepared.keep(versions("a"), None, 1);
        prepared.keep(versions("b"), None, 2);
        prepared.keep(versions("b"), Some(patient), 3);
        assert_eq!(prepared.all(), [1, 3]);
        let probation = |events: &str| prepared.probation(&versions(events));
        assert_eq!([probation("a"), probation("b"), probation("c")], [Some(None), Some(Some(patient)), None]);
        prepared.drop_active(&versions("b"));
        prepared.drop_unused(Instant::now());
        assert_eq!(prepared.all(), [1]);
        prepared.drop_unused(Instant::now() + KEPT);
        assert!(prepared.all().is_empty());
    }
}
