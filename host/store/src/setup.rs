//! Opening the file: the version of SQLite, the schema, and the settings of a connection.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::IFlags;

use super::StoreError;
use super::files::Files;
use crate::limits::Synchronous;
use ondol_host_process::worker;

/// The first SQLite without the fault of <https://sqlite.org/wal.html#walresetbug>, which could lose commits when a
/// checkpoint and a writer met.
pub(super) const SQLITE_NEEDED: &str = "3.51.3";
const SQLITE_NEEDED_NUMBER: i32 = 3_051_003;

/// The schema that this server writes.
pub(super) const SCHEMA_VERSION: i64 = 5;

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 32;

/// What the writer keeps of the file in memory, in KiB: the pages of `run` that a few thousand rooms write to. It is taken as it
/// is needed.
const WRITER_CACHE_KIB: i64 = 16_384;

/// How long the write-ahead log's file stays when it is begun anew: a commit into a file that need not grow costs less.
const LOG_KEPT_BYTES: i64 = 12 << 20;

/// How long a connection waits for whoever has locked the file, such as an operator with a tool of SQLite's.
const LOCKED_MAX: Duration = Duration::from_secs(5);

/// How often the writer looks whether it still is.
const LOCKED_LOOK: Duration = Duration::from_millis(5);

/// The writer's connection, on a file whose schema is up to date.
pub(super) fn open(files: &Files) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_NEEDED_NUMBER {
        return Err(StoreError::TooOld(rusqlite::version().to_owned()));
    }
    if let Err(error) = keep_shared_memory_in_place(&files.path) {
        tracing::warn!(%error, "a full btrfs may end the server: the database's -shm file cannot be kept in place");
    }
    let mut connection = Connection::open(&files.path)?;
    set_up(&mut connection, files.synchronous)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// The same for a file that must be there.
pub(super) fn open_existing(files: &Files) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&files.path, flags)?;
    set_up(&mut connection, files.synchronous)?;
    Ok(connection)
}

fn set_up(connection: &mut Connection, synchronous: Synchronous) -> Result<(), StoreError> {
    connection.busy_handler(Some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoLog(mode));
    }
    connection.pragma_update(None, "synchronous", name_of(synchronous))?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    // See `checkpoint.rs`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

/// Has the `-shm` file, which SQLite maps into memory, written in place on btrfs. Copying on write needs room for a page that
/// is only changed, and where there is none, a store into the mapping ends the process by SIGBUS.
fn keep_shared_memory_in_place(path: &Path) -> std::io::Result<()> {
    const BTRFS: i64 = 0x9123_683E;
    let mut name = path.as_os_str().to_owned();
    name.push("-shm");
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if rustix::fs::statfs(directory)?.f_type != BTRFS {
        return Ok(());
    }
    // Only an empty file takes the flag. One that a killed server left behind has it.
    let file = File::options().create(true).append(true).open(&name)?;
    let flags = rustix::fs::ioctl_getflags(&file)?;
    if !flags.contains(IFlags::NOCOW) {
        rustix::fs::ioctl_setflags(&file, flags | IFlags::NOCOW)?;
    }
    Ok(())
}

/// Makes a connection leave the write-ahead log as it is when it closes.
pub(super) fn leave_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// Waits a little for whoever has locked the file; not when that was done so many times. The writer waits on a worker, which
/// it leaves to others: some of what waits there, no other worker could take.
fn wait_for_lock(times: i32) -> bool {
    // Each time: where the CPUs are busy, no thread may have taken the worker over at the first.
    worker::hand_off();
    std::thread::sleep(LOCKED_LOOK);
    LOCKED_LOOK * times.unsigned_abs() < LOCKED_MAX
}

/// A connection for checkpoints. It waits for nobody: there is always a next time.
pub(super) fn open_for_checkpoints(files: &Files) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&files.path, flags)?;
    connection.pragma_update(None, "synchronous", name_of(files.synchronous))?;
    Ok(connection)
}

fn name_of(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    }
}

/// Takes the file for this process alone, until the lock is dropped. Two servers on one file would give the same numbers
/// twice.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let path = path.with_extension("lock");
    let unusable = |error: &dyn std::fmt::Display| StoreError::Locked(format!("{}: {error}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(|error| unusable(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unusable(&"another server has it")),
        Err(TryLockError::Error(error)) => Err(unusable(&error)),
    }
}

/// A connection for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCKED_MAX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// What leads from each version of the schema to the next.
const STEPS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
];

/// Brings the schema up, a version at a time, all in one transaction.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = usize::try_from(version).ok().and_then(|version| STEPS.get(version..));
    for step in missing.ok_or(StoreError::FromLater(version))? {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
