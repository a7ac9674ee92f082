//! Rooms: their home, the last message of those whose home this host is, and how they are created.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::{Client, Error, Row};

use super::control::Control;
use super::remembered::Remembered;
use super::rows::to_sql;
use crate::error::StoreError;
use crate::outcomes::RoomOutcome;
use ondol_host_model::{Room, RoomDraft, RoomId, Seq, Timestamp};

/// Makes this host the home of rooms that have none, or whose home is gone. The later of two claims waits for the row and
/// changes nothing.
const CLAIM: &str = "UPDATE room r SET host = $1 WHERE r.id = ANY ($2) AND r.host IS DISTINCT FROM $1 \
    AND (r.host IS NULL OR NOT EXISTS \
        (SELECT FROM host h WHERE h.no = r.host AND h.state IN ('joining', 'live', 'draining'))) \
    AND EXISTS (SELECT FROM host h WHERE h.no = $1 AND h.state IN ('live', 'draining'))";

/// Gives rooms up.
const RELEASE: &str = "UPDATE room SET host = NULL WHERE host = $1 AND id = ANY ($2)";

/// A home that is gone is none.
const HEADS: &str = "SELECT r.id, h.no, r.last_seq, r.last_id, \
    EXISTS (SELECT FROM host me WHERE me.no = $1 AND me.state IN ('live', 'draining')) \
    FROM room r LEFT JOIN host h ON h.no = r.host AND h.state IN ('joining', 'live', 'draining') WHERE r.id = ANY ($2)";

/// A room: its home and its last message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) room: RoomId,
    /// The host that numbers its messages. None: no host that is alive does.
    pub(super) home: Option<i32>,
    pub(super) last_seq: Seq,
    pub(super) last_id: u64,
    /// This host may write.
    pub(super) is_live: bool,
}

/// Claims rooms. Those that do not exist are left out.
pub(super) async fn claim(client: &Client, no: i32, rooms: &[RoomId]) -> Result<Vec<Head>, Error> {
    let numbers: Vec<i64> = rooms.iter().map(|room| to_sql(room.0)).collect();
    client.execute(CLAIM, &[&no, &numbers]).await?;
    heads(client, no, rooms).await
}

/// Gives up those of some rooms whose home this host is.
pub(super) async fn release(client: &Client, no: i32, rooms: &[RoomId]) -> Result<(), Error> {
    let numbers: Vec<i64> = rooms.iter().map(|room| to_sql(room.0)).collect();
    client.execute(RELEASE, &[&no, &numbers]).await.map(drop)
}

/// Looks at rooms. Those that do not exist are left out.
pub(super) async fn heads(client: &Client, no: i32, rooms: &[RoomId]) -> Result<Vec<Head>, Error> {
    let rooms: Vec<i64> = rooms.iter().map(|room| to_sql(room.0)).collect();
    let read = |row: &Row| {
        let (room, last_seq, last_id) = (row.try_get(0)?, row.try_get(2)?, row.try_get(3)?);
        let [room, last_seq, last_id] = [room, last_seq, last_id].map(i64::unsigned_abs);
        let (room, last_seq) = (RoomId(room), Seq(last_seq));
        Ok(Head { room, home: row.try_get(1)?, last_seq, last_id, is_live: row.try_get(4)? })
    };
    client.query(HEADS, &[&no, &rooms]).await?.iter().map(read).collect()
}

/// The last `seq` of the rooms whose home is this host, as far as they are remembered.
#[derive(Default)]
pub(super) struct Heads(Mutex<Remembered<RoomId, Seq>>);

impl Heads {
    /// The last `seq` of a room.
    pub(super) fn get(&self, room: RoomId) -> Option<Seq> {
        self.heads().get(&room)
    }

    /// Remembers what was stored, or what the database holds.
    pub(super) fn set(&self, heads: impl IntoIterator<Item = (RoomId, Seq)>) {
        self.heads().extend(heads);
    }

    /// Remembers what a claim has found, unless more was stored meanwhile.
    pub(super) fn claimed(&self, room: RoomId, last: Seq) {
        let mut known = self.heads();
        let last = known.get(&room).map_or(last, |known| last.max(known));
        known.extend([(room, last)]);
    }

    /// How many rooms are remembered.
    pub(super) fn len(&self) -> usize {
        self.heads().len()
    }

    /// Forgets all rooms if there are too many.
    pub(super) fn make_room(&self) {
        self.heads().make_room();
    }

    /// Forgets rooms.
    pub(super) fn forget(&self, rooms: impl IntoIterator<Item = RoomId>) {
        let mut known = self.heads();
        for room in rooms {
            known.remove(&room);
        }
    }

    pub(super) fn heads(&self) -> MutexGuard<'_, Remembered<RoomId, Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a room, or finds the one that its post has. The number comes first, so that the insert may be repeated: a room
/// with this number is the one that was asked for.
pub(super) async fn create(
    control: &Control,
    draft: &RoomDraft,
    post_id: Option<u64>,
    owner: Option<&str>,
) -> Result<RoomOutcome, StoreError> {
    const FIND: &str = "SELECT id, name, post_id, owner, created_at FROM room WHERE post_id = $1";
    const INSERT: &str = "INSERT INTO room (id, name, post_id, owner, created_at) OVERRIDING SYSTEM VALUE \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let (post, created_at, name) = (post_id.map(to_sql), Timestamp::now(), draft.name.as_str());
    let find = |client: Arc<Client>| async move {
        let existing = if post.is_some() { client.query_opt(FIND, &[&post]).await? } else { None };
        if let Some(row) = existing {
            return Ok((None, Some(read_room(&row)?)));
        }
        let id = "SELECT nextval(pg_get_serial_sequence('room', 'id'))";
        Ok((Some(client.query_one(id, &[]).await?.try_get::<_, i64>(0)?), None))
    };
    let id = match control.ask(find).await? {
        (_, Some(room)) => return Ok(RoomOutcome::Existing(room)),
        (id, None) => id.unwrap_or_default(),
    };
    let insert = |client: Arc<Client>| async move {
        client.execute(INSERT, &[&id, &name, &post, &owner, &to_sql(created_at.0)]).await?;
        let existing = if post.is_some() { client.query_opt(FIND, &[&post]).await? } else { None };
        existing.as_ref().map(read_room).transpose()
    };
    let (name, owner) = (name.to_owned(), owner.map(str::to_owned));
    let created = Room { id: RoomId(id.unsigned_abs()), name, post_id, owner, created_at };
    Ok(match control.ask(insert).await? {
        Some(room) if room.id != created.id => RoomOutcome::Existing(room),
        _ => RoomOutcome::Created(created),
    })
}

/// A room of a row with the columns of the table, in their order.
pub(super) fn read_room(row: &Row) -> Result<Room, Error> {
    Ok(Room {
        id: RoomId(row.try_get::<_, i64>(0)?.unsigned_abs()),
        name: row.try_get(1)?,
        post_id: row.try_get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
        owner: row.try_get(3)?,
        created_at: Timestamp(row.try_get::<_, i64>(4)?.unsigned_abs()),
    })
}
