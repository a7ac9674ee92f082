//! Checkpoints: what the write-ahead log holds goes into the database itself, beside the commits instead of in one of
//! them. Knows nothing of what is stored.
//!
//! SQLite would do it within the commit that fills the log, and every message of that batch would wait. Here a thread
//! copies the bulk while commits go on, and holds the writer only for the rest that came meanwhile, so that the next commit
//! may begin the log anew and it stays small.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::writer::Writer;

/// How long the log may grow before it is copied, in pages of 4 KiB.
const LOG_PAGES: i32 = 2_048;

/// How long its file is from the start: a commit into a file that need not grow costs a third less, and a log that is
/// begun anew stays as long as it was.
const LOG_BYTES: u64 = 12 << 20;

/// How long the thread rests when the database is in use by somebody else.
const BUSY: Duration = Duration::from_secs(1);

/// Asks for a checkpoint whenever a commit of this connection leaves the log too long.
pub(super) fn watch(connection: &mut Connection) -> rusqlite::Result<Receiver<()>> {
    let (due, asked) = sync_channel(1);
    connection.wal_hook(Some(move |_: &mut _, pages| {
        if pages > LOG_PAGES {
            // One that is asked for already is enough.
            let _ = due.try_send(());
        }
        Ok(())
    }))?;
    Ok(asked)
}

/// Lays the log of the database at `path` out in its length. What follows its last commit is not read by SQLite: every
/// frame carries a salt and a checksum, and zeros have neither. They are on the disk when this returns: else the first write past
/// the system's cache to each place would wait for theirs.
pub(super) fn lay_out(path: &Path) -> io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut log = File::options().append(true).open(log)?;
    let missing = LOG_BYTES.saturating_sub(log.metadata()?.len());
    io::copy(&mut io::Read::take(io::repeat(0), missing), &mut log)?;
    log.sync_data()
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
