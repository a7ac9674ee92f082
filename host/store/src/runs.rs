//! Where a room's messages stand. They are appended to one table, whichever room they are for, so a commit writes the fewest
//! pages that it can. Which of them are a room's is noted later, for up to [`RUN_MAX`] at once, in one row of the table `run`: a
//! page of it is written for many messages, however many rooms there are. Until then their numbers are kept in memory, in
//! their room's [`Tail`], and whoever reads looks there too. After a crash they are found by going through the last messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};

use ondol_host_model::{RoomId, Seq};

/// A tail of so many messages is due to be written. A run costs a page or two of its own, so few long ones cost less.
const DUE: usize = 256;

/// The most messages of a room that stand in one row.
const RUN_MAX: usize = 512;

/// How far back a message may be that is in no run: what is gone through after a crash. Rooms in which less is said have
/// shorter runs.
const BACK_MAX: i64 = 65_536;

/// How far the database may be behind in knowing which message is the first in no run.
const NOTED_EVERY: i64 = 4_096;

/// Stands for a message that is not there any more. No row has it.
const DELETED: i64 = 0;

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

/// The `n` of the messages from one place to another, `?1` and `?2`, that are in runs; the first of these may begin before.
/// And those of `?3`, a JSON array.
macro_rules! numbers_between {
    () => {
        "SELECT value FROM run, json_each(run.messages) WHERE place BETWEEN \
         coalesce((SELECT max(place) FROM run WHERE place BETWEEN ?1 & ~4294967295 AND ?1), ?1) AND ?2 \
         AND place + key BETWEEN ?1 AND ?2 \
         UNION ALL SELECT value FROM json_each(?3)"
    };
}

pub(super) use numbers_between;

/// The `seq` of the last message of a room that is in a run, 0 when there is none.
pub(super) fn last_in_run(connection: &Connection, room: RoomId) -> rusqlite::Result<Seq> {
    let (from, to) = places(room, Seq(0), SEQ_MAX);
    let last = connection
        .prepare_cached(
            "SELECT (place & 4294967295) + json_array_length(messages) - 1 FROM run \
             WHERE place BETWEEN ?1 AND ?2 ORDER BY place DESC LIMIT 1",
        )?
        .query_row((from, to), |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(Seq(last.unwrap_or(0).unsigned_abs()))
}

/// The `n` of the message at a place that is in a run.
pub(super) fn number_in_run(connection: &Connection, place: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT json_extract(messages, '$[' || (?1 - place) || ']') FROM run \
             WHERE place BETWEEN ?1 & ~4294967295 AND ?1 ORDER BY place DESC LIMIT 1",
        )?
        .query_row([place], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// The last messages of a room, as far as they are in no run: one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The `seq` of the first.
    first: u64,
    /// Their `n`.
    messages: Vec<i64>,
}

impl Tail {
    /// The `seq` of the last; none when it is empty.
    pub(super) fn last(&self) -> Option<Seq> {
        let after_first = self.messages.len().checked_sub(1)?;
        Some(Seq(self.first + after_first as u64))
    }

    /// The `n` of the message with this `seq`.
    pub(super) fn at(&self, seq: Seq) -> Option<i64> {
        self.messages.get(usize::try_from(seq.0.checked_sub(self.first)?).ok()?).copied()
    }

    /// The `n` of those from one `seq` to another, both included, as a JSON array.
    pub(super) fn between(&self, from: Seq, to: Seq) -> String {
        let start = usize::try_from(from.0.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let end = usize::try_from((to.0.saturating_add(1)).saturating_sub(self.first)).unwrap_or(usize::MAX);
        array(self.messages.get(start..end.min(self.messages.len())).unwrap_or_default())
    }
}

/// The tails of all rooms, shared with those who read.
#[derive(Clone, Default)]
pub(super) struct Tails(Arc<Mutex<HashMap<RoomId, Tail>>>);

impl Tails {
    /// What is in no run of a room's. To be asked for before the database is: what has left a tail is in a run by then.
    pub(super) fn of(&self, room: RoomId) -> Tail {
        self.lock().get(&room).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Tail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that was inserted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inserted {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) n: i64,
    /// Its sender's row.
    pub(super) sender: i64,
}

/// The tails, and which of them are to be written.
pub(super) struct Runs {
    tails: Tails,
    /// Rooms whose tail is long enough for a run.
    due: Vec<RoomId>,
    /// When each tail began: the `n` of its first message, and its room. Some that are gone are still here.
    begun: VecDeque<(i64, RoomId)>,
    /// What the database has as the first message that may be in no run.
    noted: i64,
    /// The last `n`.
    last: i64,
}

/// What a transaction has written, for when it is committed.
pub(super) struct Written {
    rooms: Vec<RoomId>,
    noted: i64,
}

impl Runs {
    /// The tails as the database has them: goes through the messages that may be in no run.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let noted = connection.query_row("SELECT next FROM counter WHERE name = 'place'", [], |row| row.get(0))?;
        let mut runs =
            Self { tails: Tails::default(), due: Vec::new(), begun: VecDeque::new(), noted, last: noted - 1 };
        let mut in_runs = HashMap::new();
        let mut statement = connection.prepare("SELECT room, seq, n, sender FROM message WHERE n >= ?1 ORDER BY n")?;
        let mut rows = statement.query([noted])?;
        while let Some(row) = rows.next()? {
            let (room, seq) = (row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs());
            let message = Inserted { room: RoomId(room), seq: Seq(seq), n: row.get(2)?, sender: row.get(3)? };
            let last_in_run = match in_runs.get(&message.room) {
                Some(last) => *last,
                None => {
                    let last = last_in_run(connection, message.room)?;
                    in_runs.insert(message.room, last);
                    last
                }
            };
            if message.seq > last_in_run {
                runs.add(std::iter::once(message));
            }
        }
        Ok(runs)
    }

    /// The tails, for whoever reads.
    pub(super) fn tails(&self) -> Tails {
        self.tails.clone()
    }

    /// The last message of each room that is in no run.
    pub(super) fn last_of_each(&self) -> Vec<(RoomId, Seq)> {
        self.tails.lock().iter().filter_map(|(room, tail)| Some((*room, tail.last()?))).collect()
    }

    /// Takes the place of what is remembered, for all who read as well.
    pub(super) fn become_those(&mut self, read: Self) {
        let tails = std::mem::take(&mut *read.tails.lock());
        *self.tails.lock() = tails;
        *self = Self { tails: self.tails.clone(), ..read };
    }

    /// The `n` of the next message.
    pub(super) fn next(&self) -> i64 {
        self.last + 1
    }

    /// Writes the tails that are due, and some of those that reach too far back, in a transaction that is under way and has
    /// inserted so many messages. [`Runs::committed`] has to hear of it.
    pub(super) fn write(&self, connection: &Connection, inserted: usize) -> rusqlite::Result<Written> {
        let mut rooms = self.due.clone();
        rooms.extend(self.old().filter(|room| !self.due.contains(room)).take(inserted));
        if rooms.is_empty() {
            return Ok(Written { rooms, noted: self.noted });
        }
        let mut rows = Vec::new();
        {
            let tails = self.tails.lock();
            for room in &rooms {
                let Some(tail) = tails.get(room) else { continue };
                let firsts = (tail.first..).step_by(RUN_MAX);
                rows.extend(
                    tail.messages.chunks(RUN_MAX).zip(firsts).map(|(run, first)| (*room, Seq(first), array(run))),
                );
            }
        }
        let mut insert = connection.prepare_cached("INSERT INTO run (place, messages) VALUES (?1, ?2)")?;
        for (room, first, messages) in rows {
            insert.execute((place(room, first), messages))?;
        }
        let standing = self.standing().find(|(_, room)| !rooms.contains(room));
        let mut noted = standing.map_or(self.next(), |(n, _)| n);
        if noted < self.noted + NOTED_EVERY {
            noted = self.noted;
        } else {
            connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'place'")?.execute([noted])?;
        }
        Ok(Written { rooms, noted })
    }

    /// Takes in what a transaction has done, now that it is committed.
    pub(super) fn committed(&mut self, written: &Written, inserted: impl Iterator<Item = Inserted>) {
        if !written.rooms.is_empty() {
            {
                let mut tails = self.tails.lock();
                for room in &written.rooms {
                    tails.remove(room);
                }
            }
            self.due.clear();
            self.noted = written.noted;
            let gone = self.begun.iter().take_while(|begun| !self.stands(begun)).count();
            self.begun.drain(..gone);
        }
        self.add(inserted);
    }

    fn add(&mut self, inserted: impl Iterator<Item = Inserted>) {
        let mut tails = self.tails.lock();
        for Inserted { room, seq, n, .. } in inserted {
            let tail = tails.entry(room).or_default();
            if tail.messages.is_empty() {
                tail.first = seq.0;
                self.begun.push_back((n, room));
            }
            let before = tail.messages.len();
            // An operator may have deleted what stood in between.
            tail.messages.resize(before.max(usize::try_from(seq.0 - tail.first).unwrap_or(before)), DELETED);
            tail.messages.push(n);
            if before < DUE && tail.messages.len() >= DUE {
                self.due.push(room);
            }
            self.last = n;
        }
    }

    /// Rooms whose tail reaches too far back, the ones that do so the most first.
    fn old(&self) -> impl Iterator<Item = RoomId> {
        let too_old = self.last - BACK_MAX;
        self.standing().take_while(move |(n, _)| *n < too_old).map(|(_, room)| room)
    }

    /// The tails by their age.
    fn standing(&self) -> impl Iterator<Item = (i64, RoomId)> {
        self.begun.iter().filter(|begun| self.stands(begun)).copied()
    }

    fn stands(&self, (n, room): &(i64, RoomId)) -> bool {
        self.tails.lock().get(room).is_some_and(|tail| tail.messages.first() == Some(n))
    }
}

/// Numbers as a JSON array.
fn array(numbers: &[i64]) -> String {
    serde_json::to_string(numbers).unwrap_or_default()
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

    #[test]
    fn a_tail_knows_its_messages_by_their_seq() {
        let tail = Tail { first: 5, messages: vec![70, 71, 90] };
        assert_eq!(tail.last(), Some(Seq(7)));
        assert_eq!([4, 5, 7, 8].map(|seq| tail.at(Seq(seq))), [None, Some(70), Some(90), None]);
        for (from, to, numbers) in [
            (0, u64::MAX, "[70,71,90]"),
            (5, 6, "[70,71]"),
            (1, 5, "[70]"),
            (6, 6, "[71]"),
            (7, 100, "[90]"),
            (1, 4, "[]"),
            (8, 9, "[]"),
            (7, 6, "[]"),
        ] {
            assert_eq!(tail.between(Seq(from), Seq(to)), numbers, "{from} to {to}");
        }
        assert_eq!(Tail::default().between(Seq(0), SEQ_MAX), "[]");
        assert_eq!(Tail::default().last(), None);
    }
}
