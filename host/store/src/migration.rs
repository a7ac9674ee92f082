//! Moving a database from a file into PostgreSQL: copies it in one transaction, reads both back, compares them, and commits.
//! Knows the tables that move; how each database reads and writes them is theirs.

mod error;
mod tables;
mod tally;
mod value;

pub use error::MigrateError;
pub(crate) use tables::{CHECKED_TABLES, CLIENT_MESSAGE, COMPONENT, DIRECTORY, MESSAGE, ROOM, SENDER, Table};
pub(crate) use tally::{MessageTallies, Tally, digest};
pub(crate) use value::{Kind, Row, Value};

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::postgres::{MigrationTarget, PostgresConfig};
use crate::sqlite::MigrationSource;

/// The most rows, and about the most bytes, that are read before they are written.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 << 20;

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The number of rooms.
    pub rooms: u64,
    /// The number of messages.
    pub messages: u64,
    /// The number of handlers' versions.
    pub versions: u64,
    /// The number of releases.
    pub releases: u64,
    /// How many characters U+0000 were replaced by U+FFFD.
    pub replaced: u64,
    /// Whether the database may have gone back since its last start, so that it got a new epoch.
    pub has_new_epoch: bool,
}

/// To whom the work reports its step, how much of it is done, and of how much: 0 as long as that is unknown.
pub type MigrateReport<'a> = dyn FnMut(&'static str, u64, u64) + 'a;

/// Moves a database of a file, which no server may use, into an empty one of PostgreSQL. The file stays as it is. After an
/// error, a stop or a crash PostgreSQL is as it was. Not on a runtime: it waits.
///
/// # Errors
///
/// If a server runs on either database, the file is missing, of an earlier server or damaged, PostgreSQL cannot be reached or
/// its database is not empty, or what it holds afterwards differs.
pub fn migrate(
    from: &Path,
    to: &PostgresConfig,
    stop: &AtomicBool,
    report: &mut MigrateReport<'_>,
) -> Result<Migrated, MigrateError> {
    Move { stop, report }.run(from, to)
}

/// A move on its way.
struct Move<'a, 'r> {
    stop: &'a AtomicBool,
    report: &'a mut MigrateReport<'r>,
}

impl Move<'_, '_> {
    fn run(&mut self, from: &Path, to: &PostgresConfig) -> Result<Migrated, MigrateError> {
        let mut source = MigrationSource::open(from, &to.host)?;
        // Before the long work: a wrong password or a database that is in use is told at once.
        let target = MigrationTarget::open(to)?;
        source.check(&mut |done, total| (self.report)("checking", done, total))?;
        self.refuse_if_stopped()?;
        let messages = source.read_messages(&mut |done, total| self.step("reading", done, total))?;
        let total = messages.count();
        let mut moved = Migrated { messages: total, ..Migrated::default() };
        for table in [&MESSAGE].into_iter().chain(CHECKED_TABLES) {
            let copied = self.copy(&source, &target, table, &messages)?;
            self.compare(&target, table, &messages, &copied)?;
            match table.name {
                "room" => moved.rooms = copied.rows(),
                "version" => moved.versions = copied.rows(),
                "release" => moved.releases = copied.rows(),
                _ => {}
            }
        }
        let heads = source.heads(&messages)?;
        target.settle(&heads)?;
        (moved.replaced, moved.has_new_epoch) = (source.replaced(), heads.has_new_epoch);
        self.refuse_if_stopped()?;
        target.commit()?;
        Ok(moved)
    }

    /// Copies a table. Returns what was written.
    fn copy(
        &mut self,
        source: &MigrationSource,
        target: &MigrationTarget,
        table: &'static Table,
        messages: &MessageTallies,
    ) -> Result<Tally, MigrateError> {
        let (mut tally, mut done) = (Tally::default(), 0);
        let (mut rows, mut bytes) = (Vec::with_capacity(ROWS_MAX), 0);
        let mut writer = target.write(table)?;
        source.rows(table, messages, &mut |row: Row| {
            tally.add(&row);
            bytes += row.iter().map(Value::len).sum::<usize>();
            rows.push(row);
            if rows.len() < ROWS_MAX && bytes < BYTES_MAX {
                return Ok(());
            }
            writer.write(&rows)?;
            done += rows.len() as u64;
            rows.clear();
            bytes = 0;
            match table.name {
                name if name == MESSAGE.name => self.step("copying", done, messages.count()),
                // Of them it is not known how many there are.
                _ => self.step("copying what is beside the messages", 0, 0),
            }
        })?;
        writer.write(&rows)?;
        writer.finish()?;
        Ok(tally)
    }

    /// Reads a table back, and compares it with what was read of the file.
    fn compare(
        &mut self,
        target: &MigrationTarget,
        table: &'static Table,
        messages: &MessageTallies,
        copied: &Tally,
    ) -> Result<(), MigrateError> {
        let (mut found, mut found_messages) = (Tally::default(), MessageTallies::default());
        let total = messages.count();
        target.read(table, &mut |row: Row| {
            if table.name != MESSAGE.name {
                found.add(&row);
                return Ok(());
            }
            found_messages.add(&row);
            match found_messages.count() {
                count if count.is_multiple_of(ROWS_MAX as u64) => self.step("comparing", count, total),
                _ => Ok(()),
            }
        })?;
        if table.name == MESSAGE.name {
            return messages.difference(&found_messages).map_or(Ok(()), |found| Err(MigrateError::Differs(found)));
        }
        if *copied == found {
            return Ok(());
        }
        let (name, read, there) = (table.name, copied.rows(), found.rows());
        Err(MigrateError::Differs(format!("the table {name}: {read} rows were read, and {there} are there")))
    }

    fn step(&mut self, step: &'static str, done: u64, total: u64) -> Result<(), MigrateError> {
        (self.report)(step, done, total);
        self.refuse_if_stopped()
    }

    fn refuse_if_stopped(&self) -> Result<(), MigrateError> {
        if self.stop.load(Ordering::Relaxed) { Err(MigrateError::Stopped) } else { Ok(()) }
    }
}

/// What the new database goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) epoch: String,
    pub(crate) has_new_epoch: bool,
    /// The lowest id of a message that is free.
    pub(crate) first_free_id: i64,
    /// For each table that numbers its rows: the highest number that was ever used, 0 if none was.
    pub(crate) numbers: Vec<(&'static str, &'static str, i64)>,
}

#[cfg(test)]
mod tests;
