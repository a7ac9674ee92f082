//! Checks a database: SQLite's own structure, and what the store relies on. Reads one snapshot, changes nothing, and
//! needs memory for the rooms, not for the messages.

mod index;
mod messages;
mod retries;

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::StoreError;
use super::archive::{ArchiveError, open_known};
use super::rows::number;
use super::setup::SCHEMA_VERSION;
use crate::verified::{Problems, Verified};

impl Problems {
    /// The damage of a file that SQLite cannot read on. None: the error is another one.
    pub(super) fn of_damage(error: &ArchiveError) -> Option<Self> {
        let ArchiveError::Store(StoreError::Sqlite(error)) = error else { return None };
        let mut problems = Self::default();
        problems.add(|| format!("integrity: {error}"));
        (error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)).then_some(problems)
    }
}

/// Checks a database, which a server may be using. Reports how many looks at messages are done, and of how many, from the
/// moment on when their number is known.
///
/// # Errors
///
/// If the file is missing, is no database of Ondol, or a later server wrote it.
pub fn verify(path: &Path, report: &dyn Fn(u64, u64)) -> Result<Verified, ArchiveError> {
    read(path, report).or_else(|error| match Problems::of_damage(&error) {
        Some(problems) => Ok(Verified { problems, ..Verified::default() }),
        None => Err(error),
    })
}

fn read(path: &Path, report: &dyn Fn(u64, u64)) -> Result<Verified, ArchiveError> {
    let (connection, schema) = open_known(path)?;
    let mut found = Verified { earlier_schema: (schema < SCHEMA_VERSION).then_some(schema), ..Verified::default() };
    // One snapshot for all that follows.
    let snapshot = connection.unchecked_transaction()?;
    structure(&snapshot, &mut found.problems)?;
    // What a damaged file says about its messages is worth nothing.
    if found.problems.count() > 0 {
        return Ok(found);
    }
    let count = |sql: &str| snapshot.query_row(sql, [], |row| number(row, 0));
    found.rooms = count("SELECT count(*) FROM room")?;
    found.messages = count("SELECT count(*) FROM message")?;
    if found.earlier_schema.is_some() {
        return Ok(found);
    }
    found.segments = count("SELECT count(*) FROM run")?;
    if count("SELECT count(*) FROM history")? != 1 {
        found.problems.add(|| "the epoch of the database is missing".to_owned());
    }
    // Each is looked at by SQLite's check, as a message, and by way of the index.
    let (messages, looks) = (found.messages, found.messages.saturating_mul(3));
    messages::check(&snapshot, &mut found.problems, &|done| report(messages + done, looks))?;
    index::check(&snapshot, messages, &mut found.problems, &|done| report(messages * 2 + done, looks))?;
    retries::check(&snapshot, &mut found.problems)?;
    Ok(found)
}

/// SQLite's own check.
fn structure(connection: &Connection, problems: &mut Problems) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let finding: String = row.get(0)?;
        if finding != "ok" {
            problems.add(|| format!("integrity: {}", finding.trim()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
