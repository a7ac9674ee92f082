//! Opening the file: the version of SQLite, the schema, and the settings of each kind of connection.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::IFlags;

use super::replace::directory_of;
use crate::error::StoreError;
use crate::limits::Synchronous;
use ondol_host_process::worker;

/// The first SQLite without the fault of <https://sqlite.org/wal.html#walresetbug>, which could lose commits when a
/// checkpoint coincided with a write.
const SQLITE_NEEDED: &str = "3.51.3";
const SQLITE_NEEDED_NUMBER: i32 = 3_051_003;

/// The schema that this server writes.
pub(super) const SCHEMA_VERSION: i64 = 8;

/// What `user_version` is above the schema's version while an import is unfinished. Servers that know nothing of imports take
/// that for a later schema, and refuse it too.
const HALF_IMPORTED: i64 = 1_000_000;

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 32;

/// The writer's page cache in KiB, enough for the pages of `run` that a few thousand rooms write to. It is allocated as
/// needed.
const WRITER_CACHE_KIB: i64 = 16_384;

/// The size to which SQLite truncates the write-ahead log when it restarts it. A commit into a file that need not grow
/// is cheaper, so this is not zero.
const LOG_KEPT_BYTES: i64 = 12 << 20;

/// How long a connection waits for another process that has locked the file, such as an operator's `sqlite3`.
const LOCKED_MAX: Duration = Duration::from_secs(5);

/// How often the writer tries again meanwhile.
const LOCKED_RETRY: Duration = Duration::from_millis(5);

/// Opens the writer's connection. Creates the file or brings its schema up to date.
pub(super) fn open(path: &Path, synchronous: Synchronous) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_NEEDED_NUMBER {
        return Err(StoreError::SqliteTooOld { found: rusqlite::version().to_owned(), needed: SQLITE_NEEDED });
    }
    if let Err(error) = write_shared_memory_in_place(path) {
        tracing::warn!(
            %error,
            "no-copy-on-write was not set for the database's -shm file, so a full btrfs may kill the server: {error}"
        );
    }
    let mut connection = Connection::open(path)?;
    refuse_newer(&mut connection)?;
    set_up(&mut connection, synchronous)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens the writer's connection to a file that exists and has the current schema.
pub(super) fn open_existing(path: &Path, synchronous: Synchronous) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    set_up(&mut connection, synchronous)?;
    Ok(connection)
}

/// Refuses a database of a later server, and leaves its file as it is: to set a connection up may change it, and so may
/// closing one, which copies the write-ahead log into it.
fn refuse_newer(connection: &mut Connection) -> Result<(), StoreError> {
    connection.busy_handler(Some(wait_for_lock))?;
    keep_log(connection, true)?;
    let found = schema_of(user_version(connection)?);
    if found > SCHEMA_VERSION {
        return Err(StoreError::SchemaTooNew { found, known: SCHEMA_VERSION });
    }
    Ok(keep_log(connection, false)?)
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
    // `checkpoint.rs` does it.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

/// Turns copy-on-write off for the `-shm` file on btrfs. SQLite maps that file into memory; with copy-on-write,
/// changing a page needs free space, and on a full disk a write to the mapping kills the process by SIGBUS.
fn write_shared_memory_in_place(path: &Path) -> std::io::Result<()> {
    const BTRFS: i64 = 0x9123_683E;
    let mut name = path.as_os_str().to_owned();
    name.push("-shm");
    if rustix::fs::statfs(directory_of(path))?.f_type != BTRFS {
        return Ok(());
    }
    // The flag can be set on an empty file only. A file that a killed server left behind has it already.
    let file = File::options().create(true).append(true).open(&name)?;
    let flags = rustix::fs::ioctl_getflags(&file)?;
    if !flags.contains(IFlags::NOCOW) {
        rustix::fs::ioctl_setflags(&file, flags | IFlags::NOCOW)?;
    }
    Ok(())
}

/// Makes a connection keep the write-ahead log when it closes, or not.
pub(super) fn keep_log(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// Waits a little for the lock on the file, until [`LOCKED_MAX`] has passed. The writer waits on a worker and hands the
/// worker's tasks off, because some of them cannot be stolen by other workers.
fn wait_for_lock(times: i32) -> bool {
    // Every time, because on busy CPUs the first hand-off may have found no thread.
    worker::hand_off();
    std::thread::sleep(LOCKED_RETRY);
    LOCKED_RETRY * times.unsigned_abs() < LOCKED_MAX
}

/// Opens a connection for a checkpoint. It waits for no lock: the next checkpoint makes up for one that was prevented.
pub(super) fn open_for_checkpoints(path: &Path, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "synchronous", name_of(synchronous))?;
    Ok(connection)
}

fn name_of(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    }
}

/// How long a start waits for the lock of a server that was there before. A server that is killed while it starts a
/// compiler process leaves the lock with that process until the process has loaded its program, at idle priority.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Reserves the database for this process until the lock is dropped. Two servers on one database would use the same
/// numbers twice.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let path = path.with_extension("lock");
    let unusable = |error: &dyn std::fmt::Display| StoreError::Locked(format!("{}: {error}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(|error| unusable(&error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => std::thread::sleep(LOCKED_RETRY),
            Err(TryLockError::WouldBlock) => return Err(unusable(&"another server is using it")),
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
    }
}

/// Opens a connection for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCKED_MAX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The migration from each version of the schema to the next.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
    include_str!("schema-8.sql"),
];

/// Brings the schema up to date, version by version, in one transaction.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = user_version(&transaction)?;
    let version = schema_of(found);
    let missing = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..));
    for migration in missing.ok_or(StoreError::SchemaTooNew { found: version, known: SCHEMA_VERSION })? {
        transaction.execute_batch(migration)?;
    }
    // An unfinished import stays one.
    transaction.pragma_update(None, "user_version", found - version + SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn user_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The version of the schema of a database with this `user_version`.
pub(super) fn schema_of(user_version: i64) -> i64 {
    if user_version > HALF_IMPORTED { user_version - HALF_IMPORTED } else { user_version }
}

/// Makes all servers refuse the database, or take it again.
pub(super) fn mark_half_imported(connection: &Connection, is_half_imported: bool) -> rusqlite::Result<()> {
    let added = if is_half_imported { HALF_IMPORTED } else { 0 };
    connection.pragma_update(None, "user_version", SCHEMA_VERSION + added)
}

#[cfg(test)]
mod tests;
