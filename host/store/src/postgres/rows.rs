//! Numbers and messages as PostgreSQL keeps them.

use std::sync::Arc;

use tokio_postgres::{Error, Row};

use ondol_host_model::{Draft, Message, MessageId, RoomId, Seq, Speaker, Timestamp, User};

/// A number as PostgreSQL keeps it. The host's numbers stay below 2^63; a larger one, which only a client can send, matches
/// no row.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of a row.
pub(super) fn number(row: &Row, column: &str) -> Result<u64, Error> {
    row.try_get::<_, i64>(column).map(i64::unsigned_abs)
}

/// The columns of [`read_message`], of `message` and `sender`.
macro_rules! message_columns {
    () => {
        "message.id, message.room, message.seq, sender.usr, sender.nickname, sender.email, sender.profile_url, \
         message.text, message.client_id, message.parent, message.extra, message.created_at"
    };
}

pub(super) use message_columns;

/// A message of a row.
pub(super) fn read_message(row: &Row) -> Result<Message, Error> {
    let sender = Speaker::new(User {
        id: row.try_get("usr")?,
        nickname: row.try_get("nickname")?,
        email: row.try_get("email")?,
        profile_url: row.try_get("profile_url")?,
    });
    let draft = Draft {
        text: row.try_get("text")?,
        client_id: row.try_get("client_id")?,
        parent: row.try_get::<_, Option<i64>>("parent")?.map(|parent| MessageId(parent.unsigned_abs())),
        extra: row.try_get("extra")?,
    };
    Ok(Message {
        id: MessageId(number(row, "id")?),
        room: RoomId(number(row, "room")?),
        seq: Seq(number(row, "seq")?),
        sender: Arc::new(sender),
        draft,
        created_at: Timestamp(number(row, "created_at")?),
        origin: None,
    })
}
