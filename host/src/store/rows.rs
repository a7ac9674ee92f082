//! Rows of the schema as the model's plain data, and the queries that both the writer and the readers use.

use std::sync::Arc;

use rusqlite::{Connection, Row};

use crate::model::{Draft, Message, MessageId, Room, RoomId, Seq, Timestamp, User};

/// Which messages of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The last ones.
    Latest,
    /// The first ones after this.
    After(Seq),
    /// The last ones before this.
    Before(Seq),
}

macro_rules! room_columns {
    () => {
        "SELECT id, name, post_id, owner, created_at FROM room"
    };
}

macro_rules! message_columns {
    () => {
        "SELECT id, room, seq, sender, nickname, email, profile_url, text, client_id, parent, extra, created_at FROM message"
    };
}

pub(super) use {message_columns, room_columns};

/// A number as SQLite keeps it. The host's numbers never pass 2^63; one from a client that does matches no row.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

pub(super) fn read_room(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        id: RoomId(number(row, 0)?),
        name: row.get(1)?,
        post_id: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
        owner: row.get(3)?,
        created_at: Timestamp(number(row, 4)?),
    })
}

pub(super) fn read_message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let sender = User { id: row.get(3)?, nickname: row.get(4)?, email: row.get(5)?, profile_url: row.get(6)? };
    let draft = Draft {
        text: row.get(7)?,
        client_id: row.get(8)?,
        parent: row.get::<_, Option<i64>>(9)?.map(|parent| MessageId(parent.unsigned_abs())),
        extra: row.get(10)?,
    };
    Ok(Message {
        id: MessageId(number(row, 0)?),
        room: RoomId(number(row, 1)?),
        seq: Seq(number(row, 2)?),
        sender: Arc::new(sender),
        draft,
        created_at: Timestamp(number(row, 11)?),
    })
}

/// The `seq` of the last message of a room, 0 when it has none.
pub(super) fn last_seq(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM message WHERE room = ?1")?;
    statement.query_row([stored(room.0)], |row| number(row, 0)).map(Seq)
}

/// A page of a room's messages, oldest first.
pub(super) fn messages(
    connection: &Connection,
    room: RoomId,
    page: Page,
    limit: usize,
) -> rusqlite::Result<Vec<Message>> {
    let (sql, bound) = match page {
        Page::After(seq) => (concat!(message_columns!(), " WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"), seq),
        Page::Before(seq) => {
            (concat!(message_columns!(), " WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"), seq)
        }
        Page::Latest => {
            let all = Seq(u64::MAX);
            (concat!(message_columns!(), " WHERE room = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT ?3"), all)
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut messages: Vec<Message> = statement
        .query_map((stored(room.0), stored(bound.0), stored(limit as u64)), read_message)?
        .collect::<Result<_, _>>()?;
    if !matches!(page, Page::After(_)) {
        messages.reverse();
    }
    Ok(messages)
}
