//! Checks a database in PostgreSQL for what the store relies on. Reads one snapshot, changes nothing, and needs memory for
//! the rooms and the deletions, not for the messages. Whether PostgreSQL's files are sound is for its own tools.

mod messages;

use tokio::runtime;
use tokio_postgres::{Client, Row};

use super::connect::{self, Connector, PostgresConfig, Purpose};
use super::examine::known_schema;
use super::ids::BLOCK;
use super::schema;
use crate::error::StoreError;
use crate::verified::{Problems, Verified};

/// Entries of clients' ids that lead to no message, or to one that has another id or another sender.
const STRAY_CLIENT_IDS: &str = "
    SELECT known.room, known.seq FROM client_message known
    LEFT JOIN message ON message.room = known.room AND message.seq = known.seq
    LEFT JOIN sender ON sender.n = message.sender
    WHERE message.client_id IS DISTINCT FROM known.client_id OR sender.usr IS DISTINCT FROM known.usr
    ORDER BY known.room, known.seq";

const DAMAGED_COMPONENTS: &str =
    "SELECT sha256 FROM component WHERE encode(sha256(wasm), 'hex') <> sha256 ORDER BY sha256";

const MISSING_COMPONENTS: &str =
    "SELECT id FROM version WHERE NOT EXISTS (SELECT FROM component WHERE sha256 = component) ORDER BY id";

const MISSING_VERSIONS: &str = "
    SELECT release.id, part.handler FROM release,
        unnest(ARRAY['rooms', 'messages', 'events'], ARRAY[rooms, messages, events]) part (handler, version)
    WHERE outcome = 'active' AND NOT EXISTS (SELECT FROM version WHERE version.id = part.version)";

/// The first id of the next block that a host takes, and the highest one that a message has.
const IDS: &str = "SELECT last_value, is_called, (SELECT coalesce(max(id), 0) FROM message) FROM message_id";

/// Checks a database, which hosts may be using. Reports how many messages are read, and of how many. Not on a runtime: it
/// waits.
///
/// # Errors
///
/// If no server answers, the database has no tables of Ondol, or a later server wrote it.
pub fn verify_postgres(config: &PostgresConfig, report: &dyn Fn(u64, u64)) -> Result<Verified, StoreError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Thread(error.to_string()))?;
    let connector = Connector::new(config)?;
    runtime.block_on(async {
        let client = connector.connect(Purpose::Whole).await?;
        connect::check_server(&client).await?;
        check(&client, report).await
    })
}

async fn check(client: &Client, report: &dyn Fn(u64, u64)) -> Result<Verified, StoreError> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let has_tables = client.query_one("SELECT to_regclass('cluster') IS NOT NULL", &[]).await?;
    if !has_tables.try_get::<_, bool>(0)? {
        return Err(StoreError::Postgres("the database has no tables of Ondol".to_owned()));
    }
    let mut found = Verified::default();
    let version = known_schema(client).await?;
    let counts = "SELECT (SELECT count(*) FROM room), (SELECT count(*) FROM message)";
    let counts = client.query_one(counts, &[]).await?;
    [found.rooms, found.messages] = [counts.try_get(0)?, counts.try_get(1)?].map(i64::unsigned_abs);
    if version < schema::VERSION {
        found.earlier_schema = Some(version.into());
        return Ok(found);
    }
    let (problems, total) = (&mut found.problems, found.messages);
    messages::check(client, problems, &|done| report(done, total)).await?;
    stray_client_ids(client, problems).await?;
    ids(client, problems).await?;
    releases(client, problems).await?;
    client.batch_execute("COMMIT").await?;
    Ok(found)
}

async fn stray_client_ids(client: &Client, problems: &mut Problems) -> Result<(), StoreError> {
    for row in client.query(STRAY_CLIENT_IDS, &[]).await? {
        let (room, seq): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        problems.add(|| format!("room {room}, seq {seq}: a client_id leads to it that is not its own"));
    }
    Ok(())
}

/// The next block of ids is above all of them.
async fn ids(client: &Client, problems: &mut Problems) -> Result<(), StoreError> {
    let row = client.query_one(IDS, &[]).await?;
    let (last, is_called, highest): (i64, bool, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let next = if is_called { last.saturating_add_unsigned(BLOCK) } else { last };
    if next <= highest {
        problems.add(|| format!("message {highest} exists, and ids from {next} on count as free"));
    }
    Ok(())
}

async fn releases(client: &Client, problems: &mut Problems) -> Result<(), StoreError> {
    let name = |row: &Row, column| row.try_get::<_, String>(column);
    for row in client.query(DAMAGED_COMPONENTS, &[]).await? {
        let component = name(&row, 0)?;
        problems.add(|| format!("component {component}: its bytes have another digest"));
    }
    for row in client.query(MISSING_COMPONENTS, &[]).await? {
        let version = name(&row, 0)?;
        problems.add(|| format!("version {version}: its component is missing"));
    }
    for row in client.query(MISSING_VERSIONS, &[]).await? {
        let (release, handler) = (row.try_get::<_, i64>(0)?, name(&row, 1)?);
        problems.add(|| format!("release {release} is active, and its version of {handler} is missing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
