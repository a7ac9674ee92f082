//! Who waits for long work: it may stop the work, and learns how much is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// To whom work reports how much is done, and of how much: 0 as long as that is unknown.
pub type Report = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Who waits for long work.
#[derive(Clone)]
pub struct Watch {
    /// Set: the work ends soon, and leaves nothing.
    pub stop: Arc<AtomicBool>,
    /// How far it is.
    pub report: Report,
}

impl Watch {
    pub(crate) fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The same for one half of the work. A half whose size is unknown has done nothing yet.
    pub(crate) fn half(&self, is_second: bool) -> Self {
        let report = Arc::clone(&self.report);
        let report = move |done, total: u64| match total {
            0 => report(u64::from(is_second), 2),
            total => report(done + if is_second { total } else { 0 }, total.saturating_mul(2)),
        };
        Self { stop: Arc::clone(&self.stop), report: Arc::new(report) }
    }
}
