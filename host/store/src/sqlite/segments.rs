//! The stored part of the room index: the table `run`, whose rows are segments. A segment holds the rowids of up to 512
//! consecutive messages of a room, under the key of the first.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::message_key::{SEQ_MAX, key_range, message_key};
use super::stretch::Stretch;
use ondol_host_model::{RoomId, Seq};

/// The last segment of a room that begins at `seq` or before. It may end before it as well.
pub(super) fn at_or_before(
    connection: &Connection,
    room: RoomId,
    seq: Seq,
) -> rusqlite::Result<Option<Stretch<'static>>> {
    connection
        .prepare_cached("SELECT place, messages FROM run WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 1")?
        .query_row(key_range(room, Seq(0), seq), read)
        .optional()
}

/// The first segment of a room that begins after `seq`.
pub(super) fn after(connection: &Connection, room: RoomId, seq: Seq) -> rusqlite::Result<Option<Stretch<'static>>> {
    connection
        .prepare_cached("SELECT place, messages FROM run WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT 1")?
        .query_row(key_range(room, seq.next(), SEQ_MAX), read)
        .optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stretch<'static>> {
    let first = row.get::<_, i64>(0)? & i64::from(u32::MAX);
    Ok(Stretch::of_json(Seq(first.unsigned_abs()), row.get_ref(1)?.as_str()?))
}

/// Replaces what a segment points at, inside the open transaction. A segment that points at nothing is removed.
pub(super) fn replace(connection: &Connection, room: RoomId, segment: &Stretch<'_>) -> rusqlite::Result<()> {
    let key = message_key(room, segment.first());
    if segment.is_empty() {
        return connection.prepare_cached("DELETE FROM run WHERE place = ?1")?.execute([key]).map(drop);
    }
    let mut statement = connection.prepare_cached("UPDATE run SET messages = ?2 WHERE place = ?1")?;
    statement.execute((key, segment.to_json())).map(drop)
}

/// Removes the segments of a room that end before `seq`, inside the open transaction.
pub(super) fn remove_before(connection: &Connection, room: RoomId, seq: Seq) -> rusqlite::Result<()> {
    let (from, to) = key_range(room, Seq(0), Seq(seq.0.saturating_sub(1)));
    connection
        .prepare_cached(
            "DELETE FROM run WHERE place BETWEEN ?1 AND ?2 AND place + json_array_length(messages) - 1 <= ?2",
        )?
        .execute((from, to))
        .map(drop)
}

/// Inserts a segment, inside the open transaction.
pub(super) fn insert(connection: &Connection, room: RoomId, first: Seq, rowids: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT INTO run (place, messages) VALUES (?1, ?2)")?;
    statement.execute((message_key(room, first), rowids)).map(drop)
}

/// The `seq` of the last indexed message of a room, 0 if there is none.
pub(super) fn last_indexed_seq(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let (from, to) = key_range(room, Seq(0), SEQ_MAX);
    let last = connection
        .prepare_cached(
            "SELECT (place & 4294967295) + json_array_length(messages) - 1 FROM run \
             WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 1",
        )?
        .query_row((from, to), |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(Seq(last.unwrap_or(0).unsigned_abs()))
}

/// The rowid from which on messages may be in no segment, as the database has it.
pub(super) fn first_unindexed(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT next FROM counter WHERE name = 'place'", [], |row| row.get(0))
}

/// Records that all messages below `rowid` are in segments.
pub(super) fn save_first_unindexed(connection: &Connection, rowid: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'place'")?.execute([rowid]).map(drop)
}

/// The rowid from which on none was ever used, as far as the database knows.
pub(super) fn first_free_rowid(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT next FROM counter WHERE name = 'rowid'", [], |row| row.get(0))
}

/// Records that all rowids below this one were used, before messages are deleted.
pub(super) fn save_first_free_rowid(connection: &Connection, rowid: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'rowid'")?.execute([rowid]).map(drop)
}
