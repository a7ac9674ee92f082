//! Whether messages can be stored now, by the outcome of the last write.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;

/// The reason why the database cannot be written to, if there is one.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<String>>);

impl Health {
    /// Notes the outcome of a write. An error that concerns one message says nothing about the database.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Ok(_) => self.recovered(),
            Err(error @ StoreError::Sqlite(_)) => self.failed(&error.to_string()),
            Err(_) => {}
        }
    }

    /// Notes that a write failed.
    pub(super) fn failed(&self, reason: &str) {
        *self.reason() = Some(reason.to_owned());
    }

    /// Notes that a write succeeded.
    pub(super) fn recovered(&self) {
        let reason = self.reason().take();
        if let Some(reason) = reason {
            tracing::info!(%reason, "the database is writable again, after: {reason}");
        }
    }

    /// The reason why nothing can be stored. None: storing works.
    pub(super) fn failure(&self) -> Option<String> {
        self.reason().clone()
    }

    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
