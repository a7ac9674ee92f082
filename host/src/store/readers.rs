//! Connections for reading, kept for the next one who asks. A read runs on a thread for blocking work, because it may
//! wait for the disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::StoreError;
use super::setup::open_reader;

/// How many read at once; others wait for their turn. Each has a connection, and so three descriptors.
const READERS_MAX: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    resting: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), resting: Mutex::default(), turns: Semaphore::new(READERS_MAX) }
    }

    /// Runs `read` on a connection that sees all that was committed before.
    pub(super) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(StoreError::Closed) };
        let readers = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || readers.read_here(read));
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same on this thread, which is no worker.
    pub(super) fn read_here<R>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Result<R, StoreError> {
        let connection = match self.wake() {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let outcome = read(&connection)?;
        self.rest(connection);
        Ok(outcome)
    }

    fn wake(&self) -> Option<Connection> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn rest(&self, connection: Connection) {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
