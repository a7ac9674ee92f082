//! Which rooms had deletions, and when last: most clients that come back need no query to know that there is nothing to tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::rows::number;
use ondol_host_model::{RoomId, Seq};

/// The last `seq` of each room when a message of it was last deleted, shared with the writer.
#[derive(Clone, Default)]
pub(super) struct DeletionMarks(Arc<Mutex<HashMap<RoomId, Seq>>>);

impl DeletionMarks {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT room, max(at_seq) FROM deletion GROUP BY room")?;
        let read = |row: &rusqlite::Row<'_>| Ok((RoomId(number(row, 0)?), Seq(number(row, 1)?)));
        let marks = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        Ok(Self(Arc::new(Mutex::new(marks))))
    }

    /// Notes a deletion. Call it before the deletion is committed: a mark too many costs a query.
    pub(super) fn note(&self, room: RoomId, at_seq: Seq) {
        self.lock().insert(room, at_seq);
    }

    /// Whether a message was deleted when the room had none after `seq`, or later.
    pub(super) fn any_since(&self, room: RoomId, seq: Seq) -> bool {
        self.lock().get(&room).is_some_and(|at_seq| *at_seq >= seq)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
