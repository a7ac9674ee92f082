//! How many instances of a handler exist. Knows nothing of what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of what exists.
#[derive(Clone, Default)]
pub(crate) struct InstanceCount(Arc<AtomicU64>);

/// One instance, counted until dropped.
pub(crate) struct Counted(InstanceCount);

impl InstanceCount {
    /// Counts one more.
    pub(crate) fn one_more(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// How many there are.
    pub(crate) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
