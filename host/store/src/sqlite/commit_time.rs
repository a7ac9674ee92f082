//! How long commits usually take. Where the disk is slow, the worker hands its tasks off before a commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ondol_host_process::worker;

/// Commits that usually take longer than this hand their worker off. A solid-state disk, or one with a write cache,
/// answers sooner.
const SLOW: Duration = Duration::from_millis(5);

/// The usual time of a commit, as a moving average: each commit counts a sixteenth.
#[derive(Default)]
pub(super) struct CommitTime(AtomicU64);

impl CommitTime {
    /// Runs a commit and measures it. Returns how long it took as well. Handing a worker off costs as much as a tenth of a busy commit, so a single long
    /// commit, which happens where the CPUs are busy, is no reason for it.
    pub(super) fn run<R>(&self, commit: impl FnOnce() -> R) -> (R, Duration) {
        let started = Instant::now();
        let done = if self.is_slow() { worker::block(commit) } else { commit() };
        let took = started.elapsed();
        self.count(took);
        (done, took)
    }

    fn is_slow(&self) -> bool {
        self.usual() > SLOW
    }

    fn usual(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn count(&self, time: Duration) {
        let usual = self.usual() * 15 / 16 + time / 16;
        self.0.store(u64::try_from(usual.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_slow_commit_does_not_make_a_slow_disk() {
        let commits = CommitTime::default();
        let slow_after = |ms: &[u64]| {
            ms.iter().for_each(|ms| commits.count(Duration::from_millis(*ms)));
            commits.is_slow()
        };
        assert!(!slow_after(&[1; 100]));
        assert!(!slow_after(&[30]), "another process used the CPU");
        assert!(!slow_after(&[1, 1, 1, 30]));
        assert!(slow_after(&[12; 8]), "a spinning disk");
        assert!(slow_after(&[12, 1, 12, 12]));
        assert!(!slow_after(&[1; 16]), "the disk is fast again");
        assert!(slow_after(&[10_000]) && !slow_after(&[1; 100]), "one long stall is forgotten");
    }
}
