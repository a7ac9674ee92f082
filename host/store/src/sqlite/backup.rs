//! Backups: a copy of the database as it is at one moment, while a server writes to it.
//!
//! `VACUUM INTO` reads one snapshot, and the copy is a single file without a log. SQLite's backup interface is no
//! alternative: a process that copies page by page begins anew at each commit of another one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tempfile::NamedTempFile;

use super::archive::{ArchiveError, open_known};
use super::epoch;
use super::replace::{directory_of, give_name, remove, with_suffix};
use super::rows::number;
use super::watch::Watch;
use ondol_host_model::Timestamp;

/// How many steps of SQLite's machine pass between two looks at whether to stop: some hundred rows.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;
/// How often the size of the copy is looked at.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The size of its file.
    pub bytes: u64,
    /// What it holds.
    pub contents: Contents,
}

/// What a database holds, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// The number of rooms.
    pub rooms: u64,
    /// The number of messages.
    pub messages: u64,
    /// The time of the newest message. None: there is no message.
    pub newest: Option<Timestamp>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database cannot be read.
    #[error("{0}: {1}")]
    Database(PathBuf, ArchiveError),
    /// Something has the name of the backup.
    #[error("{0} exists, and a backup overwrites nothing: choose another name")]
    Exists(PathBuf),
    /// The copy could not be made.
    #[error("cannot copy the database to {0}: {1}")]
    Copy(PathBuf, ArchiveError),
    /// The file of the copy could not be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, io::Error),
    /// The caller stopped it.
    #[error("stopped: nothing was written")]
    Stopped,
}

/// Copies a database, as it is at one moment, to a file that must not exist. A server may be running on it. The copy
/// gets its name when it is complete and on disk. After a failure or a `stop` nothing is left; a process that is killed
/// leaves a file whose name ends with `.partial`. Reports bytes.
///
/// # Errors
///
/// If the database cannot be read, or the copy cannot be written.
pub fn backup(database: &Path, to: &Path, watch: &Watch) -> Result<Backup, BackupError> {
    let unwritable = |error| BackupError::Write(to.to_owned(), error);
    let (mut connection, _schema) =
        open_known(database).map_err(|error| BackupError::Database(database.to_owned(), error))?;
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let directory = directory_of(to);
    let partial = partial_file(&directory, to).map_err(unwritable)?;
    let contents = copy(&mut connection, partial.path(), watch).map_err(|error| match error {
        error if is_stop(&error) => BackupError::Stopped,
        error => BackupError::Copy(to.to_owned(), error),
    })?;
    partial.as_file().sync_all().map_err(unwritable)?;
    // Nothing has the old name any more when `partial` is dropped.
    give_name(partial.path(), to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
        _ => unwritable(error),
    })?;
    let bytes = partial.as_file().metadata().map_err(unwritable)?.len();
    Ok(Backup { bytes, contents })
}

/// An empty file, private to this user, which is deleted when it is dropped. Its name begins like that of `to`.
pub(super) fn partial_file(directory: &Path, to: &Path) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(to.file_name().unwrap_or_default());
    prefix.push(".");
    tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(directory)
}

/// Copies the database of a connection into an empty file, with a mark of its own, and counts what the copy holds.
pub(super) fn copy(connection: &mut Connection, to: &Path, watch: &Watch) -> Result<Contents, ArchiveError> {
    let copied = try_copy(connection, to, watch);
    // SQLite leaves its journal if it cannot write to the end.
    let _ = remove(&with_suffix(to, "-journal"));
    copied
}

fn try_copy(connection: &mut Connection, to: &Path, watch: &Watch) -> Result<Contents, ArchiveError> {
    // Absolute, so that SQLite takes no name for a URI.
    let path = std::path::absolute(to).ok().and_then(|path| path.into_os_string().into_string().ok());
    let path = path.ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    look_after(connection, to, watch)?;
    connection.execute("VACUUM INTO ?1", [path])?;
    let copy = Connection::open(to)?;
    // No journal beside the copy: if this fails, the copy is deleted.
    copy.pragma_update(None, "journal_mode", "memory")?;
    epoch::mark_copy(&copy)?;
    let contents = Contents::read(&copy)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(contents)
}

/// Stops the statements of a connection when they are to stop, and reports how large the copy is meanwhile.
fn look_after(connection: &mut Connection, copy: &Path, watch: &Watch) -> rusqlite::Result<()> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| number(row, 0));
    // Without free pages, which the copy leaves out.
    let total = pragma("page_count")?.saturating_sub(pragma("freelist_count")?) * pragma("page_size")?;
    let (copy, watch, mut reported) = (copy.to_owned(), watch.clone(), Instant::now());
    let look = move || {
        if reported.elapsed() >= REPORT_INTERVAL {
            reported = Instant::now();
            (watch.report)(copy.metadata().map_or(0, |file| file.len()), total);
        }
        watch.stops()
    };
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(look))
}

/// Whether a copy failed because it was to stop.
pub(super) fn is_stop(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Store(super::StoreError::Sqlite(error))
        if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted))
}

impl Contents {
    /// Counts. Each schema has these columns.
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let count = |sql: &str| connection.query_row(sql, [], |row| number(row, 0));
        let newest = "SELECT created_at FROM message ORDER BY rowid DESC LIMIT 1";
        let newest = match count(newest) {
            Err(rusqlite::Error::QueryReturnedNoRows) => None,
            found => Some(Timestamp(found?)),
        };
        let (rooms, messages) = (count("SELECT count(*) FROM room")?, count("SELECT count(*) FROM message")?);
        Ok(Self { rooms, messages, newest })
    }
}
