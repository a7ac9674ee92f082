//! Checkpoints: what the write-ahead log holds goes into the database itself, beside the commits instead of in one of
//! them. Knows nothing of what is stored.
//!
//! SQLite would do it within the commit that fills the log, and every message of that batch would wait. Here a thread
//! copies the bulk while commits go on, and holds the writer only for the rest that came meanwhile, so that the next commit
//! may begin the log anew and it stays small. The thread also looks after the database when nobody writes.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use rusqlite::Connection;

use super::files::Files;
use super::reopen::is_failed_sync;
use super::setup;
use super::writer::Writer;

/// How long the log may grow before it is copied, in pages of 4 KiB.
const LOG_PAGES: i32 = 2_048;

/// How long the log may be when it cannot be copied, in pages, before the operator hears of it.
const STUCK_PAGES: i64 = 4 * LOG_PAGES as i64;

/// How often the thread looks after the database, and how long it rests when that is in use by somebody else.
const LOOK: Duration = Duration::from_secs(1);

/// Asks for a checkpoint whenever a commit of this connection leaves the log too long.
pub(super) fn ask_when_due(connection: &mut Connection, files: &Files) -> rusqlite::Result<()> {
    let due = files.due.clone();
    connection.wal_hook(Some(move |_: &mut _, pages| {
        if pages > LOG_PAGES {
            // One that is asked for already is enough.
            let _ = due.try_send(());
        }
        Ok(())
    }))
}

/// Makes checkpoints when asked, until the writer is gone.
pub(super) fn start<T: Send + 'static>(
    files: &Arc<Files>,
    writer: &Arc<Writer<T>>,
    asked: Receiver<()>,
) -> std::io::Result<()> {
    let (files, writer) = (Arc::downgrade(files), Arc::downgrade(writer));
    std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
        let mut stuck = false;
        loop {
            match asked.recv_timeout(LOOK) {
                Ok(()) => {
                    if let Some(is_stuck) = run(&files, &writer, stuck) {
                        stuck = is_stuck;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(writer) = writer.upgrade() else { return };
            writer.look_after();
        }
    })?;
    Ok(())
}

/// One checkpoint. Says whether the log cannot be copied although it is long; the operator hears of it once.
fn run<T>(files: &Weak<Files>, writer: &Weak<Writer<T>>, was_stuck: bool) -> Option<bool> {
    let (files, writer) = (files.upgrade()?, writer.upgrade()?);
    match checkpoint(&files).and_then(|_| writer.hold(|| checkpoint(&files))) {
        Ok(Progress { log, copied }) => {
            let is_stuck = log - copied > STUCK_PAGES;
            if is_stuck && !was_stuck {
                tracing::warn!(
                    pages = log,
                    "the write-ahead log grows: another process has been reading the database for long, and what it sees \
                     cannot be copied"
                );
            }
            Some(is_stuck)
        }
        Err(error) => {
            if is_failed_sync(&error) {
                writer.distrust(&error.to_string());
            }
            tracing::warn!(%error, "a checkpoint failed, the write-ahead log grows until the next");
            None
        }
    }
}

/// How many pages the log has, and how many of them are in the database.
struct Progress {
    log: i64,
    copied: i64,
}

fn checkpoint(files: &Files) -> rusqlite::Result<Progress> {
    let _alone = files.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
    if files.readers.are_closed() {
        return Ok(Progress { log: 0, copied: 0 });
    }
    let connection = setup::open_for_checkpoints(files)?;
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok(Progress { log: row.get(1)?, copied: row.get(2)? }))
}
