//! Rows of the schema as the model's plain data, and the queries that both the writer and the readers use.

use std::cmp::Ordering;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::runs::{Tail, number_in_run, numbers_between, place, places};
use ondol_host_model::{Draft, Message, MessageId, Room, RoomId, Seq, Speaker, Timestamp, User};

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

/// For [`read_message`].
macro_rules! messages {
    () => {
        "SELECT message.id, message.room, message.seq, sender.user, sender.nickname, sender.email, sender.profile_url, \
         message.text, message.client_id, message.parent, message.extra, message.created_at, message.n \
         FROM message CROSS JOIN sender ON sender.n = message.sender"
    };
}

pub(super) use {messages, room_columns};

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

/// The last `seq` that was given out in a room, 0 when none was. Its message may have been deleted.
pub(super) fn last_seq(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let sql = "SELECT last FROM room_seq WHERE room = ?1";
    let last = connection.prepare_cached(sql)?.query_row([stored(room.0)], |row| number(row, 0)).optional()?;
    Ok(Seq(last.unwrap_or(0)))
}

/// The last `seq` of a room as of the moment when its tail was taken.
pub(super) fn last_of(connection: &Connection, tail: &Tail, room: RoomId) -> rusqlite::Result<Seq> {
    tail.last().map_or_else(|| last_seq(connection, room), Ok)
}

/// A page of a room's messages, oldest first. It ends before it has more than `bytes_max` bytes as JSON, but holds at least one
/// message: after a message the first ones are kept, before one the last ones. Rows beyond are not read.
pub(super) fn page(
    connection: &Connection,
    tail: &Tail,
    room: RoomId,
    page: Page,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Message>> {
    // A room's numbers have no gaps, so the page is known by its ends.
    let (most, last) = (limit as u64, last_of(connection, tail, room)?.0);
    let (from, to) = match page {
        Page::After(seq) => (seq.0.saturating_add(1), seq.0.saturating_add(most)),
        Page::Before(seq) => {
            let to = last.min(seq.0.saturating_sub(1));
            ((to + 1).saturating_sub(most), to)
        }
        Page::Latest => ((last + 1).saturating_sub(most), last),
    };
    let (from, to) = (Seq(from.max(1)), Seq(to.min(last)));
    if from > to {
        return Ok(Vec::new());
    }
    let forward = matches!(page, Page::After(_));
    // A row that was deleted may have left its number to a message of another room.
    macro_rules! messages_between {
        ($order:literal) => {
            concat!(
                messages!(),
                " WHERE message.n IN (",
                numbers_between!(),
                ") AND message.room = ?4 AND message.seq BETWEEN ?5 AND ?6 ORDER BY message.n",
                $order
            )
        };
    }
    let sql = if forward { messages_between!("") } else { messages_between!(" DESC") };
    let (first, end) = places(room, from, to);
    let mut statement = connection.prepare_cached(sql)?;
    let (mut messages, mut bytes) = (Vec::new(), 0_usize);
    let between = (first, end, tail.between(from, to), stored(room.0), stored(from.0), stored(to.0));
    for message in statement.query_map(between, read_message)? {
        let message = message?;
        bytes = bytes.saturating_add(json_bytes(&message));
        if bytes > bytes_max && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    if !forward {
        messages.reverse();
    }
    Ok(messages)
}

/// The most bytes that a message has as JSON: its strings as they are escaped, and room for all else.
fn json_bytes(message: &Message) -> usize {
    /// The keys with their signs, four numbers of up to 20 digits, and a time.
    const FIXED: usize = 300;
    let escaped = |text: &str| -> usize {
        let bytes = |byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..b' ' => 6,
            _ => 1,
        };
        text.bytes().map(bytes).sum()
    };
    let (draft, sender) = (&message.draft, &message.sender);
    let optional = [sender.profile_url.as_deref(), draft.client_id.as_deref(), draft.extra.as_deref()];
    let texts = [draft.text.as_str(), &sender.email, &sender.nickname];
    FIXED + texts.into_iter().chain(optional.into_iter().flatten()).map(escaped).sum::<usize>()
}

/// Whether a message stands in a room. No index knows ids; but in a room they rise with `seq`, so it is searched by halves.
/// Where a message was deleted, the next one that is there decides.
pub(super) fn has_message(connection: &Connection, tail: &Tail, room: RoomId, id: MessageId) -> rusqlite::Result<bool> {
    let mut id_of = connection.prepare_cached("SELECT id FROM message WHERE n = ?1 AND room = ?2 AND seq = ?3")?;
    let mut at = |seq: u64| {
        let n = match (tail.at(Seq(seq)), place(room, Seq(seq))) {
            (None, Some(place)) => number_in_run(connection, place)?,
            (n, _) => n,
        };
        id_of.query_row((n, stored(room.0), stored(seq)), |row| number(row, 0)).optional()
    };
    let (mut from, mut to) = (1, last_of(connection, tail, room)?.0);
    while from <= to {
        let middle = from + (to - from) / 2;
        let mut there = middle;
        let mut found = at(there)?;
        while found.is_none() && there < to {
            there += 1;
            found = at(there)?;
        }
        match found.map(|found| found.cmp(&id.0)) {
            Some(Ordering::Equal) => return Ok(true),
            Some(Ordering::Less) => from = there + 1,
            Some(Ordering::Greater) | None => to = middle - 1,
        }
    }
    Ok(false)
}
