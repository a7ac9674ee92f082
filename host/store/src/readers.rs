//! Connections for reading, kept for the next one who asks. A read runs on a thread for blocking work, because it may
//! wait for the disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::StoreError;
use super::files::Files;
use super::setup::open_reader;

/// How many read at once; others wait for their turn. Each has a connection, and so three descriptors.
const READERS_MAX: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    resting: Mutex<Vec<Connection>>,
    turns: Semaphore,
    /// Held for reading by each read, and for writing while no connection may be open.
    open: RwLock<()>,
    closed: AtomicBool,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            resting: Mutex::default(),
            turns: Semaphore::new(READERS_MAX),
            open: RwLock::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Runs `read` on a connection that sees all that was committed before.
    pub(super) async fn read<R: Send + 'static>(
        files: &std::sync::Arc<Files>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let Ok(_turn) = files.readers.turns.acquire().await else { return Err(StoreError::Closed) };
        let files = std::sync::Arc::clone(files);
        let outcome = tokio::task::spawn_blocking(move || files.readers.read_here(read));
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same on this thread, which is no worker.
    pub(super) fn read_here<R>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Result<R, StoreError> {
        let _open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if self.are_closed() {
            return Err(StoreError::Closed);
        }
        let resting = self.resting().pop();
        let connection = match resting {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let outcome = read(&connection)?;
        self.resting().push(connection);
        Ok(outcome)
    }

    /// Closes all connections once nobody reads, and opens none until `meanwhile` is done.
    pub(super) fn away<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _alone = self.open.write().unwrap_or_else(PoisonError::into_inner);
        self.resting().clear();
        meanwhile()
    }

    /// Whether none is opened any more.
    pub(super) fn are_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Opens none any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
