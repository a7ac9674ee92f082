//! What befell releases as rows of the schema: canaries, shadows, warnings.

use rusqlite::{Connection, Row, params};

use super::rows::to_sql;
use crate::records::{EVENTS_MAX, StoredEvent};
use ondol_host_model::Timestamp;

/// Records an event.
pub(super) fn insert(connection: &mut Connection, event: &StoredEvent) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO release_event (release, what, who, detail, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![to_sql(event.release), event.what, event.actor, event.detail, to_sql(Timestamp::now().0)],
    )?;
    let last = transaction.last_insert_rowid();
    transaction.execute("DELETE FROM release_event WHERE id <= ?1", [last - to_sql(EVENTS_MAX)])?;
    transaction.commit()
}

/// The events of the releases from `first` to `last`, in their order.
pub(super) fn list(connection: &Connection, first: u64, last: u64) -> rusqlite::Result<Vec<StoredEvent>> {
    let sql = "SELECT release, what, who, detail, created_at FROM release_event WHERE release BETWEEN ?1 AND ?2 \
               ORDER BY id";
    connection.prepare_cached(sql)?.query_map((to_sql(first), to_sql(last)), read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        release: row.get::<_, i64>(0)?.unsigned_abs(),
        what: row.get(1)?,
        actor: row.get(2)?,
        detail: row.get(3)?,
        created_at: Timestamp(row.get::<_, i64>(4)?.unsigned_abs()),
    })
}
