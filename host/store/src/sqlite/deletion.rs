//! Deleting messages: the rows, what only they referenced, and the record of it for clients that come back.

use rusqlite::{Connection, OptionalExtension as _};

use super::Sqlite;
use super::deletion_marks::DeletionMarks;
use super::room_messages::RoomMessages;
use super::rows::{last_seq, number, to_sql};
use super::segments;
use super::unindexed::Unindexed;
use crate::error::StoreError;
use crate::outcomes::{Deleted, Deletion};
use ondol_host_model::{MessageId, RoomId, Seq, Timestamp};

impl Sqlite {
    /// Deletes messages of a room. Those that do not exist are left out.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`]. No message is deleted then.
    pub(crate) async fn delete(&self, room: RoomId, seqs: Vec<Seq>) -> Result<Deletion, StoreError> {
        self.blocking(move |database| database.delete(room, &seqs)).await
    }

    /// Deletions of messages up to `known`, made when the room had none after `since`, or later: a client that left the
    /// room at `since` may not know them. The latest ones, if there are more than `limit`. Where there is none, this costs
    /// no query.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub(crate) async fn deletions(
        &self,
        room: RoomId,
        since: Seq,
        known: Seq,
        limit: usize,
    ) -> Result<Vec<Deleted>, StoreError> {
        if !self.deletion_marks.any_since(room, since) {
            return Ok(Vec::new());
        }
        self.readers.read(move |connection| deletions(connection, room, [since, known], limit)).await
    }
}

/// Deletes messages of a room, inside the open transaction. Those that do not exist are left out.
pub(super) fn delete(
    connection: &Connection,
    unindexed: &Unindexed,
    marks: &DeletionMarks,
    room: RoomId,
    seqs: &[Seq],
) -> rusqlite::Result<Deletion> {
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    seqs.dedup();
    let (at_seq, now) = (last_seq(connection, room)?, Timestamp::now());
    let (messages, mut deletion) = (RoomMessages { connection, unindexed, room }, Deletion::default());
    let mut rest = seqs.as_slice();
    while let Some(seq) = rest.first() {
        let Some(mut stretch) = messages.stretch_from(*seq)? else { break };
        let (here, after) = rest.split_at(rest.partition_point(|seq| *seq < stretch.end()));
        rest = after;
        let before = deletion.messages.len();
        for seq in here {
            if let Some(rowid) = stretch.at(*seq)
                && delete_one(connection, room, *seq, rowid, &mut deletion)?
            {
                stretch.delete(*seq);
            }
        }
        let is_segment = unindexed.stretch().is_none_or(|tail| stretch.first() < tail.first());
        if is_segment && deletion.messages.len() > before {
            segments::replace(connection, room, &stretch)?;
        }
    }
    if !deletion.messages.is_empty() {
        marks.note(room, at_seq);
    }
    let mut record = connection
        .prepare_cached("INSERT INTO deletion (room, seq, id, at_seq, deleted_at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for Deleted { seq, id } in &deletion.messages {
        record.execute([room.0, seq.0, id.0, at_seq.0, now.0].map(to_sql))?;
    }
    Ok(deletion)
}

/// Deletes the message with this rowid, if it is the one with this `seq`.
fn delete_one(
    connection: &Connection,
    room: RoomId,
    seq: Seq,
    rowid: i64,
    deletion: &mut Deletion,
) -> rusqlite::Result<bool> {
    let row = connection
        .prepare_cached("DELETE FROM message WHERE n = ?1 AND room = ?2 AND seq = ?3 RETURNING id, sender, client_id")?
        .query_row((rowid, to_sql(room.0), to_sql(seq.0)), |row| {
            Ok((MessageId(number(row, 0)?), row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        })
        .optional()?;
    let Some((id, sender, client_id)) = row else { return Ok(false) };
    if let Some(client_id) = client_id {
        connection
            .prepare_cached(
                "DELETE FROM client_message WHERE room = ?1 AND user = (SELECT user FROM sender WHERE n = ?2) \
                 AND client_id = ?3 AND n = ?4",
            )?
            .execute((to_sql(room.0), sender, client_id, rowid))?;
    }
    deletion.messages.push(Deleted { seq, id });
    if !deletion.senders.contains(&sender) {
        deletion.senders.push(sender);
    }
    Ok(true)
}

fn deletions(connection: &Connection, room: RoomId, seqs: [Seq; 2], limit: usize) -> rusqlite::Result<Vec<Deleted>> {
    let [since, known] = seqs;
    let mut statement = connection.prepare_cached(
        "SELECT seq, id FROM deletion WHERE room = ?1 AND at_seq >= ?2 AND seq <= ?3 ORDER BY at_seq DESC, n DESC LIMIT ?4",
    )?;
    let read = |row: &rusqlite::Row<'_>| Ok(Deleted { seq: Seq(number(row, 0)?), id: MessageId(number(row, 1)?) });
    let found = statement.query_map([room.0, since.0, known.0, limit as u64].map(to_sql), read)?;
    let mut found: Vec<_> = found.collect::<rusqlite::Result<_>>()?;
    found.reverse();
    Ok(found)
}
