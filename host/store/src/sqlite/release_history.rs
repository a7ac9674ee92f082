//! Versions and releases, recorded so that a start or a rollback needs no file.
//!
//! Every call waits for the disk, so none belongs on a worker. A component is saved piece by piece, before the
//! transaction that makes its version part of a release: that one is small, and is either on disk or not. Messages wait for
//! each of these transactions, so each does as little as possible.

use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Row, params};

use super::database::Database;
use super::readers::Readers;
use super::release_events;
use super::releases;
use super::rows::to_sql;
use super::versions;
use crate::error::StoreError;
use crate::records::{
    AboutVersion, BLOCKED_MAX, DirectorySnapshot, ReleaseRecord, Retention, StoredEvent, StoredRelease, StoredVersion,
};
use ondol_host_model::Timestamp;

/// The versions and releases of the database.
pub(crate) struct ReleaseHistory {
    database: Arc<Database>,
    readers: Arc<Readers>,
}

impl ReleaseHistory {
    pub(super) fn new(database: Arc<Database>, readers: Arc<Readers>) -> Self {
        Self { database, readers }
    }

    /// Saves a version. If it is stored already, its component is written again, which repairs a damaged one.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`], as for all methods below.
    pub(crate) fn save_version(&self, version: &StoredVersion) -> Result<(), StoreError> {
        for piece in versions::pieces(&version.wasm) {
            let began = Instant::now();
            let component = &version.about.component;
            self.database.write(|connection| Ok(versions::save_piece(connection, component, piece)?))?;
            // Messages have as long for themselves: a lock that is released and taken at once may pass them by.
            if piece.0 > 0 {
                std::thread::sleep(began.elapsed());
            }
        }
        self.database.write(|connection| Ok(versions::save(connection, version)?))
    }

    /// Saves the versions that are `new`, records a release as active, with the outcome of the one before, and deletes
    /// what exceeds the retention. Returns the release's number. The release that it was made over has to be active.
    pub(crate) fn record(
        &self,
        new: &[StoredVersion],
        release: ReleaseRecord,
        retention: Retention,
    ) -> Result<u64, StoreError> {
        new.iter().try_for_each(|version| self.save_version(version))?;
        let active = release.versions.clone();
        let number = self.database.write(move |connection| Ok(releases::activate(connection, &release)?))?;
        let number = number.map_err(|active| StoreError::Overtaken { active })?;
        self.database.acknowledge_release(number);
        let pruned = self.database.write(move |connection| Ok(releases::prune(connection, &active, retention)?));
        if let Err(error) = pruned {
            tracing::warn!(
                release = number,
                %error,
                "old versions not deleted after release {number}; the next release tries again: {error}"
            );
        }
        Ok(number)
    }

    /// Records a rejected release. Consecutive rejections of one handler's file are recorded as one release, the
    /// latest: a file may be written in many steps, and each step is offered.
    pub(crate) fn record_rejected(
        &self,
        release: ReleaseRecord,
        detail: String,
        retention: Retention,
    ) -> Result<(), StoreError> {
        self.database.write(move |connection| Ok(releases::reject(connection, &release, &detail, retention)?))
    }

    /// Blocks a version, with the evidence against it. Without evidence: lifts the block.
    pub(crate) fn set_blocked(&self, id: String, evidence: Option<String>) -> Result<(), StoreError> {
        self.database.write(move |connection| {
            match evidence {
                Some(evidence) => connection.execute(
                    "INSERT OR REPLACE INTO bad_version (id, evidence, marked_at) VALUES (?1, ?2, ?3)",
                    params![id, evidence, to_sql(Timestamp::now().0)],
                )?,
                None => connection.execute("DELETE FROM bad_version WHERE id = ?1", params![id])?,
            };
            connection.execute(
                "DELETE FROM bad_version WHERE id NOT IN \
                 (SELECT id FROM bad_version ORDER BY marked_at DESC, rowid DESC LIMIT ?1)",
                params![to_sql(BLOCKED_MAX)],
            )?;
            Ok(())
        })
    }

    /// The blocked versions, each with the evidence against it.
    pub(crate) fn blocked_versions(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.readers.read_blocking(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, evidence FROM bad_version")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// Records something that befell a release.
    pub(crate) fn record_event(&self, event: StoredEvent) -> Result<(), StoreError> {
        self.database.write(move |connection| Ok(release_events::insert(connection, &event)?))
    }

    /// What befell the releases from `first` to `last`, in its order.
    pub(crate) fn events(&self, first: u64, last: u64) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read_blocking(|connection| release_events::list(connection, first, last))
    }

    /// Saves what the directory and the config hold for a handler.
    pub(crate) fn save_directory_snapshot(&self, snapshot: DirectorySnapshot) -> Result<(), StoreError> {
        self.database.write(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO directory (handler, sha256, settings) VALUES (?1, ?2, ?3)",
                params![snapshot.handler, snapshot.sha256, snapshot.settings],
            )?;
            Ok(())
        })
    }

    /// What the directory and the config last held, for each handler.
    pub(crate) fn directory_snapshots(&self) -> Result<Vec<DirectorySnapshot>, StoreError> {
        self.readers.read_blocking(|connection| {
            let mut statement = connection.prepare_cached("SELECT handler, sha256, settings FROM directory")?;
            let snapshot = |row: &Row<'_>| {
                Ok(DirectorySnapshot { handler: row.get(0)?, sha256: row.get(1)?, settings: row.get(2)? })
            };
            statement.query_map([], snapshot)?.collect()
        })
    }

    /// The release that is recorded as active.
    pub(crate) fn active(&self) -> Result<Option<StoredRelease>, StoreError> {
        self.readers.read_blocking(releases::active)
    }

    /// Releases with numbers below `before`, the latest first.
    pub(crate) fn list(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.readers.read_blocking(|connection| releases::list(connection, before, limit))
    }

    /// The same without rejected releases.
    pub(crate) fn list_admitted(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.readers.read_blocking(|connection| releases::list_admitted(connection, before, limit))
    }

    /// A version with its component.
    pub(crate) fn version(&self, id: &str) -> Result<Option<StoredVersion>, StoreError> {
        self.readers.read_blocking(|connection| versions::find(connection, id))
    }

    /// The versions whose ids begin with `prefix`, of all handlers, the last active first.
    pub(crate) fn versions(&self, prefix: &str) -> Result<Vec<AboutVersion>, StoreError> {
        self.readers.read_blocking(|connection| versions::list(connection, prefix))
    }
}

#[cfg(test)]
mod tests;
