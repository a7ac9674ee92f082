//! Rows of the schema as the model's plain data, and the queries that both the writer and the readers use.

use std::cmp::Ordering;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::places::{SEQ_MAX, messages_between, places};
use crate::model::{Draft, Message, MessageId, Room, RoomId, Seq, Speaker, Timestamp, User};

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
        "id, room, seq, sender, nickname, email, profile_url, text, client_id, parent, extra, created_at"
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
    let sender =
        Speaker::new(User { id: row.get(3)?, nickname: row.get(4)?, email: row.get(5)?, profile_url: row.get(6)? });
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
    let mut statement = connection.prepare_cached(messages_between!("seq", "DESC"))?;
    let (from, to) = places(room, Seq(0), SEQ_MAX);
    let last = statement.query_row((from, to, 1), |row| number(row, 0)).optional()?;
    Ok(Seq(last.unwrap_or(0)))
}

/// A page of a room's messages, oldest first.
pub(super) fn messages(
    connection: &Connection,
    room: RoomId,
    page: Page,
    limit: usize,
) -> rusqlite::Result<Vec<Message>> {
    const OLDEST: &str = messages_between!(message_columns!(), "ASC");
    const NEWEST: &str = messages_between!(message_columns!(), "DESC");
    let (sql, (from, to)) = match page {
        Page::After(seq) => (OLDEST, places(room, Seq(seq.0.saturating_add(1)), SEQ_MAX)),
        Page::Before(seq) => (NEWEST, places(room, Seq(0), Seq(seq.0.saturating_sub(1)))),
        Page::Latest => (NEWEST, places(room, Seq(0), SEQ_MAX)),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut messages: Vec<Message> =
        statement.query_map((from, to, stored(limit as u64)), read_message)?.collect::<Result<_, _>>()?;
    if !matches!(page, Page::After(_)) {
        messages.reverse();
    }
    Ok(messages)
}

/// Whether a message stands in a room. No index knows ids; but in a room they rise with `seq`, which has no gaps, so it is
/// searched by halves.
pub(super) fn has_message(connection: &Connection, room: RoomId, id: MessageId) -> rusqlite::Result<bool> {
    let mut id_at = connection.prepare_cached(messages_between!("id, seq", "ASC"))?;
    let (mut from, mut to) = (1, last_seq(connection, room)?.0);
    while from <= to {
        let middle = from + (to - from) / 2;
        let (first, last) = places(room, Seq(middle), Seq(middle));
        let found = id_at.query_row((first, last, 1), |row| number(row, 0))?;
        match found.cmp(&id.0) {
            Ordering::Equal => return Ok(true),
            Ordering::Less => from = middle + 1,
            Ordering::Greater => to = middle - 1,
        }
    }
    Ok(false)
}
