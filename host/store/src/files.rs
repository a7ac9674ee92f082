//! The database's file, and how all connections of this process let go of it at once. Knows nothing of what is stored.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::readers::Readers;
use crate::limits::Synchronous;

/// The file, and who has it open beside the writer.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) readers: Readers,
    /// Held while a checkpoint has a connection.
    pub(super) checkpoint: Mutex<()>,
    /// Asks for a checkpoint.
    pub(super) due: SyncSender<()>,
}

impl Files {
    /// The file at `path`, and where checkpoints are asked for.
    pub(super) fn new(path: &Path, synchronous: Synchronous) -> (Self, Receiver<()>) {
        let (due, asked) = sync_channel(1);
        let (path, readers) = (path.to_owned(), Readers::new(path));
        (Self { path, synchronous, readers, checkpoint: Mutex::default(), due }, asked)
    }

    /// Does something while no connection but the caller's is open.
    pub(super) fn alone<R>(&self, meanwhile: impl FnOnce() -> R) -> R {
        let _checkpoint = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        self.readers.away(meanwhile)
    }

    /// The same for the last time: nothing is opened after it.
    pub(super) fn close(&self, meanwhile: impl FnOnce()) {
        self.alone(|| {
            self.readers.close();
            meanwhile();
        });
    }
}
