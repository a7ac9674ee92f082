//! A host comes: its row, the lock that tells the others that it lives, and who of the others does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Transaction};

use crate::error::StoreError;

/// The class of the advisory locks that hosts hold while they live; the other half of the key is the host's number.
pub(super) const LIVES: i32 = 723;

/// The advisory lock of the host that is coming: one at a time.
const OPENING: i64 = 7_230_003;

/// A host that has not beaten for so long is dead.
const LOST: Duration = Duration::from_secs(3);

/// A host that has not beaten for so long is dead if its connection is gone as well.
const LOST_WITH_CONNECTION: Duration = Duration::from_secs(1);

/// How often the others are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Another host that may be alive.
struct Other {
    no: i32,
    name: String,
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
/// [`StoreError::InUse`] if another host is alive.
pub(super) async fn join(client: &mut Client, name: &str, version: &str) -> Result<i32, StoreError> {
    let mut first_seen: HashMap<i32, (String, Instant)> = HashMap::new();
    loop {
        let transaction = client.transaction().await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&OPENING]).await?;
        let mut is_waiting = false;
        for other in others(&transaction).await? {
            if !is_rival(name, &other) {
                continue;
            }
            let (beat, since) = first_seen.entry(other.no).or_insert_with(|| (other.beat.clone(), Instant::now()));
            if *beat != other.beat {
                return Err(StoreError::InUse(other.name));
            }
            let was_watched = other.age >= LOST && since.elapsed() >= LOST;
            // The same name without a connection is this host before its restart.
            let is_gone = other.is_free && (other.name == name || other.age >= LOST_WITH_CONNECTION);
            is_waiting |= !((is_gone || was_watched) && judge(&transaction, &other).await?);
        }
        if !is_waiting {
            let no = enter(&transaction, name, version).await?;
            transaction.commit().await?;
            return Ok(no);
        }
        transaction.commit().await?;
        tokio::time::sleep(LOOK).await;
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

/// Whether this host may not live beside the other. Without a bus between hosts it may live beside none.
fn is_rival(_name: &str, _other: &Other) -> bool {
    true
}

async fn others(transaction: &Transaction<'_>) -> Result<Vec<Other>, StoreError> {
    let sql = "SELECT no, name, beat::text, extract(epoch FROM clock_timestamp() - beat)::float8, \
               pg_try_advisory_xact_lock($1, no) FROM host WHERE state IN ('joining', 'live', 'draining')";
    let rows = transaction.query(sql, &[&LIVES]).await?;
    let read = |row: &tokio_postgres::Row| {
        let (no, name, beat) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let age = Duration::try_from_secs_f64(row.try_get(3)?).unwrap_or_default();
        Ok(Other { no, name, beat, age, is_free: row.try_get(4)? })
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

async fn enter(transaction: &Transaction<'_>, name: &str, version: &str) -> Result<i32, StoreError> {
    let sql = "INSERT INTO host (name, state, version) VALUES ($1, 'joining', $2) RETURNING no";
    let no: i32 = transaction.query_one(sql, &[&name, &version]).await?.try_get(0)?;
    transaction.execute("SELECT pg_advisory_lock($1, $2)", &[&LIVES, &no]).await?;
    Ok(no)
}
