//! Versions of handlers as rows of the schema. To the store a version is bytes and text.

use tokio_postgres::{Client, Error, Row};

use super::rows::{number, to_sql};
use crate::records::{AboutVersion, StoredVersion};
use ondol_host_model::Timestamp;

// PostgreSQL tells the length of a component without reading it.
macro_rules! version_columns {
    () => {
        "SELECT version.id, handler, component, settings, cases, length(wasm)::bigint AS bytes, first_seen, last_active \
         FROM version JOIN component ON sha256 = component"
    };
}

// Each change counts as later than the ones before, whatever the clocks of the hosts say.
macro_rules! later {
    () => {
        "greatest($1, (SELECT coalesce(max(last_active), 0) + 1 FROM version))"
    };
}

/// Saves a version. A component that is stored already is replaced if the disk has damaged it.
pub(super) async fn save(client: &Client, version: &StoredVersion) -> Result<(), Error> {
    const COMPONENT: &str = "INSERT INTO component (sha256, wasm) VALUES ($1, $2) \
                             ON CONFLICT (sha256) DO UPDATE SET wasm = excluded.wasm WHERE component.wasm <> excluded.wasm";
    const VERSION: &str = concat!(
        "INSERT INTO version (id, handler, component, settings, cases, first_seen, last_active) \
         VALUES ($2, $3, $4, $5, $6, $1, ",
        later!(),
        ") ON CONFLICT (id) DO UPDATE SET cases = coalesce(excluded.cases, version.cases)"
    );
    let StoredVersion { about, wasm } = version;
    client.execute(COMPONENT, &[&about.component, wasm]).await?;
    let now = to_sql(Timestamp::now().0);
    let AboutVersion { id, handler, component, settings, cases, .. } = about;
    client.execute(VERSION, &[&now, id, handler, component, settings, cases]).await.map(drop)
}

/// A version with its component.
pub(super) async fn find(client: &Client, id: &str) -> Result<Option<StoredVersion>, Error> {
    let sql = concat!(version_columns!(), " WHERE version.id = $1");
    let wasm = "SELECT wasm FROM component JOIN version ON component = sha256 WHERE version.id = $1";
    // It may be deleted between the two.
    let (about, wasm) = (client.query_opt(sql, &[&id]).await?, client.query_opt(wasm, &[&id]).await?);
    let Some((about, wasm)) = about.zip(wasm) else { return Ok(None) };
    Ok(Some(StoredVersion { about: read(&about)?, wasm: wasm.try_get(0)? }))
}

/// The versions whose ids begin with `prefix`, of all handlers, the last active first.
pub(super) async fn list(client: &Client, prefix: &str) -> Result<Vec<AboutVersion>, Error> {
    let sql =
        concat!(version_columns!(), " WHERE starts_with(version.id, $1) ORDER BY last_active DESC, first_seen DESC");
    client.query(sql, &[&prefix]).await?.iter().map(read).collect()
}

/// Records that a version is active now.
pub(super) async fn set_active(client: &Client, id: &str) -> Result<(), Error> {
    let sql = concat!("UPDATE version SET last_active = ", later!(), " WHERE id = $2");
    client.execute(sql, &[&to_sql(Timestamp::now().0), &id]).await.map(drop)
}

/// Deletes versions beyond the last `max` components of each handler, and of each component beyond the last `max`
/// settings. So new settings do not displace the components that a rollback needs. The active ones are always kept.
pub(super) async fn prune(client: &Client, active: &[String; 3], max: usize) -> Result<(), Error> {
    const SQL: &str = "
        WITH used AS (
            SELECT component, max(last_active) AS at FROM version WHERE handler = $1
            GROUP BY component ORDER BY at DESC LIMIT $3
        ), place AS (
            SELECT id, component, row_number() OVER (PARTITION BY component ORDER BY last_active DESC) AS number
            FROM version WHERE handler = $1
        )
        DELETE FROM version WHERE handler = $1 AND id <> ALL ($2) AND id NOT IN
            (SELECT id FROM place WHERE number <= $3 AND component IN (SELECT component FROM used))";
    let active = active.as_slice();
    for handler in ["rooms", "messages", "events"] {
        client.execute(SQL, &[&handler, &active, &to_sql(max as u64)]).await?;
    }
    let unused = "DELETE FROM component WHERE NOT EXISTS (SELECT 1 FROM version WHERE version.component = sha256)";
    client.execute(unused, &[]).await.map(drop)
}

fn read(row: &Row) -> Result<AboutVersion, Error> {
    Ok(AboutVersion {
        id: row.try_get("id")?,
        handler: row.try_get("handler")?,
        component: row.try_get("component")?,
        settings: row.try_get("settings")?,
        cases: row.try_get("cases")?,
        bytes: number(row, "bytes")?,
        first_seen: Timestamp(number(row, "first_seen")?),
        last_active: Timestamp(number(row, "last_active")?),
    })
}
