//! What this host says of itself, for operators: written with beats, about once a second.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it is written at most: with every other beat.
const WRITE_EVERY: Duration = Duration::from_millis(900);

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Its active release.
    pub(super) release: i64,
    /// The rooms whose home it is.
    pub(super) rooms: i32,
    /// Its open connections.
    pub(super) connections: i32,
}

/// The latest report, and when one was written.
#[derive(Default)]
pub(super) struct Reports(Mutex<State>);

#[derive(Default)]
struct State {
    latest: Option<Report>,
    written: Option<Instant>,
}

impl Reports {
    /// This is true from now on.
    pub(super) fn set(&self, report: Report) {
        self.state().latest = Some(report);
    }

    /// The report, if it is time to write it.
    pub(super) fn due(&self) -> Option<Report> {
        let state = self.state();
        let is_due = state.written.is_none_or(|written| written.elapsed() >= WRITE_EVERY);
        state.latest.filter(|_| is_due)
    }

    /// Notes that one was written.
    pub(super) fn written(&self) {
        self.state().written = Some(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_due_once_until_time_has_passed() {
        let reports = Reports::default();
        assert_eq!(reports.due(), None, "nothing is said yet");
        let report = Report { release: 7, rooms: 2, connections: 3 };
        reports.set(report);
        assert_eq!(reports.due(), Some(report), "also after an attempt that failed");
        assert_eq!(reports.due(), Some(report));
        reports.written();
        reports.set(Report { rooms: 4, ..report });
        assert_eq!(reports.due(), None);
        reports.state().written = Instant::now().checked_sub(WRITE_EVERY);
        assert_eq!(reports.due(), Some(Report { rooms: 4, ..report }));
    }
}
