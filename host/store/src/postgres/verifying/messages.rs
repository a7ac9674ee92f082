//! Messages: in a room, numbers are given without a hole, ids rise with them, and the room knows its last ones.
//!
//! Rooms that were moved from a file may lack numbers: a room that was imported had gaps, or an operator's SQL deleted a
//! message. The ids of their messages are below the first one that this database gave.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::Client;

use super::Problems;
use crate::error::StoreError;

/// How many messages are read at once.
const ROWS: usize = 2_000;

/// The highest `seq`.
const SEQ_MAX: i64 = u32::MAX as i64;

const MESSAGES: &str = "
    DECLARE ondol_rows NO SCROLL CURSOR FOR
    SELECT message.room, message.seq, message.id, sender.n IS NOT NULL,
        message.client_id IS NULL OR known.seq IS NOT NULL
    FROM message LEFT JOIN sender ON sender.n = message.sender
    LEFT JOIN client_message known ON known.room = message.room AND known.usr = sender.usr
        AND known.client_id = message.client_id AND known.seq = message.seq
    ORDER BY message.room, message.seq";

/// A room, and how far its messages were read.
struct Room {
    first_seq: i64,
    last_seq: i64,
    last_id: i64,
    seq: i64,
    id: i64,
}

/// What is known of all rooms.
struct Rooms {
    rooms: BTreeMap<i64, Room>,
    deleted: HashSet<(i64, i64)>,
    /// The first id that this database gave.
    first_own_id: i64,
}

/// Reads all messages, room by room.
pub(super) async fn check(client: &Client, problems: &mut Problems, report: &dyn Fn(u64)) -> Result<(), StoreError> {
    let mut rooms = Rooms::read(client).await?;
    client.batch_execute(MESSAGES).await?;
    let fetch = client.prepare(&format!("FETCH {ROWS} FROM ondol_rows")).await?;
    let mut read = 0;
    loop {
        let page = client.query(&fetch, &[]).await?;
        if page.is_empty() {
            break;
        }
        read += page.len() as u64;
        report(read);
        for row in page {
            let [room, seq, id] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
            let name = || format!("message {id} (room {room}, seq {seq})");
            if !row.try_get::<_, bool>(3)? {
                problems.add(|| format!("{}: it has no sender", name()));
            } else if !row.try_get::<_, bool>(4)? {
                problems.add(|| format!("{}: its client_id does not lead to it", name()));
            }
            if !(1..=SEQ_MAX).contains(&seq) {
                problems.add(|| format!("{}: no room has such a seq", name()));
            }
            rooms.message(room, seq, id, problems);
        }
    }
    rooms.heads(problems);
    Ok(client.batch_execute("CLOSE ondol_rows").await?)
}

impl Rooms {
    async fn read(client: &Client) -> Result<Self, StoreError> {
        let mut rooms = BTreeMap::new();
        for row in client.query("SELECT id, first_seq, last_seq, last_id FROM room", &[]).await? {
            let [first_seq, last_seq, last_id] = [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?];
            rooms.insert(row.try_get(0)?, Room { first_seq, last_seq, last_id, seq: 0, id: 0 });
        }
        let deleted = client.query("SELECT room, seq FROM deletion", &[]).await?;
        let deleted = deleted.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let deleted = deleted.collect::<Result<_, tokio_postgres::Error>>()?;
        let first = "SELECT seqstart FROM pg_sequence WHERE seqrelid = 'message_id'::regclass";
        Ok(Self { rooms, deleted, first_own_id: client.query_one(first, &[]).await?.try_get(0)? })
    }

    /// A message, in the order of its room.
    fn message(&mut self, number: i64, seq: i64, id: i64, problems: &mut Problems) {
        let name = || format!("message {id} (room {number}, seq {seq})");
        let Some(room) = self.rooms.get_mut(&number) else {
            return problems.add(|| format!("{}: the room does not exist", name()));
        };
        if seq < room.first_seq {
            problems.add(|| format!("{}: {} is recorded as the first of the room", name(), room.first_seq));
        }
        if id <= room.id {
            problems.add(|| format!("{}: it follows message {}", name(), room.id));
        }
        if id >= self.first_own_id {
            let missing = missing(&self.deleted, number, room, seq);
            missing.inspect(|missing| problems.add(|| format!("{}: seq {missing} before it is missing", name())));
        }
        (room.seq, room.id) = (seq, room.id.max(id));
    }

    /// What rooms know of their last messages.
    fn heads(&self, problems: &mut Problems) {
        for (number, room) in &self.rooms {
            let Room { last_seq, last_id, seq, id, .. } = *room;
            if last_seq < seq {
                problems.add(|| format!("room {number}: it has seq {seq}, and {last_seq} is recorded as its last"));
            } else if last_id < id || last_seq == seq && last_id != id {
                problems.add(|| format!("room {number}: its last message is {id}, and {last_id} is recorded"));
            }
            if last_id >= self.first_own_id {
                let missing = missing(&self.deleted, *number, room, last_seq.saturating_add(1));
                missing.inspect(|missing| problems.add(|| format!("room {number}: seq {missing} is missing")));
            }
        }
    }
}

/// The first number between the last message of a room and the next one that is neither there nor deleted.
fn missing(deleted: &HashSet<(i64, i64)>, number: i64, room: &Room, next: i64) -> Option<i64> {
    let first = room.seq.saturating_add(1).max(room.first_seq);
    (first..next).find(|seq| !deleted.contains(&(number, *seq)))
}
