//! How many calls each version answered since startup, how long they took and how many failed. Only calls of clients
//! count: no smoke call, no case, no shadow. Knows nothing of who reads the figures.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::kind::{Each, HandlerKind, VersionId};
use super::latency_histogram::{LatencyHistogram, LatencySnapshot};

/// The versions of a handler that are told apart.
const VERSIONS_MAX: usize = 8;

/// The name of what versions before those did, taken together.
const OTHER: &str = "other";

/// The name of the built-in handler.
const BUILT_IN: &str = "built-in";

/// The most parts that figures are kept in.
const PARTS_MAX: usize = 16;

/// The figures of one version.
pub(crate) struct CallFigures {
    /// Threads share a part only where there are many: else they would wait for each other's cache lines.
    times: Box<[CachePadded<LatencyHistogram>]>,
    faults: AtomicU64,
}

/// The figures of a version, as an operator sees them.
#[derive(Clone, Debug)]
pub struct VersionFigures {
    /// Whose version it is.
    pub handler: HandlerKind,
    /// All digits of its id; or `built-in`; or `other` for the versions that are not told apart any more.
    pub version: String,
    /// The calls since startup, those that failed included.
    pub calls: u64,
    /// The calls that failed.
    pub faults: u64,
    /// How long the calls took.
    pub times: LatencySnapshot,
}

/// The figures of all versions of all handlers. They never fall: those of a version that is not told apart any more go
/// on among the others.
#[derive(Default)]
pub(crate) struct CallTable {
    built_in: Each<Arc<CallFigures>>,
    rows: Each<Mutex<Rows>>,
}

/// The figures of one handler's versions.
#[derive(Default)]
struct Rows {
    /// The last to become active is the last.
    told_apart: Vec<(VersionId, Arc<CallFigures>)>,
    /// Some may still be called, such as the baseline of a probation.
    folded: Vec<Arc<CallFigures>>,
    /// What is left of those that are not.
    other: Figures,
}

/// The figures at one moment.
#[derive(Default)]
struct Figures {
    faults: u64,
    times: LatencySnapshot,
}

impl Default for CallFigures {
    fn default() -> Self {
        let parts = std::thread::available_parallelism().map_or(1, usize::from).min(PARTS_MAX);
        let times = (0..parts).map(|_| CachePadded::new(LatencyHistogram::new())).collect();
        Self { times, faults: AtomicU64::new(0) }
    }
}

impl CallFigures {
    /// Counts a call.
    pub(crate) fn add(&self, took: Duration, failed: bool) {
        if let Some(times) = self.times.get(thread_number() % self.times.len()) {
            times.add(took);
        }
        if failed {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Figures {
        // The faults first: so there are never more of them than calls.
        let faults = self.faults.load(Ordering::Acquire);
        let mut times = LatencySnapshot::default();
        self.times.iter().for_each(|part| times.add(&part.snapshot()));
        Figures { faults, times }
    }
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.times.add(&other.times);
    }

    fn row(self, handler: HandlerKind, version: String) -> VersionFigures {
        let Self { faults, times } = self;
        VersionFigures { handler, version, calls: times.count(), faults, times }
    }
}

impl CallTable {
    /// The figures of a version that is about to be called. It counts as the last one used.
    pub(crate) fn of(&self, handler: HandlerKind, version: VersionId) -> Arc<CallFigures> {
        if version == VersionId::NONE { self.built_in(handler).clone() } else { self.rows(handler).of(version) }
    }

    /// The figures of the built-in handler.
    pub(crate) fn built_in(&self, handler: HandlerKind) -> &Arc<CallFigures> {
        self.built_in.of(handler)
    }

    /// The figures of all handlers: the versions, the latest last, then the others and the built-in handler.
    pub(crate) fn read(&self) -> Vec<VersionFigures> {
        let of = |handler: HandlerKind| {
            let rows = self.rows(handler);
            let each = rows.told_apart.iter().map(|(version, figures)| (version.whole(), figures.read()));
            let mut figures: Vec<_> = each.collect();
            figures.push((OTHER.to_owned(), rows.others()));
            figures.push((BUILT_IN.to_owned(), self.built_in(handler).read()));
            figures.into_iter().map(move |(version, figures)| figures.row(handler, version))
        };
        HandlerKind::ALL.into_iter().flat_map(of).collect()
    }

    fn rows(&self, handler: HandlerKind) -> MutexGuard<'_, Rows> {
        self.rows.of(handler).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn of(&mut self, version: VersionId) -> Arc<CallFigures> {
        let known = self.told_apart.iter().position(|(id, _)| *id == version);
        let row = known.map_or_else(|| (version, Arc::default()), |place| self.told_apart.remove(place));
        let figures = Arc::clone(&row.1);
        self.told_apart.push(row);
        if self.told_apart.len() > VERSIONS_MAX {
            self.folded.push(self.told_apart.remove(0).1);
        }
        self.settle();
        figures
    }

    /// Lets go of folded figures that no release counts in any more.
    fn settle(&mut self) {
        for figures in std::mem::take(&mut self.folded) {
            match Arc::try_unwrap(figures) {
                Ok(done) => self.other.add(&done.read()),
                Err(still) => self.folded.push(still),
            }
        }
    }

    fn others(&self) -> Figures {
        let mut others = Figures { faults: self.other.faults, times: self.other.times.clone() };
        self.folded.iter().for_each(|own| others.add(&own.read()));
        others
    }
}

/// A number of this thread, low ones first.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::super::kind::SettingsMap;
    use super::*;

    fn version(number: usize) -> VersionId {
        VersionId::of(&number.to_le_bytes(), &SettingsMap::new())
    }

    /// The calls of one handler by version.
    fn calls(table: &CallTable, handler: HandlerKind) -> Vec<(String, u64, u64)> {
        let rows = table.read().into_iter().filter(|row| row.handler == handler);
        rows.map(|row| (row.version, row.calls, row.faults)).collect()
    }

    #[test]
    fn a_version_that_returns_goes_on_counting() {
        let table = CallTable::default();
        for failed in [false, true, false] {
            table.of(HandlerKind::Events, version(1)).add(Duration::from_micros(3), failed);
        }
        table.of(HandlerKind::Events, VersionId::NONE).add(Duration::from_micros(3), false);
        let expected = [(version(1).whole(), 3, 1), ("other".to_owned(), 0, 0), ("built-in".to_owned(), 1, 0)];
        assert_eq!(calls(&table, HandlerKind::Events), expected);
        assert_eq!(calls(&table, HandlerKind::Rooms), [("other".to_owned(), 0, 0), ("built-in".to_owned(), 0, 0)]);
    }

    #[test]
    fn a_handler_has_a_bounded_number_of_rows_and_its_sum_never_falls() {
        let table = CallTable::default();
        // As the baseline of a long probation.
        let kept = table.of(HandlerKind::Events, version(0));
        for number in 1..=100 {
            kept.add(Duration::from_micros(1), true);
            table.of(HandlerKind::Events, version(number)).add(Duration::from_micros(1), false);
            let rows = calls(&table, HandlerKind::Events);
            assert!(rows.len() <= VERSIONS_MAX + 2);
            assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), 2 * number as u64);
            assert_eq!(rows.iter().map(|row| row.2).sum::<u64>(), number as u64);
        }
        drop(kept);
        table.of(HandlerKind::Events, version(100));
        assert!(table.rows(HandlerKind::Events).folded.is_empty());
        let rows = calls(&table, HandlerKind::Events);
        assert_eq!(rows.first(), Some(&(version(93).whole(), 1, 0)), "the last eight are told apart");
        assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), 200);
    }

    #[test]
    fn calls_of_all_threads_count() {
        let figures = CallFigures::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| figures.add(Duration::from_micros(5), false)));
            }
        });
        assert_eq!(figures.read().times.count(), 2_000);
    }
}
