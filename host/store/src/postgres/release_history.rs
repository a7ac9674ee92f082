//! Versions and releases, recorded so that a start or a rollback needs no file. Every call waits for the database, so none
//! belongs on a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_postgres::{Error, Row};

use super::connect::{Connector, Purpose};
use super::pool::{Asked, Connections, Lent};
use super::readers::Readers;
use super::rows::to_sql;
use super::{release_events, releases, versions};
use crate::error::StoreError;
use crate::records::{
    AboutVersion, BLOCKED_MAX, DirectorySnapshot, ReleaseRecord, Retention, StoredEvent, StoredRelease, StoredVersion,
};
use ondol_host_model::Timestamp;

/// Begins a change, which no other host's is beside: the advisory lock is theirs, for this schema.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock('host'::regclass::oid::int, 5)";

/// Ends a change: the host's row is held until the commit. Returns the number of the change.
const FENCE: &str =
    "UPDATE host SET change = change + 1 WHERE no = $1 AND state IN ('live', 'draining') RETURNING change";

/// The number of the last change that is stored. Waits for one that is being stored.
const LAST_CHANGE: &str = "SELECT change FROM host WHERE no = $1 FOR SHARE";

/// The most connections for changes.
const WRITERS_MAX: usize = 2;

/// The longest wait for a change. A component may be large, and the way to the database slow.
const WRITE_MAX: Duration = Duration::from_secs(60);

/// How often it is asked whether a change whose connection was lost is stored, while it is not decided.
const DOUBT_EVERY: Duration = Duration::from_millis(100);

/// The versions and releases of the database.
pub(crate) struct ReleaseHistory {
    readers: Arc<Readers>,
    writers: Arc<Connections>,
    runtime: Handle,
    /// One change of this host at a time: its number tells whether it is stored.
    changing: tokio::sync::Mutex<()>,
    /// The number of this host, and its name.
    no: i32,
    host: String,
}

impl ReleaseHistory {
    /// Called on the runtime that its calls wait for.
    pub(super) fn new(readers: Arc<Readers>, writers: Arc<Connections>, no: i32, host: &str) -> Self {
        let changing = tokio::sync::Mutex::default();
        Self { readers, writers, runtime: Handle::current(), changing, no, host: host.to_owned() }
    }

    /// Connections for changes, which may be large.
    pub(super) fn writers(connector: &Connector) -> Result<Connections, StoreError> {
        Connections::new(connector, Purpose::Change, WRITERS_MAX, WRITE_MAX)
    }

    /// Saves a version. If it is stored already, its component is written again, which repairs a damaged one.
    pub(crate) fn save_version(&self, version: &StoredVersion) -> Result<(), StoreError> {
        self.change(|client| async move { versions::save(&client, version).await })
    }

    /// Saves the versions that are `new`, records a release as active, with the outcome of the one before, and deletes
    /// what exceeds the retention. Returns the release's number. The release that it was made over has to be active.
    pub(crate) fn record(
        &self,
        new: &[StoredVersion],
        release: &ReleaseRecord,
        retention: Retention,
    ) -> Result<u64, StoreError> {
        new.iter().try_for_each(|version| self.save_version(version))?;
        let number = self.change(|client| async move { releases::activate(&client, release).await })?;
        let number = number.map_err(|active| StoreError::Overtaken { active })?;
        let prune = |client: Lent| async move { releases::prune(&client, &release.versions, retention).await };
        if let Err(error) = self.change(prune) {
            tracing::warn!(
                release = number,
                %error,
                "old versions not deleted after release {number}; the next release tries again: {error}"
            );
        }
        Ok(number)
    }

    /// Records a rejected release. Consecutive rejections of one handler's file are recorded as one release, the latest.
    pub(crate) fn record_rejected(
        &self,
        release: &ReleaseRecord,
        detail: &str,
        retention: Retention,
    ) -> Result<(), StoreError> {
        self.change(|client| async move { releases::reject(&client, release, detail, retention).await })
    }

    /// Blocks a version, with the evidence against it. Without evidence: lifts the block.
    pub(crate) fn set_blocked(&self, id: &str, evidence: Option<&str>) -> Result<(), StoreError> {
        const BLOCK: &str = "INSERT INTO bad_version (id, evidence, marked_at) VALUES ($1, $2, $3) \
            ON CONFLICT (id) DO UPDATE SET evidence = excluded.evidence, marked_at = excluded.marked_at";
        const FORGET: &str = "DELETE FROM bad_version WHERE id NOT IN \
                              (SELECT id FROM bad_version ORDER BY marked_at DESC, id = $1 DESC LIMIT $2)";
        self.change(|client| async move {
            let now = to_sql(Timestamp::now().0);
            match evidence {
                Some(evidence) => client.execute(BLOCK, &[&id, &evidence, &now]).await?,
                None => client.execute("DELETE FROM bad_version WHERE id = $1", &[&id]).await?,
            };
            client.execute(FORGET, &[&id, &to_sql(BLOCKED_MAX)]).await.map(drop)
        })
    }

    /// The blocked versions, each with the evidence against it.
    pub(crate) fn blocked_versions(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|client| async move {
            let rows = client.query("SELECT id, evidence FROM bad_version ORDER BY marked_at, id", &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
    }

    /// Records something that befell a release.
    pub(crate) fn record_event(&self, event: &StoredEvent) -> Result<(), StoreError> {
        self.change(|client| async move { release_events::insert(&client, event).await })
    }

    /// What befell the releases from `first` to `last`, in its order.
    pub(crate) fn events(&self, first: u64, last: u64) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(|client| async move { release_events::list(&client, first, last).await })
    }

    /// Saves what the directory and the config of this host hold for a handler.
    pub(crate) fn save_directory_snapshot(&self, snapshot: &DirectorySnapshot) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO directory (host, handler, sha256, settings) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (host, handler) DO UPDATE SET sha256 = excluded.sha256, settings = excluded.settings";
        let DirectorySnapshot { handler, sha256, settings } = snapshot;
        let host = &self.host;
        self.change(|client| async move { client.execute(SQL, &[host, handler, sha256, settings]).await.map(drop) })
    }

    /// What the directory and the config of this host last held, for each handler.
    pub(crate) fn directory_snapshots(&self) -> Result<Vec<DirectorySnapshot>, StoreError> {
        self.snapshots("SELECT handler, sha256, settings FROM directory WHERE host = $1 ORDER BY handler")
    }

    /// What those of other hosts last held.
    pub(crate) fn snapshots_of_others(&self) -> Result<Vec<DirectorySnapshot>, StoreError> {
        self.snapshots("SELECT DISTINCT handler, sha256, settings FROM directory WHERE host <> $1 ORDER BY handler")
    }

    fn snapshots(&self, sql: &'static str) -> Result<Vec<DirectorySnapshot>, StoreError> {
        let host = &self.host;
        let snapshot = |row: &Row| {
            Ok(DirectorySnapshot { handler: row.try_get(0)?, sha256: row.try_get(1)?, settings: row.try_get(2)? })
        };
        self.read(|client| async move { client.query(sql, &[host]).await?.iter().map(snapshot).collect() })
    }

    /// The release that is recorded as active.
    pub(crate) fn active(&self) -> Result<Option<StoredRelease>, StoreError> {
        self.read(|client| async move { releases::active(&client).await })
    }

    /// Releases with numbers below `before`, the latest first.
    pub(crate) fn list(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.read(|client| async move { releases::list(&client, before, limit, true).await })
    }

    /// The same without rejected releases.
    pub(crate) fn list_admitted(&self, before: Option<u64>, limit: usize) -> Result<Vec<StoredRelease>, StoreError> {
        self.read(|client| async move { releases::list(&client, before, limit, false).await })
    }

    /// A version with its component.
    pub(crate) fn version(&self, id: &str) -> Result<Option<StoredVersion>, StoreError> {
        // Over a connection for changes, since it may be large as well.
        self.runtime.block_on(self.writers.ask(|client| async move { versions::find(&client, id).await }))
    }

    /// The versions whose ids begin with `prefix`, of all handlers, the last active first.
    pub(crate) fn versions(&self, prefix: &str) -> Result<Vec<AboutVersion>, StoreError> {
        self.read(|client| async move { versions::list(&client, prefix).await })
    }

    fn read<R, F>(&self, read: impl Fn(Lent) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.runtime.block_on(self.readers.read_aside(read))
    }

    /// Changes something in a transaction, unless this host has lost its role. No other host's change is beside it.
    fn change<R, F>(&self, change: impl Fn(Lent) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.runtime.block_on(async {
            let _alone = self.changing.lock().await;
            match self.try_change(&change).await {
                // It is not stored.
                Err(Asked::Lost(_)) => self.try_change(&change).await,
                tried => tried,
            }
            .map_err(StoreError::from)
        })
    }

    /// [`Asked::Lost`]: it is not stored.
    async fn try_change<R, F>(&self, change: &impl Fn(Lent) -> F) -> Result<R, Asked>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let (no, committing) = (self.no, Mutex::new(None));
        let attempt = |client: Lent| {
            let (changing, committing) = (change(Arc::clone(&client)), &committing);
            async move {
                client.batch_execute(BEGIN).await?;
                let changed = changing.await?;
                let row = client.query_opt(FENCE, &[&no]).await?;
                let Some(row) = row else { return client.batch_execute("ROLLBACK").await.map(|()| false) };
                *lock(committing) = Some((row.try_get::<_, i64>(0)?, changed));
                client.batch_execute("COMMIT").await.map(|()| true)
            }
        };
        let outcome = self.writers.try_ask(attempt).await;
        let stored = lock(&committing).take();
        match (outcome, stored) {
            (Ok(true), Some((_, changed))) => Ok(changed),
            (Ok(_), _) => Err(Asked::Failed(StoreError::Fenced("another host has taken over".to_owned()))),
            (Err(Asked::Lost(error) | Asked::Late(error)), Some((number, changed))) => {
                if self.is_stored(number).await? { Ok(changed) } else { Err(Asked::Lost(error)) }
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether a change whose connection was lost during its commit is stored. The row tells it, on a standby that took over
    /// as well. Asks until it is answered, within limits: what asks may be a deploy.
    async fn is_stored(&self, number: i64) -> Result<bool, Asked> {
        let (no, since) = (self.no, Instant::now());
        loop {
            let asked = self.writers.ask(|client| async move {
                client.query_opt(LAST_CHANGE, &[&no]).await?.map(|row| row.try_get::<_, i64>(0)).transpose()
            });
            match asked.await {
                Ok(last) => return Ok(last.is_some_and(|last| last >= number)),
                Err(StoreError::Closed) => return Err(Asked::Failed(StoreError::InDoubt)),
                Err(error) if since.elapsed() >= WRITE_MAX => {
                    tracing::error!(%error, "it is not known whether a change of the releases is stored: {error}");
                    return Err(Asked::Failed(StoreError::InDoubt));
                }
                Err(_) => tokio::time::sleep(DOUBT_EVERY).await,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
