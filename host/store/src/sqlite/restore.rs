//! Puts a backup in the place of the database. At each moment the directory holds one whole database under its name, the
//! one from before or the backup, and no log that belongs to another one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::NamedTempFile;

use super::archive::{ArchiveError, open_known};
use super::backup::{Contents, copy, is_stop, partial_file};
use super::epoch::forget_mark;
use super::replace::{directory_of, like_its_directory, remove, second_name, sync_directory, with_suffix};
use super::verify::verify;
use super::watch::Watch;
use super::{StoreError, setup};
use crate::verified::Problems;
use ondol_host_model::Timestamp;

/// How long to wait until other programs let go of the database.
const IN_USE_MAX: Duration = Duration::from_secs(1);

/// A finished restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the database holds now.
    pub contents: Contents,
    /// Where the database from before is. None: there was none.
    pub before: Option<PathBuf>,
}

/// Why nothing was restored. The database is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The lock on the data is taken.
    #[error("{0}; stop the server first (and its socket unit)")]
    Running(StoreError),
    /// Another program has the database open.
    #[error("another program has {0} open, such as sqlite3 or Litestream: end it first")]
    InUse(PathBuf),
    /// The file is no backup.
    #[error("{0}: {1}")]
    Backup(PathBuf, ArchiveError),
    /// The backup is broken.
    #[error("{0} is damaged, so the database stays as it is: {1}")]
    Damaged(PathBuf, Problems),
    /// The files of the data could not be changed.
    #[error("cannot {0}: {1}")]
    Files(&'static str, io::Error),
    /// The caller stopped it.
    #[error("stopped: the database is unchanged")]
    Stopped,
}

/// Checks a backup, and puts a copy of it in the place of a database. The database from before stays beside it.
///
/// # Errors
///
/// If a server is running, the file is no sound backup, or the files cannot be written. The database is unchanged then.
pub fn restore(from: &Path, database: &Path, watch: &Watch) -> Result<Restored, RestoreError> {
    let failed = |what| move |error| RestoreError::Files(what, error);
    let unusable = |error| match error {
        error if is_stop(&error) => RestoreError::Stopped,
        error => match Problems::of_damage(&error) {
            Some(problems) => RestoreError::Damaged(from.to_owned(), problems),
            None => RestoreError::Backup(from.to_owned(), error),
        },
    };
    let (mut backup, _schema) = open_known(from).map_err(unusable)?;
    // Held to the end: no server starts meanwhile.
    let lock = setup::lock(database).map_err(RestoreError::Running)?;

    // A crash from here on leaves a file whose name ends with `.partial`, and the database as it was.
    let directory = directory_of(database);
    let partial = partial_file(&directory, database).map_err(failed("write the copy"))?;
    // Through SQLite, so that a log beside the backup is part of the copy.
    let contents = copy(&mut backup, partial.path(), &watch.half(false)).map_err(unusable)?;
    // The database itself may be the file that is restored.
    drop(backup);
    let checked = verify(partial.path(), &*watch.half(true).report).map_err(unusable)?;
    if checked.problems.count() > 0 {
        return Err(RestoreError::Damaged(from.to_owned(), checked.problems));
    }
    for file in [&lock, partial.as_file()] {
        like_its_directory(file, &directory).map_err(failed("give the files to the owner of the data directory"))?;
    }
    partial.as_file().sync_all().map_err(failed("write the copy"))?;
    let before = exchange(partial, database, &directory)?;
    drop(lock);
    Ok(Restored { contents, before })
}

/// Puts a complete copy in the place of the database.
fn exchange(copy: NamedTempFile, database: &Path, directory: &Path) -> Result<Option<PathBuf>, RestoreError> {
    let failed = |what| move |error| RestoreError::Files(what, error);
    let [log, shared_memory] = ["-wal", "-shm"].map(|suffix| with_suffix(database, suffix));
    // After a crash here the database is one file, with everything in it.
    let is_folded = fold_log_in(database)?;
    if is_folded && log.exists() {
        return Err(RestoreError::InUse(database.to_owned()));
    }

    // After a crash here the database has two names. The second one is a spare: delete it, or restore again.
    let time: String = Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let before = with_suffix(database, &format!(".before-restore-{time}"));
    let existed = database.exists();
    if existed {
        second_name(database, &before).map_err(failed("keep the database from before"))?;
    }
    // Only a damaged database still has a log: SQLite would copy it into the backup. After a crash here the damaged
    // database lacks its latest commits, which are in the log beside its second name.
    if log.exists() {
        fs::rename(&log, with_suffix(&before, "-wal")).map_err(failed("keep the log from before"))?;
    }
    remove(&shared_memory).map_err(failed("remove the old -shm file"))?;
    // Without the mark the next start gives the database a new epoch. After a crash here that is the database from
    // before, whose clients then read its history again.
    forget_mark(database).map_err(failed("remove the old mark"))?;
    sync_directory(directory).map_err(failed("sync the data directory"))?;

    copy.persist(database).map_err(|error| RestoreError::Files("put the copy in place", error.error))?;
    sync_directory(directory).map_err(failed("sync the data directory"))?;
    Ok(existed.then_some(before))
}

/// Copies the write-ahead log into the database and removes it. False: there is no database, or it is too damaged, and then
/// the log stays.
fn fold_log_in(database: &Path) -> Result<bool, RestoreError> {
    if !database.exists() {
        return Ok(false);
    }
    let fold = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(IN_USE_MAX)?;
        setup::keep_log(&connection, true)?;
        let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        setup::keep_log(&connection, false)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok::<bool, rusqlite::Error>(is_busy)
    };
    match fold() {
        Ok(false) => Ok(true),
        Ok(true) => Err(RestoreError::InUse(database.to_owned())),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ok(false),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Err(RestoreError::InUse(database.to_owned())),
            _ => Err(RestoreError::Files("close the database from before", io::Error::other(error))),
        },
    }
}
