//! The oldest messages of rooms, which are kept no longer: what to remove next, and its removal. A piece is small, so that
//! no message waits for it long.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::room_messages::RoomMessages;
use super::rows::{first_seq, number, to_sql};
use super::segments;
use super::stretch::json_array;
use super::unindexed::UnindexedByRoom;
use ondol_host_model::{RoomId, Seq, Timestamp};

/// The most messages in a piece.
const MESSAGES: usize = 200;

/// Messages to be removed in one transaction.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    messages: Vec<Old>,
    /// The first `seq` that is kept, by room.
    pub(super) firsts: BTreeMap<RoomId, Seq>,
}

/// One of them.
#[derive(Debug)]
struct Old {
    rowid: i64,
    room: RoomId,
    seq: Seq,
    created_at: Timestamp,
    /// The user's id and their own id of the message, if it has one.
    client_id: Option<(String, String)>,
}

/// Selects the columns of [`read`].
macro_rules! old {
    () => {
        "SELECT message.n, message.room, message.seq, message.created_at, message.client_id, \
         CASE WHEN message.client_id IS NOT NULL THEN (SELECT user FROM sender WHERE n = message.sender) END FROM message"
    };
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Old> {
    Ok(Old {
        rowid: row.get(0)?,
        room: RoomId(number(row, 1)?),
        seq: Seq(number(row, 2)?),
        created_at: Timestamp(number(row, 3)?),
        client_id: row.get::<_, Option<String>>(5)?.zip(row.get(4)?),
    })
}

impl Oldest {
    /// The oldest messages of all rooms that are older than `before`. Messages are in the order of their commits, so the
    /// first one that is not ends the search.
    pub(super) fn before(connection: &Connection, before: Timestamp) -> rusqlite::Result<Self> {
        let mut oldest = Self::default();
        let mut statement = connection.prepare_cached(concat!(old!(), " ORDER BY message.n LIMIT ?1"))?;
        for old in statement.query_map([to_sql(MESSAGES as u64)], read)? {
            let old = old?;
            if old.created_at >= before {
                break;
            }
            oldest.firsts.insert(old.room, old.seq.next());
            oldest.messages.push(old);
        }
        Ok(oldest)
    }

    /// The oldest messages of the first rooms from `room` on that have more than `kept`, by their numbers.
    pub(super) fn beyond(
        connection: &Connection,
        unindexed: &UnindexedByRoom,
        room: RoomId,
        kept: u64,
    ) -> rusqlite::Result<Self> {
        let mut oldest = Self::default();
        let mut statement = connection.prepare_cached(
            "SELECT room, last FROM room_seq WHERE room >= ?1 AND last - first >= ?2 ORDER BY room LIMIT ?3",
        )?;
        let read = |row: &rusqlite::Row<'_>| Ok((RoomId(number(row, 0)?), number(row, 1)?));
        let rooms = statement.query_map([room.0, kept, MESSAGES as u64].map(to_sql), read)?;
        for (room, last) in rooms.collect::<rusqlite::Result<Vec<_>>>()? {
            oldest.of_room(connection, unindexed, room, Seq((last + 1).saturating_sub(kept)))?;
            if oldest.is_full() {
                break;
            }
        }
        Ok(oldest)
    }

    /// Adds the oldest messages of a room before `end`.
    fn of_room(
        &mut self,
        connection: &Connection,
        unindexed: &UnindexedByRoom,
        room: RoomId,
        end: Seq,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(concat!(
            old!(),
            " WHERE message.n IN (SELECT value FROM json_each(?1)) AND message.room = ?2 ORDER BY message.n"
        ))?;
        // Copied before the first query.
        let unindexed = unindexed.of(room);
        let messages = RoomMessages { connection, unindexed: &unindexed, room };
        let mut first = first_seq(connection, room)?;
        while first < end && !self.is_full() {
            let Some(stretch) = messages.stretch_from(first)?.filter(|stretch| stretch.first() < end) else {
                first = end;
                break;
            };
            let mut rest = stretch.between(first, Seq(end.0 - 1));
            let rowids: Vec<i64> = rest.by_ref().take(MESSAGES - self.messages.len()).map(|(_, rowid)| rowid).collect();
            first = rest.next().map_or(stretch.end().min(end), |(seq, _)| seq);
            for old in statement.query_map((json_array(&rowids), to_sql(room.0)), read)? {
                let old = old?;
                // SQLite may have given the rowid of a row that an operator deleted to a later message.
                if old.seq < end {
                    self.messages.push(old);
                }
            }
        }
        self.firsts.insert(room, first);
        Ok(())
    }

    /// Whether there is nothing to remove.
    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// Whether there may be more to remove than a piece takes.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= MESSAGES
    }

    /// Removes the messages, inside the open transaction.
    pub(super) fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        let rowids: Vec<i64> = self.messages.iter().map(|old| old.rowid).collect();
        connection
            .prepare_cached("DELETE FROM message WHERE n IN (SELECT value FROM json_each(?1))")?
            .execute([json_array(&rowids)])?;
        let mut client_ids = connection
            .prepare_cached("DELETE FROM client_message WHERE room = ?1 AND user = ?2 AND client_id = ?3 AND n = ?4")?;
        for old in &self.messages {
            if let Some((user, client_id)) = &old.client_id {
                client_ids.execute((to_sql(old.room.0), user, client_id, old.rowid))?;
            }
        }
        let mut first_of_room =
            connection.prepare_cached("UPDATE room_seq SET first = max(first, ?2) WHERE room = ?1")?;
        // Who has less of the room than that is not told of single messages.
        let mut deletions = connection.prepare_cached(
            "DELETE FROM deletion WHERE n IN (SELECT n FROM deletion WHERE room = ?1 AND at_seq < ?2 LIMIT ?3)",
        )?;
        for (room, first) in &self.firsts {
            let (room_number, first_number) = (to_sql(room.0), to_sql(first.0));
            first_of_room.execute((room_number, first_number))?;
            deletions.execute((room_number, first_number, to_sql(MESSAGES as u64)))?;
            segments::remove_before(connection, *room, *first)?;
        }
        Ok(())
    }
}
