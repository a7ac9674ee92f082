//! Connections that were accepted and have no answer yet. A server that ends waits for them for a moment: their clients could
//! not know that it would. Knows counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// How many there are.
#[derive(Clone)]
pub(super) struct Unanswered(Arc<watch::Sender<usize>>);

/// One of them, until it has its first answer or is dropped. Clones are the same one.
#[derive(Clone)]
pub(super) struct FirstAnswer(Arc<Waiting>);

struct Waiting {
    all: Unanswered,
    given: AtomicBool,
}

impl Unanswered {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Counts one more.
    pub(super) fn enter(&self) -> FirstAnswer {
        self.0.send_modify(|count| *count += 1);
        FirstAnswer(Arc::new(Waiting { all: self.clone(), given: AtomicBool::new(false) }))
    }

    /// Resolves when there are none.
    pub(super) async fn none(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl FirstAnswer {
    /// It has its answer.
    pub(super) fn given(&self) {
        self.0.given();
    }
}

impl Waiting {
    fn given(&self) {
        if !self.given.swap(true, Ordering::AcqRel) {
            self.all.0.send_modify(|count| *count -= 1);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.given();
    }
}
