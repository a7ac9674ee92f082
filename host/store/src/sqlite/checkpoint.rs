//! Checkpoints: copying the write-ahead log into the database, beside the commits instead of in one of them.
//!
//! By default SQLite does it within the commit that fills the log, and every message of that batch waits. Here a thread
//! copies the bulk while commits go on, and stops the writer only for the part that was added meanwhile, so that the
//! next commit can restart the log and it stays small. The thread also checks the database when nothing is written.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::database::Database;
use super::files::{Files, LOG_PAGES};
use super::recovery::is_failed_sync;
use super::setup;

/// The length in pages from which on a log that cannot be copied is reported.
const STUCK_PAGES: i64 = 4 * LOG_PAGES as i64;

/// How often the thread checks the database.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Starts the thread. It makes checkpoints when requested, until the database is dropped.
pub(super) fn start(files: &Arc<Files>, database: &Arc<Database>, requested: Receiver<()>) -> std::io::Result<()> {
    let (files, database) = (Arc::downgrade(files), Arc::downgrade(database));
    std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
        let mut is_stuck = false;
        loop {
            match requested.recv_timeout(CHECK_EVERY) {
                Ok(()) => is_stuck = run(&files, &database, is_stuck).unwrap_or(is_stuck),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(database) = database.upgrade() else { return };
            database.check();
        }
    })?;
    Ok(())
}

/// Makes one checkpoint. Returns whether the log is long and cannot be copied, which is logged once; None if unknown.
fn run(files: &Weak<Files>, database: &Weak<Database>, was_stuck: bool) -> Option<bool> {
    let (files, database) = (files.upgrade()?, database.upgrade()?);
    match checkpoint(&files).and_then(|_| database.between_commits(|| checkpoint(&files))) {
        Ok(Progress { log, copied }) => {
            let is_stuck = log - copied > STUCK_PAGES;
            if is_stuck && !was_stuck {
                tracing::warn!(
                    pages = log,
                    "the write-ahead log has grown to {log} pages: another process has been reading the database for \
                     long, and what it sees cannot be copied"
                );
            }
            Some(is_stuck)
        }
        Err(error) => {
            if is_failed_sync(&error) {
                database.checkpoint_sync_failed(&error.to_string());
            }
            tracing::warn!(%error, "checkpoint failed, and the write-ahead log grows until the next one: {error}");
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
    if files.readers.is_closed() {
        return Ok(Progress { log: 0, copied: 0 });
    }
    let connection = setup::open_for_checkpoints(&files.path, files.synchronous)?;
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok(Progress { log: row.get(1)?, copied: row.get(2)? }))
}
