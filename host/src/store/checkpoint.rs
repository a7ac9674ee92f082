//! Checkpoints: what the write-ahead log holds goes into the database itself, beside the commits instead of in one of
//! them. Knows nothing of what is stored.
//!
//! SQLite would do it within the commit that fills the log, and every message of that batch would wait. Here a thread
//! copies the bulk while commits go on, and holds the writer only for the rest that came meanwhile, so that the next commit
//! may begin the log anew and it stays small.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::writer::Writer;

/// How long the log may grow before it is copied, in pages of 4 KiB.
const LOG_PAGES: i32 = 2_048;

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
