//! The handlers' versions and releases, kept so that a start or a way back needs no file. Knows them as texts and bytes:
//! what a version is, and which may be active, is decided elsewhere.
//!
//! Everything here waits for the disk, so it is not for a worker. A version's bytes are written in a transaction of their
//! own, before the one that makes it part of a release: that one is small, and either happened or did not. Messages wait
//! for each of these meanwhile, so none does more than it must.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::stored;
use super::{Store, StoreError};
use ondol_host_model::Timestamp;

/// A version, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// What there is to know without its bytes.
    pub about: AboutVersion,
    /// The component.
    pub wasm: Vec<u8>,
}

/// A version without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutVersion {
    /// Its 64 digits.
    pub id: String,
    /// Whose version it is.
    pub handler: String,
    /// The SHA-256 of its component, 64 digits.
    pub component: String,
    /// Its settings: an object of texts, as JSON.
    pub settings: String,
    /// Its cases, as TOML.
    pub cases: Option<String>,
    /// How long its component is.
    pub bytes: u64,
    /// When it was first deployed.
    pub first_seen: Timestamp,
    /// When it last became active.
    pub last_active: Timestamp,
}

/// Three versions that were to answer together, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRelease {
    /// Its number, from 1.
    pub number: u64,
    /// Rooms, messages, events: ids of 64 digits.
    pub versions: [String; 3],
    /// Who wanted it.
    pub who: String,
    /// In which way: `deploy`, `directory`, `rollback` …
    pub how: String,
    /// In their words.
    pub why: String,
    /// The release that it went back to.
    pub back_to: Option<u64>,
    /// When.
    pub created_at: Timestamp,
    /// `active`, `replaced`, `rolled_back`, `refused` or `broken`.
    pub outcome: String,
    /// What led to the outcome.
    pub detail: Option<String>,
}

/// A release to be recorded.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Rooms, messages, events: ids of 64 digits.
    pub versions: [String; 3],
    /// Who wants it.
    pub who: String,
    /// In which way.
    pub how: String,
    /// In their words.
    pub why: String,
    /// The release that it goes back to.
    pub back_to: Option<u64>,
    /// What becomes of the release that it takes the place of: `replaced`, `rolled_back` or `broken`.
    pub left: String,
    /// Why that is left.
    pub left_detail: Option<String>,
}

/// What the watched directory and the config say of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The handler.
    pub handler: String,
    /// The SHA-256 of the file, 64 digits.
    pub sha256: String,
    /// The settings of the config, as JSON.
    pub settings: String,
}

/// How many marks of bad versions are kept. There is one for each version that failed in use.
const MARKS_MAX: usize = 1_000;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Versions of each handler.
    pub versions_max: usize,
    /// Releases that ran, and as many that were refused.
    pub releases_max: usize,
}

impl<T: Send + 'static> Store<T> {
    /// Keeps a version. One that is kept already gets its bytes again, which mends what the disk has broken.
    ///
    /// # Errors
    ///
    /// SQLite's error, or that the store is closed. Like all errors of this file.
    pub fn keep_version(&self, version: StoredVersion) -> Result<(), StoreError> {
        self.writer.run(move |connection| Ok(keep(connection, version)?))
    }

    /// Records that a release is active, and what became of the one before; keeps those of its versions that are `fresh`,
    /// and forgets the versions and releases that nobody needs any more. Gives its number.
    pub fn record_release(
        &self,
        fresh: Vec<StoredVersion>,
        release: NewRelease,
        kept: Kept,
    ) -> Result<u64, StoreError> {
        for version in fresh {
            self.writer.run(move |connection| Ok(keep(connection, version)?))?;
        }
        let versions = release.versions.clone();
        let number = self.writer.run(move |connection| Ok(activate(connection, &release)?))?;
        self.writer.answered_release(number);
        let forgotten = self.writer.run(move |connection| Ok(forget(connection, &versions, kept)?));
        if let Err(error) = forgotten {
            tracing::warn!(%error, "versions that nobody needs are kept until the next release");
        }
        Ok(number)
    }

    /// Records a release that was wanted and did not come to be. Refusals of one handler's file that follow one another are
    /// one release, the latest: a file may be written in many steps, and each is another one.
    pub fn record_refused(&self, release: NewRelease, reason: String, kept: Kept) -> Result<(), StoreError> {
        self.writer.run(move |connection| {
            let transaction = connection.transaction()?;
            if !refuse_again(&transaction, &release, &reason)? {
                insert(&transaction, &release, "refused", Some(&reason))?;
                forget_releases(&transaction, kept)?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Marks a version that is not to be active again, with what speaks against it; or, without evidence, forgives it.
    pub fn mark_version(&self, id: String, evidence: Option<String>) -> Result<(), StoreError> {
        self.writer.run(move |connection| {
            match evidence {
                Some(evidence) => connection.execute(
                    "INSERT OR REPLACE INTO bad_version (id, evidence, marked_at) VALUES (?1, ?2, ?3)",
                    params![id, evidence, stored(Timestamp::now().0)],
                )?,
                None => connection.execute("DELETE FROM bad_version WHERE id = ?1", params![id])?,
            };
            connection.execute(
                "DELETE FROM bad_version WHERE id NOT IN \
                 (SELECT id FROM bad_version ORDER BY marked_at DESC, rowid DESC LIMIT ?1)",
                params![stored(MARKS_MAX as u64)],
            )?;
            Ok(())
        })
    }

    /// Remembers what the directory and the config said.
    pub fn remember_seen(&self, seen: Seen) -> Result<(), StoreError> {
        self.writer.run(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO directory (handler, sha256, settings) VALUES (?1, ?2, ?3)",
                params![seen.handler, seen.sha256, seen.settings],
            )?;
            Ok(())
        })
    }

    /// What the directory and the config said last.
    pub fn seen(&self) -> Result<Vec<Seen>, StoreError> {
        self.files.readers.read_here(|connection| {
            let mut statement = connection.prepare_cached("SELECT handler, sha256, settings FROM directory")?;
            let seen = |row: &Row<'_>| Ok(Seen { handler: row.get(0)?, sha256: row.get(1)?, settings: row.get(2)? });
            statement.query_map([], seen)?.collect()
        })
    }

    /// The versions that are not to be active again, with what speaks against each.
    pub fn bad_versions(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.files.readers.read_here(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, evidence FROM bad_version")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Releases with numbers below `before`, the latest first.
    pub fn releases(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.files.readers.read_here(move |connection| {
            let sql = concat!(release_columns!(), " WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
            let before = before.map_or(i64::MAX, stored);
            connection.prepare_cached(sql)?.query_map((before, stored(limit as u64)), read_release)?.collect()
        })
    }

    /// The same without those that were refused, which never ran.
    pub fn releases_that_ran(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.files.readers.read_here(move |connection| {
            let sql = concat!(release_columns!(), " WHERE id < ?1 AND outcome <> 'refused' ORDER BY id DESC LIMIT ?2");
            let before = before.map_or(i64::MAX, stored);
            connection.prepare_cached(sql)?.query_map((before, stored(limit as u64)), read_release)?.collect()
        })
    }

    /// The release that is recorded as active.
    pub fn active_release(&self) -> Result<Option<StoredRelease>, StoreError> {
        self.files.readers.read_here(active_release)
    }

    /// A version, whole.
    pub fn version(&self, id: String) -> Result<Option<StoredVersion>, StoreError> {
        self.files.readers.read_here(move |connection| version(connection, &id))
    }

    /// The versions whose ids begin with `prefix`, of all handlers; the last active first.
    pub fn versions(&self, prefix: String) -> Result<Vec<AboutVersion>, StoreError> {
        self.files.readers.read_here(move |connection| {
            let sql =
                concat!(version_columns!(), " WHERE substr(id, 1, ?1) = ?2 ORDER BY last_active DESC, first_seen DESC");
            let length = stored(prefix.len() as u64);
            connection.prepare_cached(sql)?.query_map((length, prefix), read_about)?.collect()
        })
    }
}

macro_rules! release_columns {
    () => {
        "SELECT id, rooms, messages, events, who, how, why, back_to, created_at, outcome, detail FROM release"
    };
}

// The length of a BLOB is read without the BLOB.
macro_rules! version_columns {
    ($($more:literal)?) => {
        concat!(
            "SELECT id, handler, component, settings, cases, length(wasm), first_seen, last_active",
            $($more,)?
            " FROM version JOIN component ON sha256 = component"
        )
    };
}

use {release_columns, version_columns};

/// The release that is recorded as active.
pub(super) fn active_release(connection: &Connection) -> rusqlite::Result<Option<StoredRelease>> {
    let sql = concat!(release_columns!(), " WHERE outcome = 'active'");
    connection.prepare_cached(sql)?.query_row([], read_release).optional()
}

/// A version, whole.
pub(super) fn version(connection: &Connection, id: &str) -> rusqlite::Result<Option<StoredVersion>> {
    let sql = concat!(version_columns!(", wasm"), " WHERE id = ?1");
    let version = |row: &Row<'_>| Ok(StoredVersion { about: read_about(row)?, wasm: row.get(8)? });
    connection.prepare_cached(sql)?.query_row([id], version).optional()
}

fn read_release(row: &Row<'_>) -> rusqlite::Result<StoredRelease> {
    Ok(StoredRelease {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        versions: [row.get(1)?, row.get(2)?, row.get(3)?],
        who: row.get(4)?,
        how: row.get(5)?,
        why: row.get(6)?,
        back_to: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
        created_at: Timestamp(row.get::<_, i64>(8)?.unsigned_abs()),
        outcome: row.get(9)?,
        detail: row.get(10)?,
    })
}

fn read_about(row: &Row<'_>) -> rusqlite::Result<AboutVersion> {
    Ok(AboutVersion {
        id: row.get(0)?,
        handler: row.get(1)?,
        component: row.get(2)?,
        settings: row.get(3)?,
        cases: row.get(4)?,
        bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        first_seen: Timestamp(row.get::<_, i64>(6)?.unsigned_abs()),
        last_active: Timestamp(row.get::<_, i64>(7)?.unsigned_abs()),
    })
}

fn insert(connection: &Connection, release: &NewRelease, outcome: &str, detail: Option<&str>) -> rusqlite::Result<u64> {
    let [rooms, messages, events] = &release.versions;
    let mut statement = connection.prepare_cached(
        "INSERT INTO release (rooms, messages, events, who, how, why, back_to, created_at, outcome, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        rooms,
        messages,
        events,
        release.who,
        release.how,
        release.why,
        release.back_to.map(stored),
        stored(Timestamp::now().0),
        outcome,
        detail,
    ])?;
    Ok(connection.last_insert_rowid().unsigned_abs())
}

/// Writes a version and its bytes.
fn keep(connection: &mut Connection, version: StoredVersion) -> rusqlite::Result<()> {
    let StoredVersion { about, wasm } = version;
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO component (sha256, wasm) VALUES (?1, ?2) \
         ON CONFLICT (sha256) DO UPDATE SET wasm = excluded.wasm WHERE wasm <> excluded.wasm",
        params![about.component, wasm],
    )?;
    transaction.execute(
        "INSERT INTO version (id, handler, component, settings, cases, first_seen, last_active) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
         ON CONFLICT (id) DO UPDATE SET cases = coalesce(excluded.cases, cases)",
        params![about.id, about.handler, about.component, about.settings, about.cases, stored(Timestamp::now().0)],
    )?;
    transaction.commit()
}

/// Makes a release the active one.
fn activate(connection: &mut Connection, release: &NewRelease) -> rusqlite::Result<u64> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "UPDATE release SET outcome = ?1, detail = coalesce(?2, detail) WHERE outcome = 'active'",
        params![release.left, release.left_detail],
    )?;
    let number = insert(&transaction, release, "active", None)?;
    for id in &release.versions {
        let sql = "UPDATE version SET last_active = ?1 WHERE id = ?2";
        transaction.execute(sql, params![stored(Timestamp::now().0), id])?;
    }
    transaction.commit()?;
    Ok(number)
}

/// Forgets what is over the limits. The active versions are kept whatever happens.
fn forget(connection: &mut Connection, active: &[String; 3], kept: Kept) -> rusqlite::Result<()> {
    let [rooms, messages, events] = active;
    let transaction = connection.transaction()?;
    for handler in ["rooms", "messages", "events"] {
        transaction.execute(
            "DELETE FROM version WHERE handler = ?1 AND id NOT IN (?2, ?3, ?4) AND id NOT IN \
             (SELECT id FROM version WHERE handler = ?1 ORDER BY last_active DESC, rowid DESC LIMIT ?5)",
            params![handler, rooms, messages, events, stored(kept.versions_max as u64)],
        )?;
    }
    transaction.execute("DELETE FROM component WHERE sha256 NOT IN (SELECT component FROM version)", [])?;
    forget_releases(&transaction, kept)?;
    transaction.commit()
}

/// Forgets releases over the limit. Refused ones are counted apart, so that they do not push out what a rollback needs.
fn forget_releases(connection: &Connection, kept: Kept) -> rusqlite::Result<()> {
    for refused in [true, false] {
        connection.execute(
            "DELETE FROM release WHERE (outcome = 'refused') = ?1 AND outcome <> 'active' AND id NOT IN \
             (SELECT id FROM release WHERE (outcome = 'refused') = ?1 ORDER BY id DESC LIMIT ?2)",
            params![refused, stored(kept.releases_max as u64)],
        )?;
    }
    Ok(())
}

/// Where the last release is a refused one of the same handler, and both come from the directory, it takes the place of that.
/// False: it does not.
fn refuse_again(connection: &Connection, release: &NewRelease, reason: &str) -> rusqlite::Result<bool> {
    let [rooms, messages, events] = &release.versions;
    let changed = connection.execute(
        "UPDATE release SET rooms = ?1, messages = ?2, events = ?3, why = ?4, created_at = ?5, detail = ?6 \
         WHERE id = (SELECT max(id) FROM release) AND outcome = 'refused' AND how = ?7 AND how = 'directory' \
         AND (rooms = ?1) + (messages = ?2) + (events = ?3) >= 2",
        params![rooms, messages, events, release.why, stored(Timestamp::now().0), reason, release.how],
    )?;
    Ok(changed > 0)
}

#[cfg(test)]
mod tests;
