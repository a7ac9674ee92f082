//! The epoch: the name of the history that a database holds. Clients remember the last `seq` they saw; if the database
//! went back to an earlier state, its next messages get numbers that some clients know already. So a start that finds
//! that this may have happened gives the database a new epoch, and clients read the history anew.
//!
//! A start finds it by a mark, which the database and a file beside it carry. Each start and each stop renews both. A
//! database that was put back carries an old mark, and a backup one of its own. Under `synchronous = "normal"` a crash of
//! the machine may take the last commits, so an unclean end followed by another boot counts as well.
//!
//! A copy that was made since the last start and put back after a crash carries the right mark. No start can see it.

use std::fs::{File, rename};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::replace::{directory_of, remove, sync_directory};
use crate::error::StoreError;
use crate::limits::Synchronous;

/// The file beside the database.
struct MarkFile {
    path: PathBuf,
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorded {
    /// The mark of the database. There are two while it is renewed.
    marks: Vec<String>,
    /// The boot during which a server that syncs no commit opened the database. None: it was closed, or syncs each commit.
    unsynced_boot: Option<String>,
}

/// The epoch of an open database.
pub(super) struct Epoch {
    name: String,
    file: MarkFile,
    /// What the file says of this life.
    unsynced_boot: Option<String>,
}

impl Epoch {
    /// Finds out whether the database went back, and renews its mark. Under the lock on the data.
    pub(super) fn settle(path: &Path, connection: &Connection, synchronous: Synchronous) -> Result<Self, StoreError> {
        let file = MarkFile::beside(path);
        let boot = boot_id();
        let (name, mark) = read(connection)?;
        let recorded = file.read();
        let reason = doubt(recorded.as_ref(), &mark, boot.as_deref());
        let unsynced_boot = (synchronous == Synchronous::Normal).then(|| boot.unwrap_or_default());
        let (name, renewed) = match reason {
            None => {
                let before = recorded.and_then(|recorded| recorded.unsynced_boot);
                (name, renew(connection, &file, &mark, [before.as_deref(), unsynced_boot.as_deref()]))
            }
            Some(reason) => {
                let epoch = random(connection)?;
                tracing::info!(epoch, "the database has the new epoch {epoch}: {}", reason.words());
                let renewed = change(connection, &file, &epoch, unsynced_boot.as_deref());
                (epoch, renewed)
            }
        };
        if let Err(error) = renewed {
            tracing::warn!(error, "the mark of the database was not renewed: {error}");
        }
        Ok(Self { name, file, unsynced_boot })
    }

    /// The epoch's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Renews the mark at a clean stop, so that a copy made before it counts as an older one.
    pub(super) fn renew(&self, connection: &Connection) {
        let renewed = read(connection)
            .map_err(|error| error.to_string())
            .and_then(|(_, mark)| renew(connection, &self.file, &mark, [self.unsynced_boot.as_deref(), None]));
        if let Err(error) = renewed {
            tracing::warn!(error, "the mark of the database was not renewed: {error}");
        }
    }
}

/// The epoch of a database that no server uses, and whether it is a new one, since the database may have gone back. It is not
/// recorded.
pub(super) fn now(path: &Path, connection: &Connection) -> rusqlite::Result<(String, bool)> {
    let (name, mark) = read(connection)?;
    match doubt(MarkFile::beside(path).read().as_ref(), &mark, boot_id().as_deref()) {
        None => Ok((name, false)),
        Some(_) => Ok((random(connection)?, true)),
    }
}

/// Makes the next start give the database at `path` a new epoch.
///
/// # Errors
///
/// The system's, if the mark's file cannot be removed.
pub(super) fn forget_mark(path: &Path) -> io::Result<()> {
    remove(&MarkFile::beside(path).path)
}

/// Gives a copy of a database a mark that no server has recorded, so that a start finds out when the copy is put back. An
/// earlier schema has no mark, and gets one when it is migrated.
pub(super) fn mark_copy(copy: &Connection) -> rusqlite::Result<()> {
    if copy.table_exists(None, "history")? {
        copy.execute("UPDATE history SET mark = lower(hex(randomblob(8)))", [])?;
    }
    Ok(())
}

/// Why a database may have gone back.
#[derive(Debug, PartialEq, Eq)]
enum Reason {
    NoMark,
    OtherMark,
    Unsynced,
}

impl Reason {
    fn words(&self) -> &'static str {
        match self {
            Self::NoMark => "no file with its mark is beside it",
            Self::OtherMark => "it is an older copy, or a backup",
            Self::Unsynced => {
                "the machine went down while commits did not wait for the disk (synchronous = \"normal\")"
            }
        }
    }
}

/// Why a database with this mark may have gone back, when it is opened during this boot.
fn doubt(recorded: Option<&Recorded>, mark: &str, boot: Option<&str>) -> Option<Reason> {
    recorded.map_or(Some(Reason::NoMark), |recorded| recorded.doubt(mark, boot))
}

impl Recorded {
    /// Why a database with this mark may have gone back, when it is opened during this boot.
    fn doubt(&self, mark: &str, boot: Option<&str>) -> Option<Reason> {
        if !self.marks.iter().any(|recorded| recorded == mark) {
            return Some(Reason::OtherMark);
        }
        self.unsynced_boot.as_deref().is_some_and(|unsynced| Some(unsynced) != boot).then_some(Reason::Unsynced)
    }
}

impl MarkFile {
    fn beside(database: &Path) -> Self {
        Self { path: database.with_extension("mark") }
    }

    /// What the file says. None: there is none, or it is damaged.
    fn read(&self) -> Option<Recorded> {
        let read: Value = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        let marks = read.get("marks")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let unsynced_boot = read.get("unsynced_boot")?.as_str().map(str::to_owned);
        Some(Recorded { marks, unsynced_boot })
    }

    /// Replaces the file, and waits for the disk.
    fn write(&self, marks: &[&str], unsynced_boot: Option<&str>) -> io::Result<()> {
        let new = self.path.with_extension("mark.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", json!({ "marks": marks, "unsynced_boot": unsynced_boot }))?;
        file.sync_all()?;
        rename(&new, &self.path)?;
        sync_directory(&directory_of(&self.path))
    }
}

/// Renews a mark. A crash in between leaves a file with both marks, and either is right; until the new one is alone, commits
/// of before may be unsynced.
fn renew(
    connection: &Connection,
    file: &MarkFile,
    mark: &str,
    [unsynced_before, unsynced_after]: [Option<&str>; 2],
) -> Result<(), String> {
    let renewed = || {
        let next = random(connection)?;
        file.write(&[mark, &next], unsynced_before.or(unsynced_after))?;
        connection.execute("UPDATE history SET mark = ?1", [&next])?;
        file.write(&[&next], unsynced_after)?;
        Ok(())
    };
    renewed().map_err(|error: Box<dyn std::error::Error>| error.to_string())
}

/// Records a new epoch. A crash in between leaves marks that differ, and the next start changes the epoch again.
fn change(connection: &Connection, file: &MarkFile, epoch: &str, unsynced_boot: Option<&str>) -> Result<(), String> {
    let changed = || {
        let next = random(connection)?;
        connection.execute("UPDATE history SET epoch = ?1, mark = ?2", [epoch, &next])?;
        file.write(&[&next], unsynced_boot)?;
        Ok(())
    };
    changed().map_err(|error: Box<dyn std::error::Error>| error.to_string())
}

fn read(connection: &Connection) -> rusqlite::Result<(String, String)> {
    connection.query_row("SELECT epoch, mark FROM history", [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// A name that no other database has.
fn random(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))
}

/// The name of the machine's present boot. None: the system has none.
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Option<&str> = Some("boot-1");

    fn recorded(marks: &[&str], unsynced_boot: Option<&str>) -> Recorded {
        Recorded {
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
            unsynced_boot: unsynced_boot.map(str::to_owned),
        }
    }

    #[test]
    fn a_mark_that_is_not_recorded_is_an_older_copys() {
        assert_eq!(recorded(&["m2"], None).doubt("m2", BOOT), None);
        assert_eq!(recorded(&["m1", "m2"], None).doubt("m1", BOOT), None, "a crash while it was renewed");
        assert_eq!(recorded(&["m2"], None).doubt("m1", BOOT), Some(Reason::OtherMark));
    }

    #[test]
    fn another_boot_after_unsynced_commits_is_a_loss() {
        assert_eq!(recorded(&["m"], BOOT).doubt("m", BOOT), None, "the server alone was killed");
        assert_eq!(recorded(&["m"], BOOT).doubt("m", Some("boot-2")), Some(Reason::Unsynced));
        assert_eq!(recorded(&["m"], Some("")).doubt("m", None), Some(Reason::Unsynced), "a system without boot ids");
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = MarkFile::beside(&directory.path().join("ondol.db"));
        assert_eq!(file.read(), None);
        file.write(&["a", "b"], BOOT).unwrap();
        assert_eq!(file.read(), Some(recorded(&["a", "b"], BOOT)));
        std::fs::write(&file.path, "{\"marks\":").unwrap();
        assert_eq!(file.read(), None, "a damaged file");
    }
}
