//! What waits for a commit, and what became of it.

use std::sync::Arc;

use ondol_host_model::Message;

use super::error::StoreError;

/// A message that waits to be committed, with whatever the caller wants back with it.
#[derive(Debug)]
pub struct Entry<T> {
    /// What to store. None: nothing; the entry only keeps its turn between messages.
    pub message: Option<Arc<Message>>,
    /// What the caller gets back.
    pub context: T,
}

/// An entry that was not stored.
#[derive(Debug)]
pub struct Failed<T> {
    /// The entry.
    pub entry: Entry<T>,
    /// The reason.
    pub error: StoreError,
}

/// The outcome of one group commit.
#[derive(Debug)]
pub struct Batch<T> {
    /// Committed entries, and those without a message, in the order in which they were appended.
    pub stored: Vec<Entry<T>>,
    /// Entries that were not stored.
    pub failed: Vec<Failed<T>>,
}

impl<T> Batch<T> {
    /// A batch in which every entry was stored.
    pub(super) fn all_stored(entries: Vec<Entry<T>>) -> Self {
        Self { stored: entries, failed: Vec::new() }
    }

    /// Sorts entries by whether `error_of` has an error for them, and keeps their order.
    pub(super) fn split(
        entries: Vec<Entry<T>>,
        mut error_of: impl FnMut(usize, &Entry<T>) -> Option<StoreError>,
    ) -> Self {
        let mut batch = Self { stored: Vec::with_capacity(entries.len()), failed: Vec::new() };
        for (index, entry) in entries.into_iter().enumerate() {
            match error_of(index, &entry) {
                Some(error) => batch.failed.push(Failed { entry, error }),
                None => batch.stored.push(entry),
            }
        }
        batch
    }
}
