//! Releases as rows of the schema: three versions each, who wanted them, and what became of them.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::to_sql;
use super::versions;
use crate::records::{ReleaseRecord, Retention, StoredRelease};
use ondol_host_model::Timestamp;

macro_rules! release_columns {
    () => {
        "SELECT id, rooms, messages, events, who, how, why, back_to, created_at, outcome, detail FROM release"
    };
}

/// The release that is recorded as active.
pub(super) fn active(connection: &Connection) -> rusqlite::Result<Option<StoredRelease>> {
    let sql = concat!(release_columns!(), " WHERE outcome = 'active'");
    connection.prepare_cached(sql)?.query_row([], read).optional()
}

/// Releases with numbers below `before`, the latest first.
pub(super) fn list(connection: &Connection, before: Option<u64>, limit: usize) -> rusqlite::Result<Vec<StoredRelease>> {
    let sql = concat!(release_columns!(), " WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
    let before = before.map_or(i64::MAX, to_sql);
    connection.prepare_cached(sql)?.query_map((before, to_sql(limit as u64)), read)?.collect()
}

/// The same without rejected releases.
pub(super) fn list_admitted(
    connection: &Connection,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<StoredRelease>> {
    let sql = concat!(release_columns!(), " WHERE id < ?1 AND outcome <> 'refused' ORDER BY id DESC LIMIT ?2");
    let before = before.map_or(i64::MAX, to_sql);
    connection.prepare_cached(sql)?.query_map((before, to_sql(limit as u64)), read)?.collect()
}

/// Records a release as active, with the outcome of the one before. Returns its number. A number as the inner error: that
/// release is active, and not the one that this was made over; 0 if none is.
pub(super) fn activate(connection: &mut Connection, release: &ReleaseRecord) -> rusqlite::Result<Result<u64, u64>> {
    let transaction = connection.transaction()?;
    let active = active(&transaction)?.map(|active| active.number);
    if active != release.over {
        return Ok(Err(active.unwrap_or_default()));
    }
    transaction.execute(
        "UPDATE release SET outcome = ?1, detail = coalesce(?2, detail) WHERE outcome = 'active'",
        params![release.previous_outcome, release.previous_detail],
    )?;
    let number = insert(&transaction, release, "active", None)?;
    release.versions.iter().try_for_each(|id| versions::set_active(&transaction, id))?;
    transaction.commit()?;
    Ok(Ok(number))
}

/// Records a release as rejected. If the directory offered it and the last release is a rejected one of the same
/// handler and the directory as well, the new one overwrites it: a file may be written in many steps.
pub(super) fn reject(
    connection: &mut Connection,
    release: &ReleaseRecord,
    detail: &str,
    retention: Retention,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if !overwrite_rejected(&transaction, release, detail)? {
        insert(&transaction, release, "refused", Some(detail))?;
        prune_releases(&transaction, retention.releases_max)?;
    }
    transaction.commit()
}

/// Deletes versions and releases beyond the retention.
pub(super) fn prune(connection: &mut Connection, active: &[String; 3], retention: Retention) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    versions::prune(&transaction, active, retention.versions_max)?;
    prune_releases(&transaction, retention.releases_max)?;
    transaction.commit()
}

/// Rejected releases are counted apart, so that they do not displace what a rollback needs.
fn prune_releases(connection: &Connection, max: usize) -> rusqlite::Result<()> {
    for rejected in [true, false] {
        connection.execute(
            "DELETE FROM release WHERE (outcome = 'refused') = ?1 AND outcome <> 'active' AND id NOT IN \
             (SELECT id FROM release WHERE (outcome = 'refused') = ?1 ORDER BY id DESC LIMIT ?2)",
            params![rejected, to_sql(max as u64)],
        )?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    release: &ReleaseRecord,
    outcome: &str,
    detail: Option<&str>,
) -> rusqlite::Result<u64> {
    let [rooms, messages, events] = &release.versions;
    let mut statement = connection.prepare_cached(
        "INSERT INTO release (rooms, messages, events, who, how, why, back_to, created_at, outcome, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        rooms,
        messages,
        events,
        release.actor,
        release.trigger,
        release.reason,
        release.back_to.map(to_sql),
        to_sql(Timestamp::now().0),
        outcome,
        detail,
    ])?;
    Ok(connection.last_insert_rowid().unsigned_abs())
}

/// False: the last release is not one to overwrite.
fn overwrite_rejected(connection: &Connection, release: &ReleaseRecord, detail: &str) -> rusqlite::Result<bool> {
    let [rooms, messages, events] = &release.versions;
    let changed = connection.execute(
        "UPDATE release SET rooms = ?1, messages = ?2, events = ?3, why = ?4, created_at = ?5, detail = ?6 \
         WHERE id = (SELECT max(id) FROM release) AND outcome = 'refused' AND how = ?7 AND how = 'directory' \
         AND (rooms = ?1) + (messages = ?2) + (events = ?3) >= 2",
        params![rooms, messages, events, release.reason, to_sql(Timestamp::now().0), detail, release.trigger],
    )?;
    Ok(changed > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredRelease> {
    Ok(StoredRelease {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        versions: [row.get(1)?, row.get(2)?, row.get(3)?],
        actor: row.get(4)?,
        trigger: row.get(5)?,
        reason: row.get(6)?,
        back_to: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
        created_at: Timestamp(row.get::<_, i64>(8)?.unsigned_abs()),
        outcome: row.get(9)?,
        detail: row.get(10)?,
    })
}
