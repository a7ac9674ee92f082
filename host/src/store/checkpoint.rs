//! Checkpoints: what the write-ahead log holds goes into the database itself, beside the commits instead of in one of
//! them. Knows nothing of what is stored.
//!
//! SQLite would do it within the commit that fills the log, and every message of that batch would wait. Here a thread
//! copies the bulk while commits go on, and holds the writer only for the rest that came meanwhile, so that the next commit
//! may begin the log anew and it stays small.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::writer::Writer;

/// How long the log may grow before it is copied, in bytes.
const LOG_BYTES: u64 = 8 << 20;

/// How many commits pass between two looks at its length.
const COMMITS_BETWEEN_LOOKS: u32 = 32;

/// How long the thread rests when the database is in use by somebody else.
const BUSY: Duration = Duration::from_secs(1);

/// The writer's side: looks at the log, and asks for a checkpoint when it is due.
pub(super) struct Watch {
    log: PathBuf,
    commits: u32,
    due: SyncSender<()>,
}

impl Watch {
    /// Counts a commit.
    pub(super) fn committed(&mut self) {
        self.commits += 1;
        if self.commits < COMMITS_BETWEEN_LOOKS {
            return;
        }
        self.commits = 0;
        if std::fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES)
            && let Err(TrySendError::Disconnected(())) = self.due.try_send(())
        {
            tracing::debug!("nobody makes checkpoints any more");
        }
    }
}

/// A watch on the log of the database at `path`, and what [`start`] needs to answer it.
pub(super) fn watch(path: &Path) -> (Watch, Receiver<()>) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let (due, asked) = sync_channel(1);
    (Watch { log: log.into(), commits: 0, due }, asked)
}

/// Makes checkpoints when asked, until the writer is gone.
pub(super) fn start<T: Send + 'static>(
    connection: Connection,
    writer: &Arc<Writer<T>>,
    asked: Receiver<()>,
) -> std::io::Result<()> {
    let writer = Arc::downgrade(writer);
    std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
        while asked.recv().is_ok() {
            if let Err(error) = checkpoint(&connection, &writer) {
                tracing::warn!(%error, "a checkpoint came to nothing, the log grows until the next");
                std::thread::sleep(BUSY);
            }
        }
    })?;
    Ok(())
}

fn checkpoint<T>(connection: &Connection, writer: &Weak<Writer<T>>) -> rusqlite::Result<()> {
    const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    connection.query_row(PASSIVE, [], |_| Ok(()))?;
    let Some(writer) = writer.upgrade() else { return Ok(()) };
    writer.hold(|| connection.query_row(PASSIVE, [], |_| Ok(())))
}
