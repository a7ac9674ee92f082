//! Where a room's messages stand. They are appended to one table, whichever room they are for, so a commit writes the fewest
//! pages that it can. The table `message_place`, which finds a room's messages by their `seq`, is brought up by the commit
//! that makes it some thousands behind: sorted, so that a page of it takes in many at once. Whoever reads looks there first,
//! and then through the messages that are not in it yet.

use rusqlite::Connection;

use crate::model::{RoomId, Seq};

/// How many messages may be behind: what a read goes through one by one, and what one commit in so many does more.
const BEHIND_MAX: u64 = 4_096;

/// The most that a room's `seq` can be: half a place.
pub(super) const SEQ_MAX: Seq = Seq(u32::MAX as u64);

/// The key of a message: its room in the upper half and its `seq` in the lower, so that a room's stand together in their
/// order. None: it has no place, because one of the two is too large.
pub(super) fn place(room: RoomId, seq: Seq) -> Option<i64> {
    let (room, seq) = (i32::try_from(room.0).ok()?, u32::try_from(seq.0).ok()?);
    Some(i64::from(room) << 32 | i64::from(seq))
}

/// The keys of a room's messages from one `seq` to another, both included. A room that is too large has none.
pub(super) fn places(room: RoomId, from: Seq, to: Seq) -> (i64, i64) {
    match (place(room, from), place(room, to.min(SEQ_MAX))) {
        (Some(from), Some(to)) => (from, to),
        _ => (0, -1),
    }
}

/// The messages between two keys, whether they are in `message_place` or not yet. `?1` and `?2` are [`places`], `?3` is how
/// many. One statement, so that it sees one state of the database.
macro_rules! messages_between {
    ($columns:expr, $order:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM message WHERE n IN (SELECT n FROM message_place WHERE place BETWEEN ?1 AND ?2 ",
            "ORDER BY place ",
            $order,
            " LIMIT ?3) UNION ALL SELECT ",
            $columns,
            " FROM message ",
            "WHERE n >= (SELECT next FROM counter WHERE name = 'place') AND room = ?1 >> 32 ",
            "AND seq BETWEEN ?1 & 4294967295 AND ?2 & 4294967295 ORDER BY seq ",
            $order,
            " LIMIT ?3"
        )
    };
}

pub(super) use messages_between;

/// How far `message_place` is behind, as the writer knows it.
#[derive(Default)]
pub(super) struct Places {
    /// None: to be read from the database.
    behind: Option<u64>,
}

impl Places {
    /// Brings it up when it is too far behind, in a transaction that is under way and has inserted so many messages.
    pub(super) fn follow(&mut self, connection: &Connection, inserted: u64) -> rusqlite::Result<()> {
        let behind = match self.behind {
            Some(behind) => behind + inserted,
            None => {
                let sql = "SELECT count(*) FROM message WHERE n >= (SELECT next FROM counter WHERE name = 'place')";
                connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs()
            }
        };
        self.behind = Some(behind);
        if behind >= BEHIND_MAX {
            // `OR FAIL`, as the whole transaction is given up when this fails: else SQLite would keep a copy of each page
            // that it changes here.
            connection
                .prepare_cached(
                    "INSERT OR FAIL INTO message_place SELECT room << 32 | seq, n FROM message \
                     WHERE n >= (SELECT next FROM counter WHERE name = 'place') ORDER BY room, seq",
                )?
                .execute([])?;
            connection
                .prepare_cached("UPDATE counter SET next = (SELECT max(n) + 1 FROM message) WHERE name = 'place'")?
                .execute([])?;
            self.behind = Some(0);
        }
        Ok(())
    }

    /// Trusts nothing that was not committed.
    pub(super) fn forget(&mut self) {
        self.behind = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_is_not_there() {
        assert_eq!(place(RoomId(1), Seq(1)), Some((1 << 32) + 1));
        assert_eq!(place(RoomId(1), SEQ_MAX.next()), None);
        assert_eq!(place(RoomId(1 << 31), Seq(1)), None);
        assert_eq!(places(RoomId(2), Seq(0), Seq(u64::MAX)), (2 << 32, (3 << 32) - 1));
        for (from, to) in [places(RoomId(u64::MAX), Seq(0), SEQ_MAX), places(RoomId(1), SEQ_MAX.next(), SEQ_MAX)] {
            assert!(from > to, "nothing is between them");
        }
    }
}
