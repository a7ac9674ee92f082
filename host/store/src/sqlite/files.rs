//! The database's file, and the means to close all connections of this process at once.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::readers::Readers;
use crate::limits::Synchronous;

/// How long the write-ahead log may grow before a checkpoint, in pages of 4 KiB.
pub(super) const LOG_PAGES: i32 = 2_048;

/// The file, and the connections to it beside the writer's.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) readers: Arc<Readers>,
    /// Held while a checkpoint has a connection.
    pub(super) checkpoint: Mutex<()>,
    checkpoint_requests: SyncSender<()>,
}

impl Files {
    /// The file at `path`, and the receiver of requests for a checkpoint.
    pub(super) fn new(path: &Path, synchronous: Synchronous) -> (Self, Receiver<()>) {
        let (checkpoint_requests, requested) = sync_channel(1);
        let (path, readers) = (path.to_owned(), Arc::new(Readers::new(path)));
        (Self { path, synchronous, readers, checkpoint: Mutex::default(), checkpoint_requests }, requested)
    }

    /// Requests a checkpoint whenever a commit of this connection leaves the log too long.
    pub(super) fn request_checkpoints(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let requests = self.checkpoint_requests.clone();
        connection.wal_hook(Some(move |_: &mut _, pages| {
            if pages > LOG_PAGES {
                // The channel holds one request, which is enough.
                let _ = requests.try_send(());
            }
            Ok(())
        }))
    }

    /// Runs `meanwhile` while only the caller has a connection open.
    pub(super) fn while_closed<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _checkpoint = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        self.readers.while_closed(meanwhile)
    }

    /// The same for good: no connection is opened afterwards.
    pub(super) fn close(&self, meanwhile: impl FnOnce()) {
        self.while_closed(|| {
            self.readers.close();
            meanwhile();
        });
    }
}
