//! The open connections of the public listener: how many there are, and were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::metrics::ConnectionFigures;

/// The number of open connections.
pub(super) struct OpenConnections {
    count: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    changed: watch::Sender<()>,
    pub(super) max: usize,
}

/// One open connection, counted until dropped.
pub(super) struct OpenConnection(Arc<OpenConnections>);

impl OpenConnections {
    pub(super) fn new(max: usize) -> Self {
        let (count, accepted, refused) = Default::default();
        Self { count, accepted, refused, changed: watch::Sender::new(()), max }
    }

    /// Counts one more connection, and returns how many there were before.
    pub(super) fn enter(self: &Arc<Self>) -> (Arc<OpenConnection>, usize) {
        let open_before = self.count.fetch_add(1, Ordering::AcqRel);
        (Arc::new(OpenConnection(Arc::clone(self))), open_before)
    }

    /// Counts a connection since startup, and whether it is refused.
    pub(super) fn count_accepted(&self, is_refused: bool) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn figures(&self) -> ConnectionFigures {
        ConnectionFigures {
            open: self.count.load(Ordering::Relaxed) as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            max: self.max as u64,
        }
    }

    pub(super) async fn all_closed(&self) {
        let mut changed = self.changed.subscribe();
        while self.count.load(Ordering::Acquire) > 0 {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.send_replace(());
    }
}
