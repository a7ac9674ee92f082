//! Pages of a room's messages.

use deadpool_postgres::Object;
use tokio_postgres::Error;

use super::rows::{message_columns, number, read_message, to_sql};
use crate::page::{Cut, MESSAGE_BYTES_MIN, Page};
use ondol_host_model::{Message, RoomId, Seq};

/// Messages of a room, and the room's last `seq` at the same moment.
pub(super) struct Read {
    /// The oldest first.
    pub(super) messages: Vec<Message>,
    /// Whether `limit` or `bytes_max` ended the page, and not the room.
    pub(super) is_full: bool,
    /// The last `seq` of the room.
    pub(super) last: Seq,
}

// Deleted messages leave gaps: the index leads past them. A message takes at least the bytes that are summed up here, so no
// message is missing that would still be on the page, and few are read beyond it.
macro_rules! page {
    ($beyond:literal, $order:literal) => {
        concat!(
            "SELECT room.last_seq, message.found, message.room IS NOT NULL AS is_there, ",
            message_columns!(),
            " FROM room LEFT JOIN LATERAL (SELECT *, count(*) OVER () AS found, \
             sum($5::bigint + octet_length(text) + coalesce(octet_length(extra), 0)) OVER \
             (ORDER BY seq ",
            $order,
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM \
             (SELECT * FROM message m WHERE m.room = room.id AND m.seq >= room.first_seq AND m.seq ",
            $beyond,
            " $2 ORDER BY m.seq ",
            $order,
            " LIMIT $3) AS nearest) message ON coalesce(message.before, 0) <= $4::bigint \
             LEFT JOIN sender ON sender.n = message.sender WHERE room.id = $1"
        )
    };
}

/// The statements, forward and backward.
const FORWARD: &str = page!(">", "ASC");
const BACKWARD: &str = page!("<", "DESC");

/// A page of a room's messages, oldest first. It ends before it exceeds `bytes_max` bytes as JSON, but holds at least one
/// message: [`Page::After`] keeps the first ones, the others keep the last ones.
pub(super) async fn read(
    client: &Object,
    room: RoomId,
    page: Page,
    limit: usize,
    bytes_max: usize,
) -> Result<Read, Error> {
    let (sql, beyond) = match page {
        Page::After(seq) => (FORWARD, to_sql(seq.0)),
        Page::Before(seq) => (BACKWARD, to_sql(seq.0)),
        Page::Latest => (BACKWARD, i64::MAX),
    };
    let statement = client.prepare_cached(sql).await?;
    let [room, limit_sql, bytes_sql, min] =
        [room.0, limit as u64, bytes_max as u64, MESSAGE_BYTES_MIN as u64].map(to_sql);
    let rows = client.query(&statement, &[&room, &beyond, &limit_sql, &bytes_sql, &min]).await?;
    let last = Seq(rows.first().map(|row| number(row, "last_seq")).transpose()?.unwrap_or(0));
    let (mut messages, mut found) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        // A message without a sender is told by `ondol verify`.
        if row.try_get("is_there")? && row.try_get::<_, Option<&str>>("usr")?.is_some() {
            messages.push(read_message(row)?);
            found = number(row, "found")?;
        }
    }
    messages.sort_unstable_by_key(|message| message.seq);
    if sql == BACKWARD {
        messages.reverse();
    }
    let mut cut = Cut::new(bytes_max);
    let fitting = messages.iter().take_while(|message| cut.takes(message)).count();
    messages.truncate(fitting);
    let is_full = found > messages.len() as u64 || messages.len() >= limit;
    if sql == BACKWARD {
        messages.reverse();
    }
    Ok(Read { messages, is_full, last })
}
