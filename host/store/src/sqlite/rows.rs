//! Numbers and messages as SQLite keeps them.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row};

use ondol_host_model::{Draft, Message, MessageId, RoomId, Seq, Speaker, Timestamp, User};

/// Selects the columns of [`read_message`].
macro_rules! messages {
    () => {
        "SELECT message.id, message.room, message.seq, sender.user, sender.nickname, sender.email, sender.profile_url, \
         message.text, message.client_id, message.parent, message.extra, message.created_at, message.n \
         FROM message CROSS JOIN sender ON sender.n = message.sender"
    };
}

pub(super) use messages;

/// A number as SQLite keeps it. The host's numbers stay below 2^63; a larger one, which only a client can send, matches
/// no row.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of a row.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

/// A message of a row.
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
        origin: None,
    })
}

/// The last `seq` that was used in a room, 0 if none was. Its message may have been deleted.
pub(super) fn last_seq(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let sql = "SELECT last FROM room_seq WHERE room = ?1";
    let last = connection.prepare_cached(sql)?.query_row([to_sql(room.0)], |row| number(row, 0)).optional()?;
    Ok(Seq(last.unwrap_or(0)))
}

/// The `seq` of a room's first message that may still be stored: those before it were removed.
pub(super) fn first_seq(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let sql = "SELECT first FROM room_seq WHERE room = ?1";
    let first = connection.prepare_cached(sql)?.query_row([to_sql(room.0)], |row| number(row, 0)).optional()?;
    Ok(Seq(first.unwrap_or(1)))
}

/// The message to which a sender gave this `client_id` in a room.
pub(super) fn by_client_id(
    connection: &Connection,
    room: RoomId,
    sender: &str,
    client_id: &str,
) -> rusqlite::Result<Option<Message>> {
    let sql = concat!(
        messages!(),
        " WHERE message.n = (SELECT n FROM client_message WHERE room = ?1 AND user = ?2 AND client_id = ?3) \
         AND message.room = ?1 AND message.client_id = ?3"
    );
    connection.prepare_cached(sql)?.query_row((to_sql(room.0), sender, client_id), read_message).optional()
}
