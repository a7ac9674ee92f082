//! Signs that the chat works, for a watchdog.

use super::Chat;

impl Chat {
    /// The number of the batch that is being committed. None: none is.
    #[must_use]
    pub fn at_batch(&self) -> Option<u64> {
        self.pipeline.store.at_batch()
    }

    /// Asks the database a trivial question. Returns once it has answered, whatever it answers.
    pub async fn ask_database(&self) {
        self.rooms.touch();
        let _ = self.pipeline.store.ask().await;
    }
}
