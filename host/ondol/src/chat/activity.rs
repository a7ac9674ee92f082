//! What the server did in the last hour, sample by sample, for an operator without a monitoring system. In memory alone, and
//! bounded: [`SAMPLES_MAX`] samples, each with the versions that were called meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Chat;
use ondol_host_handlers::VersionFigures;
use ondol_host_model::Timestamp;
use ondol_host_store::{PowersOfTwoRow, StoreFigures};

/// From one sample to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// An hour of samples.
const SAMPLES_MAX: usize = 360;

/// How long what is going on is remembered: asking more often costs nothing.
const CURRENT_HOLDS: Duration = Duration::from_millis(900);

/// The name of the versions that are not told apart any more, taken together.
const OTHER: &str = "other";

/// What went on since a sample that the caller has.
#[derive(Debug, Serialize)]
pub struct ActivityReport {
    /// The length of a whole sample, in milliseconds.
    pub interval_ms: u64,
    /// How many samples are kept.
    pub samples_max: usize,
    /// Whole samples, the earliest first.
    pub samples: Vec<Sample>,
    /// What has gone on since the last of them.
    pub current: Sample,
}

/// What went on for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Its number, from 1 at each start of the server.
    pub number: u64,
    /// When it ended.
    pub at: String,
    /// How long it was, in milliseconds.
    pub span_ms: u64,
    /// The WebSockets, at its end.
    pub connections: u64,
    /// The rooms with members, at its end.
    pub rooms: u64,
    /// The messages that were stored.
    pub stored: u64,
    /// The commits that stored them.
    pub commits: u64,
    /// Their median time, in microseconds, as far as powers of two tell it. None: there was no commit.
    pub commit_us: Option<f64>,
    /// The versions that were called.
    pub calls: Vec<CallSample>,
}

/// The calls of one version.
#[derive(Clone, Debug, Serialize)]
pub struct CallSample {
    /// The handler.
    pub handler: &'static str,
    /// All digits of the version's id; or `built-in`.
    pub version: String,
    /// How many, those that failed included.
    pub calls: u64,
    /// How many failed.
    pub faults: u64,
    /// Their median, in microseconds.
    pub p50_us: f64,
    /// Their 99th percentile, in microseconds.
    pub p99_us: f64,
}

/// Everything that is counted, at one moment.
pub(super) struct Reading {
    connections: u64,
    rooms: u64,
    store: StoreFigures,
    calls: Vec<VersionFigures>,
}

/// The samples of the last hour.
pub(super) struct Activity(Mutex<Ring>);

struct Ring {
    samples: VecDeque<Sample>,
    last: Reading,
    last_at: Instant,
    number: u64,
    current: Option<(Instant, Sample)>,
}

impl Activity {
    /// Begins now.
    pub(super) fn new() -> Self {
        let last = Reading { connections: 0, rooms: 0, store: StoreFigures::default(), calls: Vec::new() };
        let samples = VecDeque::with_capacity(SAMPLES_MAX);
        Self(Mutex::new(Ring { samples, last, last_at: Instant::now(), number: 1, current: None }))
    }

    /// Ends a sample.
    fn end_sample(&self, reading: Reading) {
        let mut kept = self.kept();
        let sample = kept.sample(&reading, Instant::now());
        if kept.samples.len() == SAMPLES_MAX {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample);
        (kept.last, kept.last_at, kept.current) = (reading, Instant::now(), None);
        kept.number += 1;
    }

    /// The samples after the one with this number, or all: there are none with later numbers than the last.
    fn report(&self, since: Option<u64>, reading: impl FnOnce() -> Reading) -> ActivityReport {
        let known = self.kept().current.clone().filter(|(at, _)| at.elapsed() < CURRENT_HOLDS);
        // What is counted is read without the lock.
        let reading = if known.is_none() { Some(reading()) } else { None };
        let mut kept = self.kept();
        let current = match (known, reading) {
            (Some((_, current)), _) if current.number == kept.number => current,
            (_, Some(reading)) => {
                let current = kept.sample(&reading, Instant::now());
                kept.current = Some((Instant::now(), current.clone()));
                current
            }
            // A sample has ended meanwhile.
            (Some((_, current)), None) => current,
            (None, None) => kept.sample(&kept.last, Instant::now()),
        };
        let since = since.filter(|since| *since < kept.number).unwrap_or(0);
        ActivityReport {
            interval_ms: millis(INTERVAL),
            samples_max: SAMPLES_MAX,
            samples: kept.samples.iter().filter(|sample| sample.number > since).cloned().collect(),
            current,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// From the last reading to this one.
    fn sample(&self, now: &Reading, at: Instant) -> Sample {
        let (store, then) = (&now.store, &self.last.store);
        let times = between(&then.commit_us, &store.commit_us);
        let calls = now.calls.iter().filter_map(|figures| {
            let same = |then: &&VersionFigures| then.handler == figures.handler && then.version == figures.version;
            calls(figures, self.last.calls.iter().find(same))
        });
        Sample {
            number: self.number,
            at: Timestamp::now().to_string(),
            span_ms: millis(at.saturating_duration_since(self.last_at)),
            connections: now.connections,
            rooms: now.rooms,
            stored: store.commit_messages.sum.saturating_sub(then.commit_messages.sum),
            commits: times.iter().sum(),
            commit_us: median(&times),
            calls: calls.collect(),
        }
    }
}

/// The calls of a version since then. None: it was not called.
fn calls(now: &VersionFigures, then: Option<&VersionFigures>) -> Option<CallSample> {
    let times = then.map_or_else(|| now.times.clone(), |then| now.times.since(&then.times));
    let before = then.map_or(0, |then| then.faults);
    // The versions that are not told apart any more bring what they did before.
    (times.count() > 0 && now.version != OTHER).then(|| CallSample {
        handler: now.handler.name(),
        version: now.version.clone(),
        calls: times.count(),
        faults: now.faults.saturating_sub(before),
        p50_us: times.quantile(50).map_or(0.0, micros),
        p99_us: times.quantile(99).map_or(0.0, micros),
    })
}

/// The numbers that came between two moments, by the powers of two that they are not above.
fn between(then: &PowersOfTwoRow, now: &PowersOfTwoRow) -> Vec<u64> {
    now.counts.iter().zip(&then.counts).map(|(now, then)| now.saturating_sub(*then)).collect()
}

/// The median of numbers that are known by powers of two: those between two powers are taken to be spread evenly.
fn median(counts: &[u64]) -> Option<f64> {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    let mut below = 0.0;
    for (power, count) in (0_i32..).zip(counts) {
        let count = *count as f64;
        if count > 0.0 && below + count >= half {
            return Some((f64::from(power - 1).exp2() * ((half - below) / count).exp2() * 10.0).round() / 10.0);
        }
        below += count;
    }
    None
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// To a tenth.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000_000.0).round() / 10.0
}

impl Chat {
    /// Ends a sample every ten seconds, forever.
    pub async fn sample_activity(self: Arc<Self>) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        loop {
            ticks.tick().await;
            let chat = Arc::clone(&self);
            // It waits for locks and looks at a file.
            let _ = tokio::task::spawn_blocking(move || chat.activity.end_sample(chat.reading())).await;
        }
    }

    /// What went on in the last hour: the samples after the one with a number, or all of them.
    #[must_use]
    pub fn activity(&self, since: Option<u64>) -> ActivityReport {
        self.activity.report(since, || self.reading())
    }

    fn reading(&self) -> Reading {
        Reading {
            connections: self.connections.open() as u64,
            rooms: ondol_host_rooms::figures().rooms as u64,
            store: self.pipeline.store.figures(),
            calls: self.handlers.call_figures(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(stored: u64) -> Reading {
        let mut store = StoreFigures::default();
        (store.commit_us.counts[9], store.commit_messages.sum) = (stored, 3 * stored);
        Reading { connections: 7, rooms: 2, store, calls: Vec::new() }
    }

    #[test]
    fn an_hour_is_kept() {
        let activity = Activity::new();
        (1..=400).for_each(|stored| activity.end_sample(reading(stored)));
        let report = activity.report(None, || reading(405));
        let numbers: Vec<u64> = report.samples.iter().map(|sample| sample.number).collect();
        assert_eq!(numbers, (41..=400).collect::<Vec<_>>());
        assert!(report.samples.iter().all(|sample| (sample.stored, sample.commits) == (3, 1)));
        assert_eq!((report.current.number, report.current.stored, report.current.connections), (401, 15, 7));
    }

    #[test]
    fn a_median_is_between_its_powers_of_two() {
        assert_eq!(median(&[0, 0, 0]), None);
        assert_eq!(median(&[0, 0, 0, 8]), Some(5.7));
        assert_eq!(median(&[1, 0, 1, 0, 90, 1]), Some(11.3));
    }

    #[test]
    fn later_samples_are_asked_for_by_number() {
        let activity = Activity::new();
        (1..=4).for_each(|stored| activity.end_sample(reading(stored)));
        let after = |since| activity.report(Some(since), || reading(4)).samples.len();
        assert_eq!((after(0), after(3), after(4)), (4, 1, 0));
        assert_eq!(after(9), 4, "a number of an earlier start of the server");
    }
}
