//! The schema in PostgreSQL. `cluster.schema` holds its version.

use tokio_postgres::{Client, Error, GenericClient};

use crate::error::StoreError;

/// The version that this server creates.
pub(super) const VERSION: i32 = 2;

/// The statements that lead from each version to the next one.
const STEPS: [&str; 2] = [include_str!("schema-1.sql"), include_str!("schema-2.sql")];

/// The advisory lock of a change of the schema.
const LOCK: i64 = 7_230_002;

/// Creates the schema, or brings it up to date.
pub(super) async fn settle(client: &mut Client) -> Result<(), StoreError> {
    let transaction = client.transaction().await?;
    let found = settle_within(&transaction).await?;
    transaction.commit().await?;
    if found != VERSION {
        tracing::info!(version = VERSION, "the database has schema version {VERSION}, it had {found}");
    }
    Ok(())
}

/// The same within the open transaction, until whose end no other host does it. Returns the version that it had.
pub(super) async fn settle_within(transaction: &impl GenericClient) -> Result<i32, StoreError> {
    lock(transaction).await?;
    let found = version(transaction).await?;
    if found > VERSION {
        return Err(StoreError::SchemaTooNew { found: found.into(), known: VERSION.into() });
    }
    if found == VERSION {
        return Ok(found);
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
    Ok(found)
}

/// Keeps others from changing the schema until the end of the open transaction.
pub(super) async fn lock(transaction: &impl GenericClient) -> Result<(), Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map(drop)
}

/// The version of the schema that is there. 0: there is none.
async fn version(transaction: &impl GenericClient) -> Result<i32, StoreError> {
    let row = transaction.query_one("SELECT to_regclass('cluster') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = transaction.query_opt("SELECT schema FROM cluster", &[]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}
