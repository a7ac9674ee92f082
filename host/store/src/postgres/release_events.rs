//! What befell releases as rows of the schema: canaries, shadows, warnings.

use tokio_postgres::{Client, Error, Row};

use super::rows::{number, to_sql};
use crate::records::{EVENTS_MAX, StoredEvent};
use ondol_host_model::Timestamp;

/// Records an event.
pub(super) async fn insert(client: &Client, event: &StoredEvent) -> Result<(), Error> {
    let sql =
        "INSERT INTO release_event (release, what, who, detail, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let now = to_sql(Timestamp::now().0);
    let row = client.query_one(sql, &[&to_sql(event.release), &event.what, &event.actor, &event.detail, &now]).await?;
    let last = row.try_get::<_, i64>(0)?;
    client.execute("DELETE FROM release_event WHERE id <= $1", &[&(last - to_sql(EVENTS_MAX))]).await.map(drop)
}

/// The events of the releases from `first` to `last`, in their order.
pub(super) async fn list(client: &Client, first: u64, last: u64) -> Result<Vec<StoredEvent>, Error> {
    let sql =
        "SELECT release, what, who, detail, created_at FROM release_event WHERE release BETWEEN $1 AND $2 ORDER BY id";
    client.query(sql, &[&to_sql(first), &to_sql(last)]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StoredEvent, Error> {
    Ok(StoredEvent {
        release: number(row, "release")?,
        what: row.try_get("what")?,
        actor: row.try_get("who")?,
        detail: row.try_get("detail")?,
        created_at: Timestamp(number(row, "created_at")?),
    })
}
