//! Messages: each has a room and a sender, and in a room `seq` and id rise from row to row, up to what is recorded as
//! used.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::Problems;

/// The first and last message of a room, so far.
struct Ends {
    first: i64,
    seq: i64,
    id: i64,
}

/// Reads all messages, in the order in which they were stored.
pub(super) fn check(connection: &Connection, problems: &mut Problems, report: &dyn Fn(u64)) -> rusqlite::Result<()> {
    let mut read = 0;
    let mut rooms: HashMap<i64, Ends> = HashMap::new();
    let mut id_max = 0;
    let mut room_exists = connection.prepare("SELECT 1 FROM room WHERE id = ?1")?;
    let mut statement = connection.prepare(
        "SELECT message.n, message.room, message.seq, message.id, sender.n IS NOT NULL \
         FROM message LEFT JOIN sender ON sender.n = message.sender ORDER BY message.n",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        read += 1;
        report(read);
        let (n, room, seq, id): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let has_sender: bool = row.get(4)?;
        let name = || format!("message {id} (room {room}, seq {seq}, row {n})");
        if !has_sender {
            problems.add(|| format!("{}: it has no sender", name()));
        }
        if !(1..=i64::from(u32::MAX)).contains(&seq) {
            problems.add(|| format!("{}: no room has such a seq", name()));
        }
        id_max = id_max.max(id);
        match rooms.get_mut(&room) {
            None => {
                if !room_exists.exists([room])? {
                    problems.add(|| format!("{}: the room does not exist", name()));
                }
                rooms.insert(room, Ends { first: seq, seq, id });
            }
            Some(last) => {
                if seq <= last.seq {
                    problems.add(|| format!("{}: it follows seq {}", name(), last.seq));
                }
                if id <= last.id {
                    problems.add(|| format!("{}: it follows message {}", name(), last.id));
                }
                *last = Ends { seq: last.seq.max(seq), id: last.id.max(id), ..*last };
            }
        }
    }
    recorded(connection, &rooms, problems)?;
    ids(connection, id_max, problems)
}

/// The last `seq` of each room is recorded, and no message is before what is recorded as its first.
fn recorded(connection: &Connection, rooms: &HashMap<i64, Ends>, problems: &mut Problems) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT first, last FROM room_seq WHERE room = ?1")?;
    for (room, Ends { first, seq, .. }) in rooms {
        match statement.query_row([room], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()? {
            None => problems.add(|| format!("room {room}: its last seq, {seq}, is not recorded")),
            Some((kept, _)) if *first < kept => {
                problems.add(|| format!("room {room}: it has seq {first}, and {kept} is recorded as its first"));
            }
            Some((_, last)) if last < *seq => {
                problems.add(|| format!("room {room}: it has seq {seq}, and {last} is recorded as its last"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The counter is above all ids.
fn ids(connection: &Connection, id_max: i64, problems: &mut Problems) -> rusqlite::Result<()> {
    let sql = "SELECT next FROM counter WHERE name = 'id'";
    match connection.query_row(sql, [], |row| row.get::<_, i64>(0)).optional()? {
        None => problems.add(|| "the counter of message ids is missing".to_owned()),
        Some(next) if next <= id_max => {
            problems.add(|| format!("message {id_max} exists, and ids from {next} on count as free"));
        }
        Some(_) => {}
    }
    Ok(())
}
