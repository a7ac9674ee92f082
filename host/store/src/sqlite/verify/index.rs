//! The room index: a reader finds every message, in a segment or among the latest ones, which a start reads into memory.
//! A segment may name rows that were deleted, and SQLite may have given such a row to another message since.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::Problems;
use crate::sqlite::message_key::message_key;
use crate::sqlite::segments::last_indexed_seq;
use ondol_host_model::{RoomId, Seq};

/// Counts the messages that are found, and looks for the others only if there are any: it is faster to follow the segments
/// than to look up each message in them.
pub(super) fn check(
    connection: &Connection,
    messages: u64,
    problems: &mut Problems,
    report: &dyn Fn(u64),
) -> rusqlite::Result<()> {
    let sql = "SELECT next FROM counter WHERE name = 'place'";
    let Some(first_unindexed) = connection.query_row(sql, [], |row| row.get(0)).optional()? else {
        problems.add(|| "the counter of indexed messages is missing".to_owned());
        return Ok(());
    };
    if !connection.prepare("SELECT 1 FROM counter WHERE name = 'rowid'")?.exists([])? {
        problems.add(|| "the counter of rows is missing".to_owned());
    }
    let mut latest = Latest { connection, first_unindexed, last_indexed: HashMap::new() };
    // SQLite cannot search an index with a broken segment.
    let Some(in_segments) = in_segments(connection, problems, report)? else { return Ok(()) };
    if in_segments + latest.count()? < messages {
        name_lost(&mut latest, problems)?;
    }
    Ok(())
}

/// The number of messages that segments lead to. None: a segment is broken.
fn in_segments(
    connection: &Connection,
    problems: &mut Problems,
    report: &dyn Fn(u64),
) -> rusqlite::Result<Option<u64>> {
    let (mut found, mut all_sound) = (0, true);
    let mut end = i64::MIN;
    let mut is_there = connection.prepare("SELECT 1 FROM message WHERE n = ?1 AND room = ?2 AND seq = ?3")?;
    let mut statement = connection.prepare("SELECT place, messages FROM run ORDER BY place")?;
    let mut segments = statement.query([])?;
    while let Some(segment) = segments.next()? {
        let (place, rowids): (i64, String) = (segment.get(0)?, segment.get(1)?);
        let (room, first) = (place >> 32, place & i64::from(u32::MAX));
        let name = || format!("the segment of room {room} from seq {first} on");
        let Ok(rowids) = serde_json::from_str::<Vec<i64>>(&rowids) else {
            problems.add(|| format!("{}: it is not a list of rows", name()));
            all_sound = false;
            continue;
        };
        if place < end {
            problems.add(|| format!("{}: the one before reaches into it", name()));
        }
        for (place, rowid) in (place..).zip(&rowids).filter(|(place, _)| *place >= end) {
            found += u64::from(is_there.exists([*rowid, room, place - (room << 32)])?);
        }
        report(found);
        end = end.max(place.saturating_add(i64::try_from(rowids.len()).unwrap_or(i64::MAX)));
    }
    Ok(all_sound.then_some(found))
}

/// The messages that a start reads into memory: those that are not older than the counter says, and behind the last
/// segment of their room.
struct Latest<'a> {
    connection: &'a Connection,
    first_unindexed: i64,
    last_indexed: HashMap<i64, i64>,
}

impl Latest<'_> {
    fn count(&mut self) -> rusqlite::Result<u64> {
        let mut count = 0;
        let mut statement = self.connection.prepare("SELECT n, room, seq FROM message WHERE n >= ?1")?;
        let mut rows = statement.query([self.first_unindexed])?;
        while let Some(row) = rows.next()? {
            count += u64::from(self.contains(row.get(0)?, row.get(1)?, row.get(2)?)?);
        }
        Ok(count)
    }

    fn contains(&mut self, n: i64, room: i64, seq: i64) -> rusqlite::Result<bool> {
        if n < self.first_unindexed {
            return Ok(false);
        }
        let last = match self.last_indexed.get(&room) {
            Some(last) => *last,
            None => {
                let last = last_indexed_seq(self.connection, RoomId(room.unsigned_abs()))?;
                *self.last_indexed.entry(room).or_insert(last.0.cast_signed())
            }
        };
        Ok(seq > last)
    }
}

fn name_lost(latest: &mut Latest<'_>, problems: &mut Problems) -> rusqlite::Result<()> {
    let connection = latest.connection;
    let mut indexed = connection.prepare(
        "SELECT json_extract(messages, '$[' || (?1 - place) || ']') FROM run \
         WHERE place BETWEEN ?1 & ~4294967295 AND ?1 ORDER BY place DESC LIMIT 1",
    )?;
    let mut statement = connection.prepare("SELECT n, room, seq, id FROM message ORDER BY n")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (n, room, seq, id): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let key = message_key(RoomId(room.unsigned_abs()), Seq(seq.unsigned_abs()));
        let found: Option<Option<i64>> = indexed.query_row([key], |row| row.get(0)).optional()?;
        if found.flatten() != Some(n) && !latest.contains(n, room, seq)? {
            problems.add(|| format!("message {id} (room {room}, seq {seq}, row {n}): the index does not lead to it"));
        }
    }
    Ok(())
}
