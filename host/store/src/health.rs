//! Whether messages can be stored now: what the last write to the database came to. Knows nothing of what was written.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// What keeps the database from being written to.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<String>>);

impl Health {
    /// Takes in what a write came to. A refusal of one message is no failure of the database.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Ok(_) => self.recovered(),
            Err(error @ StoreError::Sqlite(_)) => self.failed(&error.to_string()),
            Err(_) => {}
        }
    }

    pub(super) fn failed(&self, reason: &str) {
        *self.state() = Some(reason.to_owned());
    }

    pub(super) fn recovered(&self) {
        let failed = self.state().take();
        if failed.is_some() {
            tracing::info!("the database can be written to again");
        }
    }

    /// Why nothing can be stored; none when it can.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
