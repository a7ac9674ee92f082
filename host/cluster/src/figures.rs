//! What the bus counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the bus has counted since it was joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusFigures {
    /// Packets that were sent.
    pub packets_sent: u64,
    /// Packets that came.
    pub packets_received: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Records that were sent.
    pub records_sent: u64,
    /// Records that came.
    pub records_received: u64,
    /// How often something was missed.
    pub missed: u64,
}

#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) packets_sent: Count,
    pub(crate) packets_received: Count,
    pub(crate) bytes_sent: Count,
    pub(crate) bytes_received: Count,
    pub(crate) records_sent: Count,
    pub(crate) records_received: Count,
    pub(crate) missed: Count,
}

impl Counts {
    pub(crate) fn figures(&self) -> BusFigures {
        BusFigures {
            packets_sent: self.packets_sent.get(),
            packets_received: self.packets_received.get(),
            bytes_sent: self.bytes_sent.get(),
            bytes_received: self.bytes_received.get(),
            records_sent: self.records_sent.get(),
            records_received: self.records_received.get(),
            missed: self.missed.get(),
        }
    }
}
