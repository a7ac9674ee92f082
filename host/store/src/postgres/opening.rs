//! A host comes: its row, the lock that tells the others that it lives, and who of the others does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Transaction};

use super::connect::PostgresConfig;
use crate::error::StoreError;

/// The key of the advisory lock that a host of this schema holds while it lives, by the host's number in SQL. Positive numbers
/// are other locks of the schema.
macro_rules! lives {
    ($no:literal) => {
        concat!("'host'::regclass::oid::int, -", $no)
    };
}
pub(super) use lives;

/// Takes the advisory lock of the host that is coming: one at a time in this schema.
const OPENING: &str = "SELECT pg_advisory_xact_lock('host'::regclass::oid::int, 3)";

/// A host that has not beaten for so long is dead if its connection is gone as well.
pub(super) const LOST_WITH_CONNECTION: Duration = Duration::from_secs(1);

/// A host that has not beaten for so long is dead if its connection is gone and nothing is heard of it elsewhere.
pub(super) const LOST_EVERYWHERE: Duration = Duration::from_millis(500);

/// How often the others are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A look that takes longer shows what was there before the database stood still.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Another host that may be alive.
struct Other {
    no: i32,
    name: String,
    cluster: Option<String>,
    version: String,
    proto: i32,
    /// Its last beat, by the clock of the database, as text: it is compared with itself alone.
    beat: String,
    age: Duration,
    /// The connection that it showed its life with is gone. It may be about to make another.
    is_free: bool,
}

/// Enters this host, and returns its number. It holds its advisory lock when others can see it.
///
/// # Errors
///
/// [`StoreError::InUse`] or [`StoreError::OtherProto`] if another host is alive that this one may not live beside.
pub(super) async fn join(client: &mut Client, config: &PostgresConfig) -> Result<i32, StoreError> {
    let mut first_seen: HashMap<i32, (String, Instant)> = HashMap::new();
    loop {
        let transaction = client.transaction().await?;
        transaction.execute(OPENING, &[]).await?;
        let (mut is_waiting, begun) = (false, Instant::now());
        let others = others(&transaction).await?;
        if begun.elapsed() > LOOK_MAX {
            // The database stood still, and so did the others.
            first_seen.clear();
        }
        for other in others.into_iter().filter(|other| is_rival(config, other)) {
            let (beat, since) = first_seen.entry(other.no).or_insert_with(|| (other.beat.clone(), Instant::now()));
            if *beat != other.beat {
                return Err(in_use(config, other));
            }
            let was_watched = other.age >= config.host_lost && since.elapsed() >= config.host_lost;
            // The same name without a connection is this host before its restart.
            let is_gone = other.is_free && (other.name == config.host || other.age >= LOST_WITH_CONNECTION);
            is_waiting |= !((is_gone || was_watched) && judge(&transaction, &other).await?);
        }
        if !is_waiting {
            let no = enter(&transaction, config).await?;
            transaction.commit().await?;
            return Ok(no);
        }
        transaction.commit().await?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Refuses what [`join`] would: to live beside hosts that do not allow it. The same host may live already.
pub(super) async fn refuse_beside(client: &mut Client, config: &PostgresConfig) -> Result<(), StoreError> {
    let transaction = client.transaction().await?;
    let others = others(&transaction).await?;
    transaction.rollback().await?;
    let is_rival = |other: &Other| other.name != config.host && is_rival(config, other) && other.age < config.host_lost;
    match others.into_iter().find(is_rival) {
        Some(other) => Err(in_use(config, other)),
        None => Ok(()),
    }
}

/// Lets this host write.
pub(super) async fn go_live(client: &Client, no: i32) -> Result<(), StoreError> {
    let sql = "UPDATE host SET state = 'live', beat = clock_timestamp() WHERE no = $1 AND state = 'joining'";
    match client.execute(sql, &[&no]).await? {
        0 => Err(StoreError::Fenced("another host has declared it dead while it was starting".to_owned())),
        _ => Ok(()),
    }
}

/// Whether this host may not live beside the other: hosts of one cluster may, if their names differ and they speak alike.
fn is_rival(config: &PostgresConfig, other: &Other) -> bool {
    config.cluster.is_none()
        || other.cluster != config.cluster
        || other.name == config.host
        || other.proto != config.proto
}

fn in_use(config: &PostgresConfig, other: Other) -> StoreError {
    let is_of_cluster = config.cluster.is_some() && other.cluster == config.cluster;
    let is_namesake = is_of_cluster && other.name == config.host;
    if is_of_cluster && !is_namesake {
        let Other { name: host, version, proto: found, .. } = other;
        return StoreError::OtherProto { host, version, found, known: config.proto };
    }
    StoreError::InUse { host: other.name, cluster: other.cluster, is_namesake }
}

async fn others(transaction: &Transaction<'_>) -> Result<Vec<Other>, StoreError> {
    let sql = concat!(
        "SELECT no, name, cluster, version, proto, beat::text, extract(epoch FROM clock_timestamp() - beat)::float8, \
         pg_try_advisory_xact_lock(",
        lives!("no"),
        ") FROM host WHERE state IN ('joining', 'live', 'draining')"
    );
    let rows = transaction.query(sql, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        let (no, name, cluster) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (version, proto, beat) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let age = Duration::try_from_secs_f64(row.try_get(6)?).unwrap_or_default();
        Ok(Other { no, name, cluster, version, proto, beat, age, is_free: row.try_get(7)? })
    };
    rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(Into::into)
}

/// Declares another host dead, unless it has beaten meanwhile. A batch that it is storing is waited for.
async fn judge(transaction: &Transaction<'_>, other: &Other) -> Result<bool, StoreError> {
    let sql =
        "UPDATE host SET state = 'dead' WHERE no = $1 AND beat::text = $2 AND state IN ('joining', 'live', 'draining')";
    let is_dead = transaction.execute(sql, &[&other.no, &other.beat]).await? > 0;
    if is_dead {
        tracing::warn!(
            host = other.name,
            no = other.no,
            "the host {} ({}) is gone without a word",
            other.name,
            other.no
        );
    }
    Ok(is_dead)
}

async fn enter(transaction: &Transaction<'_>, config: &PostgresConfig) -> Result<i32, StoreError> {
    let sql = "INSERT INTO host (name, state, version, cluster, proto) VALUES ($1, 'joining', $2, $3, $4) RETURNING no";
    let PostgresConfig { host, version, cluster, proto, .. } = config;
    let no = transaction.query_one(sql, &[host, version, cluster, proto]).await?.try_get(0)?;
    transaction.execute(concat!("SELECT pg_advisory_lock(", lives!("$1::int"), ")"), &[&no]).await?;
    Ok(no)
}

/// Refuses a database that a host uses, or may be about to. None comes until the end of the open transaction.
pub(super) async fn refuse_beside_any(client: &Client) -> Result<(), StoreError> {
    client.execute(OPENING, &[]).await?;
    let sql = concat!(
        "SELECT name, cluster FROM host WHERE state IN ('joining', 'live', 'draining') AND NOT (pg_try_advisory_xact_lock(",
        lives!("no"),
        ") AND beat < clock_timestamp() - $1 * interval '1 second') LIMIT 1"
    );
    match client.query_opt(sql, &[&LOST_WITH_CONNECTION.as_secs_f64()]).await? {
        Some(row) => Err(StoreError::InUse { host: row.try_get(0)?, cluster: row.try_get(1)?, is_namesake: false }),
        None => Ok(()),
    }
}
