//! The stored part of the room index: the table `run`, whose rows are segments. A segment holds the rowids of up to 512
//! consecutive messages of a room, under the key of the first.

use rusqlite::{Connection, OptionalExtension as _};

use super::message_key::{SEQ_MAX, key_range, message_key};
use ondol_host_model::{RoomId, Seq};

/// The rowids of a room's messages: those in segments from key `?1` to key `?2`, the first of which may begin before,
/// and those of the JSON array `?3`.
macro_rules! rowids_between {
    () => {
        "SELECT value FROM run, json_each(run.messages) WHERE place BETWEEN \
         coalesce((SELECT max(place) FROM run WHERE place BETWEEN ?1 & ~4294967295 AND ?1), ?1) AND ?2 \
         AND place + key BETWEEN ?1 AND ?2 \
         UNION ALL SELECT value FROM json_each(?3)"
    };
}

pub(super) use rowids_between;

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

/// The rowid of an indexed message.
pub(super) fn indexed_rowid(connection: &Connection, message_key: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT json_extract(messages, '$[' || (?1 - place) || ']') FROM run \
             WHERE place BETWEEN ?1 & ~4294967295 AND ?1 ORDER BY place DESC LIMIT 1",
        )?
        .query_row([message_key], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// The rowid from which on messages may be in no segment, as the database has it.
pub(super) fn first_unindexed(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT next FROM counter WHERE name = 'place'", [], |row| row.get(0))
}

/// Records that all messages below `rowid` are in segments.
pub(super) fn save_first_unindexed(connection: &Connection, rowid: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'place'")?.execute([rowid]).map(drop)
}
