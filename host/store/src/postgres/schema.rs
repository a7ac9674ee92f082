//! The schema in PostgreSQL. `cluster.schema` holds its version.

use tokio_postgres::{Client, Transaction};

use crate::error::StoreError;

/// The version that this server creates.
pub(super) const VERSION: i32 = 1;

/// The statements that lead from each version to the next one.
const STEPS: [&str; 1] = [include_str!("schema-1.sql")];

/// The advisory lock of a change of the schema.
const LOCK: i64 = 7_230_002;

/// Creates the schema, or brings it up to date.
pub(super) async fn settle(client: &mut Client) -> Result<(), StoreError> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let found = version(&transaction).await?;
    if found > VERSION {
        return Err(StoreError::SchemaTooNew { found: found.into(), known: VERSION.into() });
    }
    if found == VERSION {
        return Ok(transaction.commit().await?);
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(step).await?;
    }
    transaction
        .execute(
            "INSERT INTO cluster (epoch, schema) VALUES (left(md5(gen_random_uuid()::text), 16), $1) \
             ON CONFLICT (one) DO UPDATE SET schema = excluded.schema",
            &[&VERSION],
        )
        .await?;
    transaction.commit().await?;
    tracing::info!(version = VERSION, "the database has schema version {VERSION}, it had {found}");
    Ok(())
}

/// The version of the schema that is there. 0: there is none.
async fn version(transaction: &Transaction<'_>) -> Result<i32, StoreError> {
    let row = transaction.query_one("SELECT to_regclass('cluster') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = transaction.query_opt("SELECT schema FROM cluster", &[]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}
