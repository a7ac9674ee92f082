//! Releases as rows of the schema: three versions each, who wanted them, and what became of them.

use tokio_postgres::{Client, Error, Row};

use super::rows::{number, to_sql};
use super::versions;
use crate::records::{ReleaseRecord, Retention, StoredRelease};
use ondol_host_model::Timestamp;

macro_rules! release_columns {
    () => {
        "SELECT id, rooms, messages, events, who, how, why, back_to, created_at, outcome, detail FROM release"
    };
}

/// The release that is recorded as active.
pub(super) async fn active(client: &Client) -> Result<Option<StoredRelease>, Error> {
    let sql = concat!(release_columns!(), " WHERE outcome = 'active'");
    client.query_opt(sql, &[]).await?.as_ref().map(read).transpose()
}

/// Releases with numbers below `before`, the latest first, with those that were rejected or without.
pub(super) async fn list(
    client: &Client,
    before: Option<u64>,
    limit: usize,
    with_rejected: bool,
) -> Result<Vec<StoredRelease>, Error> {
    let sql = concat!(release_columns!(), " WHERE id < $1 AND ($3 OR outcome <> 'refused') ORDER BY id DESC LIMIT $2");
    let (before, limit) = (before.map_or(i64::MAX, to_sql), to_sql(limit as u64));
    client.query(sql, &[&before, &limit, &with_rejected]).await?.iter().map(read).collect()
}

/// Records a release as active, with the outcome of the one before. Returns its number. A number as the inner error: that
/// release is active, and not the one that this was made over; 0 if none is. No other host changes it meanwhile.
pub(super) async fn activate(client: &Client, release: &ReleaseRecord) -> Result<Result<u64, u64>, Error> {
    let active = client.query_opt("SELECT id FROM release WHERE outcome = 'active'", &[]).await?;
    let active = active.as_ref().map(|row| number(row, "id")).transpose()?;
    if active != release.over {
        return Ok(Err(active.unwrap_or_default()));
    }
    let sql = "UPDATE release SET outcome = $1, detail = coalesce($2, detail) WHERE outcome = 'active'";
    client.execute(sql, &[&release.previous_outcome, &release.previous_detail]).await?;
    let number = insert(client, release, "active", None).await?;
    for id in &release.versions {
        versions::set_active(client, id).await?;
    }
    Ok(Ok(number))
}

/// Records a release as rejected. If the directory offered it and the last release is a rejected one of the same
/// handler and the directory as well, the new one overwrites it: a file may be written in many steps.
pub(super) async fn reject(
    client: &Client,
    release: &ReleaseRecord,
    detail: &str,
    retention: Retention,
) -> Result<(), Error> {
    if !overwrite_rejected(client, release, detail).await? {
        insert(client, release, "refused", Some(detail)).await?;
        prune_releases(client, retention.releases_max).await?;
    }
    Ok(())
}

/// Deletes versions and releases beyond the retention.
pub(super) async fn prune(client: &Client, active: &[String; 3], retention: Retention) -> Result<(), Error> {
    versions::prune(client, active, retention.versions_max).await?;
    prune_releases(client, retention.releases_max).await
}

/// Rejected releases are counted apart, so that they do not displace what a rollback needs.
async fn prune_releases(client: &Client, max: usize) -> Result<(), Error> {
    let sql = "DELETE FROM release WHERE (outcome = 'refused') = $1 AND outcome <> 'active' AND id NOT IN \
               (SELECT id FROM release WHERE (outcome = 'refused') = $1 ORDER BY id DESC LIMIT $2)";
    for rejected in [true, false] {
        client.execute(sql, &[&rejected, &to_sql(max as u64)]).await?;
    }
    Ok(())
}

async fn insert(client: &Client, release: &ReleaseRecord, outcome: &str, detail: Option<&str>) -> Result<u64, Error> {
    let [rooms, messages, events] = &release.versions;
    let (back_to, now) = (release.back_to.map(to_sql), to_sql(Timestamp::now().0));
    let sql = "INSERT INTO release (rooms, messages, events, who, how, why, back_to, created_at, outcome, detail) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
    let (actor, trigger, reason) = (&release.actor, &release.trigger, &release.reason);
    let row = client
        .query_one(sql, &[rooms, messages, events, actor, trigger, reason, &back_to, &now, &outcome, &detail])
        .await?;
    number(&row, "id")
}

/// False: the last release is not one to overwrite.
async fn overwrite_rejected(client: &Client, release: &ReleaseRecord, detail: &str) -> Result<bool, Error> {
    let [rooms, messages, events] = &release.versions;
    let sql = "UPDATE release SET rooms = $1, messages = $2, events = $3, why = $4, created_at = $5, detail = $6 \
               WHERE id = (SELECT max(id) FROM release) AND outcome = 'refused' AND how = $7 AND how = 'directory' \
               AND (rooms = $1)::int + (messages = $2)::int + (events = $3)::int >= 2";
    let now = to_sql(Timestamp::now().0);
    let changed =
        client.execute(sql, &[rooms, messages, events, &release.reason, &now, &detail, &release.trigger]).await?;
    Ok(changed > 0)
}

fn read(row: &Row) -> Result<StoredRelease, Error> {
    Ok(StoredRelease {
        number: number(row, "id")?,
        versions: [row.try_get("rooms")?, row.try_get("messages")?, row.try_get("events")?],
        actor: row.try_get("who")?,
        trigger: row.try_get("how")?,
        reason: row.try_get("why")?,
        back_to: row.try_get::<_, Option<i64>>("back_to")?.map(i64::unsigned_abs),
        created_at: Timestamp(number(row, "created_at")?),
        outcome: row.try_get("outcome")?,
        detail: row.try_get("detail")?,
    })
}
