//! What the store counts, for an operator who asks: commits, how long they took and how many messages each had.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::batch::Batch;

/// One bucket for each power of two that counts: up to 17 s in microseconds, and 16,777,216 messages.
const BUCKETS: usize = 25;

/// What all commits came to.
#[derive(Default)]
pub(super) struct CommitFigures {
    times_us: PowersOfTwo,
    messages: PowersOfTwo,
    failed: AtomicU64,
}

/// Whole numbers, by the least power of two that is not below each.
#[derive(Default)]
struct PowersOfTwo {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

/// Whole numbers at one moment.
#[derive(Clone, Debug, Default)]
pub struct PowersOfTwoRow {
    /// How many were at most 1, 2, 4, 8 …, and above the one before. The last also counts all that were larger.
    pub counts: [u64; BUCKETS],
    /// Their sum.
    pub sum: u64,
}

/// The figures of the store.
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// How long commits took, in microseconds.
    pub commit_us: PowersOfTwoRow,
    /// How many messages each commit stored. Their sum is all that was stored since startup.
    pub commit_messages: PowersOfTwoRow,
    /// The entries that could not be stored.
    pub failed: u64,
    /// The entries that wait to be committed.
    pub waiting: usize,
    /// How many times clients' requests have read the database.
    pub reads: u64,
    /// The size of the write-ahead log's file.
    pub log_bytes: u64,
}

impl CommitFigures {
    /// Counts a commit.
    pub(super) fn add<T>(&self, batch: &Batch<T>, took: Duration) {
        let messages = batch.stored.iter().filter(|entry| entry.message.is_some()).count() as u64;
        if messages > 0 {
            self.times_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            self.messages.add(messages);
        }
        if !batch.failed.is_empty() {
            self.failed.fetch_add(batch.failed.len() as u64, Ordering::Relaxed);
        }
    }

    /// The figures at this moment, without those of others.
    pub(super) fn read(&self) -> StoreFigures {
        StoreFigures {
            commit_us: self.times_us.read(),
            commit_messages: self.messages.read(),
            failed: self.failed.load(Ordering::Relaxed),
            ..StoreFigures::default()
        }
    }
}

impl PowersOfTwo {
    fn add(&self, number: u64) {
        let power = u64::BITS - number.saturating_sub(1).leading_zeros();
        if let Some(count) = self.counts.get((power as usize).min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    fn read(&self) -> PowersOfTwoRow {
        let mut counts = [0; BUCKETS];
        counts.iter_mut().zip(&self.counts).for_each(|(row, count)| *row = count.load(Ordering::Relaxed));
        PowersOfTwoRow { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_at_the_least_power_of_two_that_is_not_below_it() {
        for (number, power) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 24, 24), (u64::MAX, 24)] {
            let numbers = PowersOfTwo::default();
            numbers.add(number);
            let row = numbers.read();
            assert_eq!((row.counts.iter().position(|count| *count == 1), row.sum), (Some(power), number), "{number}");
        }
    }
}
