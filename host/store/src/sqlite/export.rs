//! What an export reads: rooms, and their messages up to an id, a page at a time. Between two pages no snapshot is held, so a
//! running server can empty its write-ahead log, however long the export takes.

use super::archive::{Archive, PAGE_ROWS};
use super::message_ids;
use super::room_messages;
use super::room_rows::{read_room, room_columns};
use super::rows::to_sql;
use crate::error::StoreError;
use crate::page::Page;
use ondol_host_model::{Message, MessageId, Room, RoomId, Seq};

/// The most bytes of a page in memory.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// What an export holds. It stays the same if the export is continued later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportBounds {
    /// The name of the history that the database holds.
    pub epoch: String,
    /// No message with a higher id is exported. All that were stored when the export began have lower ones.
    pub last_id: MessageId,
    /// No room with a higher id is exported.
    pub last_room: RoomId,
}

impl Archive {
    /// The bounds of an export that begins now.
    ///
    /// # Errors
    ///
    /// SQLite's error, as for all methods below.
    pub fn export_bounds(&self) -> Result<ExportBounds, StoreError> {
        let (epoch, last_room) = self.connection.query_row(
            "SELECT epoch, (SELECT coalesce(max(id), 0) FROM room) FROM history",
            [],
            |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)),
        )?;
        let last_id = MessageId(message_ids::first_free(&self.connection)?.saturating_sub(1));
        Ok(ExportBounds { epoch, last_id, last_room: RoomId(last_room.unsigned_abs()) })
    }

    /// The number of messages that the database holds, about: deleted ones count.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn messages_about(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(last - first + 1), 0) FROM room_seq";
        Ok(self.connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// The next rooms of an export, in the order of their ids. None are left after an empty page.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn export_rooms(&self, after: RoomId, bounds: &ExportBounds) -> Result<Vec<Room>, StoreError> {
        let sql = concat!(room_columns!(), " WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3");
        let mut statement = self.connection.prepare_cached(sql)?;
        let parameters = [after.0, bounds.last_room.0, PAGE_ROWS as u64].map(to_sql);
        Ok(statement.query_map(parameters, read_room)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The next messages of a room, in the order of their `seq`. None are left after an empty page.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub fn export_messages(&self, room: RoomId, after: Seq, bounds: &ExportBounds) -> Result<Vec<Message>, StoreError> {
        let (unindexed, page) = (self.unindexed.of(room), Page::After(after));
        let mut page = room_messages::page(&self.connection, &unindexed, room, page, PAGE_ROWS, PAGE_BYTES_MAX)?;
        // Within a room ids rise with `seq`.
        page.truncate(page.partition_point(|message| message.id <= bounds.last_id));
        Ok(page)
    }
}
