//! The versions and releases of the database, recorded so that a start or a rollback needs no file. Every call waits for the
//! database, so none belongs on a worker.

use super::engine::Engine;
use super::error::StoreError;
use super::records::{
    AboutVersion, DirectorySnapshot, ReleaseRecord, Retention, StoredEvent, StoredRelease, StoredVersion,
};

/// The versions and releases of the database.
pub struct ReleaseHistory<'a>(pub(super) &'a Engine);

impl ReleaseHistory<'_> {
    /// Saves a version. If it is stored already, its component is written again, which repairs a damaged one.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::Closed`], as for all methods below.
    pub fn save_version(&self, version: &StoredVersion) -> Result<(), StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().save_version(version),
            Engine::Postgres(postgres) => postgres.releases().save_version(version),
        }
    }

    /// Saves the versions that are `new`, records a release as active, with the outcome of the one before, and deletes
    /// what exceeds the retention. Returns the release's number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Overtaken`] when another release is active than the one that it was made over. Nothing is recorded then.
    pub fn record(
        &self,
        new: &[StoredVersion],
        release: ReleaseRecord,
        retention: Retention,
    ) -> Result<u64, StoreError> {
        let release = escaped(release);
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().record(new, release, retention),
            Engine::Postgres(postgres) => postgres.releases().record(new, &release, retention),
        }
    }

    /// Records a rejected release. Consecutive rejections of one handler's file are recorded as one release, the
    /// latest: a file may be written in many steps, and each step is offered.
    pub fn record_rejected(
        &self,
        release: ReleaseRecord,
        detail: String,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let (release, detail) = (escaped(release), without_null(detail));
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().record_rejected(release, detail, retention),
            Engine::Postgres(postgres) => postgres.releases().record_rejected(&release, &detail, retention),
        }
    }

    /// Blocks a version, with the evidence against it. Without evidence: lifts the block.
    pub fn set_blocked(&self, id: String, evidence: Option<String>) -> Result<(), StoreError> {
        let evidence = evidence.map(without_null);
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().set_blocked(id, evidence),
            Engine::Postgres(postgres) => postgres.releases().set_blocked(&id, evidence.as_deref()),
        }
    }

    /// The blocked versions, each with the evidence against it.
    pub fn blocked_versions(&self) -> Result<Vec<(String, String)>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().blocked_versions(),
            Engine::Postgres(postgres) => postgres.releases().blocked_versions(),
        }
    }

    /// Records something that befell a release.
    pub fn record_event(&self, event: StoredEvent) -> Result<(), StoreError> {
        let event = StoredEvent { detail: without_null(event.detail), ..event };
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().record_event(event),
            Engine::Postgres(postgres) => postgres.releases().record_event(&event),
        }
    }

    /// What befell the releases from `first` to `last`, in its order.
    pub fn events(&self, first: u64, last: u64) -> Result<Vec<StoredEvent>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().events(first, last),
            Engine::Postgres(postgres) => postgres.releases().events(first, last),
        }
    }

    /// Saves what the directory and the config hold for a handler.
    pub fn save_directory_snapshot(&self, snapshot: DirectorySnapshot) -> Result<(), StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().save_directory_snapshot(snapshot),
            Engine::Postgres(postgres) => postgres.releases().save_directory_snapshot(&snapshot),
        }
    }

    /// What the directory and the config last held, for each handler.
    pub fn directory_snapshots(&self) -> Result<Vec<DirectorySnapshot>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().directory_snapshots(),
            Engine::Postgres(postgres) => postgres.releases().directory_snapshots(),
        }
    }

    /// What those of other hosts that use the database last held.
    pub fn snapshots_of_others(&self) -> Result<Vec<DirectorySnapshot>, StoreError> {
        match self.0 {
            Engine::Sqlite(_) => Ok(Vec::new()),
            Engine::Postgres(postgres) => postgres.releases().snapshots_of_others(),
        }
    }

    /// The release that is recorded as active.
    pub fn active(&self) -> Result<Option<StoredRelease>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().active(),
            Engine::Postgres(postgres) => postgres.releases().active(),
        }
    }

    /// Releases with numbers below `before`, the latest first.
    pub fn list(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().list(before, limit),
            Engine::Postgres(postgres) => postgres.releases().list(before, limit),
        }
    }

    /// The same without rejected releases.
    pub fn list_admitted(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().list_admitted(before, limit),
            Engine::Postgres(postgres) => postgres.releases().list_admitted(before, limit),
        }
    }

    /// A version with its component.
    pub fn version(&self, id: &str) -> Result<Option<StoredVersion>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().version(id),
            Engine::Postgres(postgres) => postgres.releases().version(id),
        }
    }

    /// The versions whose ids begin with `prefix`, of all handlers, the last active first.
    pub fn versions(&self, prefix: &str) -> Result<Vec<AboutVersion>, StoreError> {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.releases().versions(prefix),
            Engine::Postgres(postgres) => postgres.releases().versions(prefix),
        }
    }
}

/// A release with reasons that can be stored.
fn escaped(release: ReleaseRecord) -> ReleaseRecord {
    let (reason, previous_detail) = (without_null(release.reason), release.previous_detail.map(without_null));
    ReleaseRecord { reason, previous_detail, ..release }
}

/// A text without U+0000, which PostgreSQL cannot hold. Reasons quote what handlers print, and that may be anything.
fn without_null(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\\0") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_quote_a_handler_that_printed_null() {
        assert_eq!(without_null("it printed: a\0b".to_owned()), r"it printed: a\0b");
        let texts = [(); 3].map(|()| String::new());
        let release = ReleaseRecord {
            versions: texts,
            actor: "ann".to_owned(),
            trigger: "deploy".to_owned(),
            reason: "\0".to_owned(),
            back_to: None,
            over: None,
            previous_outcome: "broken".to_owned(),
            previous_detail: Some("\0".to_owned()),
        };
        let ReleaseRecord { reason, previous_detail, .. } = escaped(release);
        assert_eq!((reason.as_str(), previous_detail.as_deref()), (r"\0", Some(r"\0")));
    }
}
