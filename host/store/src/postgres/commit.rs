//! A batch of the group commit, as this engine stores it.

use std::time::{Duration, Instant};

use super::Postgres;
use crate::batch::{Batch, Entry};
use ondol_host_model::Message;

impl Postgres {
    /// Commits the messages of a batch, and measures it.
    pub(crate) async fn commit<T>(&self, entries: Vec<Entry<T>>) -> (Batch<T>, Duration) {
        let started = Instant::now();
        let messages: Vec<&Message> = entries.iter().filter_map(|entry| entry.message.as_deref()).collect();
        let mut rejected = self.store(&messages).await;
        let batch = if rejected.is_empty() {
            Batch::all_stored(entries)
        } else {
            let mut at = 0..;
            Batch::split(entries, |_, entry| {
                let index = entry.message.as_ref().and_then(|_| at.next());
                index.and_then(|index| rejected.remove(&index))
            })
        };
        // Before a member hears of it, and may ask for more.
        self.cache.committed(batch.stored.iter().filter_map(|entry| entry.message.as_ref()));
        (batch, started.elapsed())
    }
}
