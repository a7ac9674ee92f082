//! Connections for reading, which are pooled. A read may wait for the disk, so it runs on a thread for blocking work.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::setup::open_reader;
use crate::error::StoreError;

/// How many reads run at once; others wait for their turn. Each has a connection, and so three file descriptors.
const READERS_MAX: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    /// Held for reading by each read, and for writing while no connection may be open.
    open: RwLock<()>,
    closed: AtomicBool,
    /// How many reads clients have caused.
    count: AtomicU64,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::default(),
            permits: Semaphore::new(READERS_MAX),
            open: RwLock::default(),
            closed: AtomicBool::new(false),
            count: AtomicU64::new(0),
        }
    }

    /// Runs `read` on a connection that sees everything committed so far.
    pub(super) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let Ok(_permit) = self.permits.acquire().await else { return Err(StoreError::Closed) };
        let readers = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || readers.read_blocking(read));
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The size of the write-ahead log's file.
    pub(super) fn log_bytes(&self) -> u64 {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |file| file.len())
    }

    /// How many reads clients have caused so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The same as [`Readers::read`] on the calling thread, which must not be a worker. Not counted.
    pub(super) fn read_blocking<R>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<R>,
    ) -> Result<R, StoreError> {
        let _open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let outcome = read(&connection)?;
        self.idle().push(connection);
        Ok(outcome)
    }

    /// Waits until no read is running, closes all connections, and opens none until `meanwhile` has returned.
    pub(super) fn while_closed<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _alone = self.open.write().unwrap_or_else(PoisonError::into_inner);
        self.idle().clear();
        meanwhile()
    }

    /// Whether reads are rejected.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Rejects reads from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
