//! Rooms as rows of the schema.

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior};

use super::rows::{number, to_sql};
use crate::outcomes::RoomOutcome;
use ondol_host_model::{Room, RoomDraft, RoomId, Timestamp};

/// Selects the columns of [`read_room`].
macro_rules! room_columns {
    () => {
        "SELECT id, name, post_id, owner, created_at FROM room"
    };
}

pub(super) use room_columns;

/// A room of a row.
pub(super) fn read_room(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        id: RoomId(number(row, 0)?),
        name: row.get(1)?,
        post_id: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
        owner: row.get(3)?,
        created_at: Timestamp(number(row, 4)?),
    })
}

/// Creates a room in a transaction of its own, or finds the one that its post has.
pub(super) fn create(
    connection: &mut Connection,
    draft: &RoomDraft,
    post_id: Option<u64>,
    owner: Option<&str>,
) -> rusqlite::Result<RoomOutcome> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(post_id) = post_id {
        let sql = concat!(room_columns!(), " WHERE post_id = ?1");
        let existing = transaction.prepare_cached(sql)?.query_row([to_sql(post_id)], read_room).optional()?;
        if let Some(room) = existing {
            return Ok(RoomOutcome::Existing(room));
        }
    }
    let created_at = Timestamp::now();
    transaction
        .prepare_cached("INSERT INTO room (name, post_id, owner, created_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((&draft.name, post_id.map(to_sql), owner, to_sql(created_at.0)))?;
    let id = RoomId(transaction.last_insert_rowid().unsigned_abs());
    transaction.commit()?;
    let (name, owner) = (draft.name.clone(), owner.map(str::to_owned));
    Ok(RoomOutcome::Created(Room { id, name, post_id, owner, created_at }))
}

/// Inserts a room with its number, inside the open transaction.
pub(super) fn insert(connection: &Connection, room: &Room) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO room (id, name, post_id, owner, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((to_sql(room.id.0), &room.name, room.post_id.map(to_sql), &room.owner, to_sql(room.created_at.0)))
        .map(drop)
}

/// A room by its number.
pub(super) fn find(connection: &Connection, id: RoomId) -> rusqlite::Result<Option<Room>> {
    let sql = concat!(room_columns!(), " WHERE id = ?1");
    connection.prepare_cached(sql)?.query_row([to_sql(id.0)], read_room).optional()
}

/// Whether a room exists.
pub(super) fn exists(connection: &Connection, id: RoomId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM room WHERE id = ?1")?.exists([to_sql(id.0)])
}

/// Rooms with numbers above `after`, oldest first.
pub(super) fn list(connection: &Connection, after: RoomId, limit: usize) -> rusqlite::Result<Vec<Room>> {
    let sql = concat!(room_columns!(), " WHERE id > ?1 ORDER BY id LIMIT ?2");
    connection.prepare_cached(sql)?.query_map((to_sql(after.0), to_sql(limit as u64)), read_room)?.collect()
}
