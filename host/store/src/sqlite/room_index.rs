//! Which messages belong to a room. All messages are appended to one table, whichever room they are for, so that a
//! commit writes as few pages as possible. The index is written later, a [segment](super::segments) of up to
//! [`SEGMENT_MAX`] messages at a time, so that one page is written for many messages, however many rooms there are.
//! Until then the rowids are in memory, where readers look as well. After a crash the latest messages are scanned.

use std::collections::{HashMap, VecDeque};

use rusqlite::Connection;

use super::segments;
use super::unindexed::{Unindexed, UnindexedByRoom};
use ondol_host_model::{RoomId, Seq};

/// The number of unindexed messages from which on a room is indexed. A segment costs a page or two, so few long ones
/// cost less.
const DUE: usize = 256;

/// The most messages in one segment.
pub(super) const SEGMENT_MAX: usize = 512;

/// How far back an unindexed message may be, which bounds the scan after a crash. Quiet rooms have shorter segments.
const AGE_MAX: i64 = 65_536;

/// How far the database's record of the first unindexed message may lag behind.
const SAVED_EVERY: i64 = 4_096;

/// A message that was inserted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inserted {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) rowid: i64,
    /// The row of its sender.
    pub(super) sender: i64,
}

/// The unindexed messages of all rooms, and which of them are due.
pub(super) struct RoomIndex {
    unindexed: UnindexedByRoom,
    /// Rooms with enough unindexed messages for a segment.
    due: Vec<RoomId>,
    /// The rowid of each room's first unindexed message, oldest first. May still list rooms that were indexed
    /// meanwhile.
    oldest: VecDeque<(i64, RoomId)>,
    /// The first rowid that may be unindexed, as the database has it.
    first_unindexed: i64,
    last_rowid: i64,
}

/// What an open transaction has written to the index. It takes effect in memory with the commit.
pub(super) struct IndexUpdate {
    rooms: Vec<RoomId>,
    first_unindexed: i64,
}

impl RoomIndex {
    /// Reads the index, and scans the messages that may be unindexed.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let first_unindexed = segments::first_unindexed(connection)?;
        let mut index =
            Self {
                unindexed: UnindexedByRoom::default(),
                due: Vec::new(),
                oldest: VecDeque::new(),
                first_unindexed,
                // A rowid that a segment names is not given to another message, even if its own is deleted. The messages that are
                // scanned may all be indexed, so the last rowid is asked for.
                last_rowid: (first_unindexed.max(segments::first_free_rowid(connection)?) - 1)
                    .max(connection.query_row("SELECT coalesce(max(n), 0) FROM message", [], |row| row.get(0))?),
            };
        let mut last_indexed = HashMap::new();
        let mut statement = connection.prepare("SELECT room, seq, n, sender FROM message WHERE n >= ?1 ORDER BY n")?;
        let mut rows = statement.query([first_unindexed])?;
        while let Some(row) = rows.next()? {
            let (room, seq) = (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs());
            let message = Inserted { room: RoomId(room), seq: Seq(seq), rowid: row.get(2)?, sender: row.get(3)? };
            let last = match last_indexed.get(&message.room) {
                Some(last) => *last,
                None => {
                    let last = segments::last_indexed_seq(connection, message.room)?;
                    last_indexed.insert(message.room, last);
                    last
                }
            };
            if message.seq > last {
                index.replace_unindexed(&[], std::iter::once(message));
            }
        }
        Ok(index)
    }

    /// The unindexed messages, for readers.
    pub(super) fn unindexed(&self) -> UnindexedByRoom {
        self.unindexed.clone()
    }

    /// The last message of each room that has unindexed ones.
    pub(super) fn last_unindexed(&self) -> Vec<(RoomId, Seq)> {
        self.unindexed.lock().iter().filter_map(|(room, unindexed)| Some((*room, unindexed.last()?))).collect()
    }

    /// Replaces what is in memory by `read`, for the readers as well.
    pub(super) fn replace(&mut self, read: Self) {
        let unindexed = std::mem::take(&mut *read.unindexed.lock());
        *self.unindexed.lock() = unindexed;
        *self = Self { unindexed: self.unindexed.clone(), ..read };
    }

    /// The rowid of the next message.
    pub(super) fn next_rowid(&self) -> i64 {
        self.last_rowid + 1
    }

    /// Indexes the rooms that are due, and some of those whose unindexed messages are too old, inside a transaction
    /// that has inserted `inserted` messages. Pass the result to [`RoomIndex::committed`].
    pub(super) fn write(&self, connection: &Connection, inserted: usize) -> rusqlite::Result<IndexUpdate> {
        let mut rooms = self.due.clone();
        rooms.extend(self.too_old().filter(|room| !self.due.contains(room)).take(inserted));
        if rooms.is_empty() {
            return Ok(IndexUpdate { rooms, first_unindexed: self.first_unindexed });
        }
        for (room, first, rowids) in self.segments_of(&rooms) {
            segments::insert(connection, room, first, &rowids)?;
        }
        let oldest_left = self.by_age().find(|(_, room)| !rooms.contains(room));
        let mut first_unindexed = oldest_left.map_or(self.next_rowid(), |(rowid, _)| rowid);
        if first_unindexed < self.first_unindexed + SAVED_EVERY {
            first_unindexed = self.first_unindexed;
        } else {
            segments::save_first_unindexed(connection, first_unindexed)?;
        }
        Ok(IndexUpdate { rooms, first_unindexed })
    }

    /// Indexes everything inside a transaction, for an import, which writes segments of its own.
    pub(super) fn write_all(&self, connection: &Connection) -> rusqlite::Result<()> {
        let rooms: Vec<RoomId> = self.unindexed.lock().keys().copied().collect();
        for (room, first, rowids) in self.segments_of(&rooms) {
            segments::insert(connection, room, first, &rowids)?;
        }
        segments::save_first_unindexed(connection, self.next_rowid())
    }

    /// Applies a committed transaction: what it wrote to the index, and the messages that it inserted.
    pub(super) fn committed(&mut self, update: &IndexUpdate, inserted: impl Iterator<Item = Inserted>) {
        if !update.rooms.is_empty() {
            self.due.clear();
            self.first_unindexed = update.first_unindexed;
        }
        self.replace_unindexed(&update.rooms, inserted);
        if !update.rooms.is_empty() {
            let indexed = self.oldest.iter().take_while(|oldest| !self.is_unindexed(oldest)).count();
            self.oldest.drain(..indexed);
        }
    }

    /// Removes the unindexed messages of `indexed`, and adds those that were inserted. Both at once: a reader between them
    /// would find the inserted ones nowhere.
    fn replace_unindexed(&mut self, indexed: &[RoomId], inserted: impl Iterator<Item = Inserted>) {
        let unindexed = self.unindexed.clone();
        let mut rooms = unindexed.lock();
        for room in indexed {
            rooms.remove(room);
        }
        for Inserted { room, seq, rowid, .. } in inserted {
            let unindexed = rooms.entry(room).or_default();
            let before = unindexed.len();
            if before == 0 {
                self.oldest.push_back((rowid, room));
            }
            unindexed.push(seq, rowid);
            if before < DUE && unindexed.len() >= DUE {
                self.due.push(room);
            }
            self.last_rowid = self.last_rowid.max(rowid);
        }
    }

    /// Applies a committed deletion of messages.
    pub(super) fn delete(&mut self, room: RoomId, seqs: impl Iterator<Item = Seq>) {
        self.change(room, |unindexed| seqs.for_each(|seq| unindexed.delete(seq)));
    }

    /// Applies a committed removal of a room's messages before `seq`.
    pub(super) fn remove_before(&mut self, room: RoomId, seq: Seq) {
        self.change(room, |unindexed| unindexed.remove_before(seq));
    }

    /// Changes what is unindexed of a room, and keeps the rooms in the order of their first unindexed message.
    fn change(&mut self, room: RoomId, change: impl FnOnce(&mut Unindexed)) {
        let mut rooms = self.unindexed.lock();
        let Some(unindexed) = rooms.get_mut(&room) else { return };
        let before = unindexed.first_rowid();
        change(unindexed);
        let (first, is_due) = (unindexed.first_rowid(), unindexed.len() >= DUE);
        if first.is_none() {
            rooms.remove(&room);
        }
        drop(rooms);
        if !is_due {
            self.due.retain(|due| *due != room);
        }
        if let Some(first) = first.filter(|_| first != before) {
            let place = self.oldest.partition_point(|(rowid, _)| *rowid < first);
            self.oldest.insert(place, (first, room));
        }
    }

    /// The unindexed messages of `rooms` as segments.
    fn segments_of(&self, rooms: &[RoomId]) -> Vec<(RoomId, Seq, String)> {
        let unindexed = self.unindexed.lock();
        let of_room = |room: &RoomId| Some((*room, unindexed.get(room)?));
        let segments = |(room, unindexed): (RoomId, &Unindexed)| {
            unindexed.chunks(SEGMENT_MAX).map(move |(first, rowids)| (room, first, rowids)).collect::<Vec<_>>()
        };
        rooms.iter().filter_map(of_room).flat_map(segments).collect()
    }

    /// Rooms whose first unindexed message is too old, oldest first.
    fn too_old(&self) -> impl Iterator<Item = RoomId> {
        let limit = self.last_rowid - AGE_MAX;
        self.by_age().take_while(move |(rowid, _)| *rowid < limit).map(|(_, room)| room)
    }

    /// Rooms with unindexed messages and the rowid of the first, oldest first.
    fn by_age(&self) -> impl Iterator<Item = (i64, RoomId)> {
        self.oldest.iter().filter(|oldest| self.is_unindexed(oldest)).copied()
    }

    fn is_unindexed(&self, (rowid, room): &(i64, RoomId)) -> bool {
        self.unindexed.lock().get(room).is_some_and(|unindexed| unindexed.first_rowid() == Some(*rowid))
    }
}
