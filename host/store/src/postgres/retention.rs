//! Retention: removing messages that are kept no longer, by age or by number per room, in small pieces. Where several hosts
//! use the database, each does it in the rooms whose home it is, and in those that have none.
//!
//! Clients are not told. A room's pages begin at its first message that is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};

use super::connect::{Connector, Purpose};
use super::pool::Connections;
use super::readers::Readers;
use super::rows::to_sql;
use super::user_messages::{all_senders, remove_unused_senders};
use crate::cache::Cache;
use crate::error::StoreError;
use crate::limits::MessageRetention;
use ondol_host_model::{RoomId, Seq, Timestamp};

/// Takes the advisory lock of the host that removes, in this schema. Where there are several, of the one that looks for senders.
const LOCK: &str = "SELECT pg_try_advisory_lock('host'::regclass::oid::int, 4)";
const UNLOCK: &str = "SELECT pg_advisory_unlock('host'::regclass::oid::int, 4)";

/// The most messages in a piece. Messages to the same room wait for it.
const MESSAGES: i64 = 200;

/// How many rooms are looked at at once.
const ROOMS: i64 = 200;

/// How many times as long as it took the host pauses after a piece, and for how long at least: commits wait for the same disk.
const PAUSE: u32 = 4;
const PIECE_EVERY: Duration = Duration::from_millis(50);

/// The pause after all rooms were looked at, and after a failure.
const SEARCH_EVERY: Duration = Duration::from_secs(1);
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// The pause of a host while another one removes.
const OTHER_PAUSE: Duration = Duration::from_secs(30);

/// How many times as long as it took the host waits after a search for senders without messages: it scans all messages.
const SENDERS_PAUSE: u32 = 20;

/// What the host has to do.
pub(super) struct Remover {
    /// The number of this host.
    pub(super) no: i32,
    /// Other hosts may use the database at the same time.
    pub(super) is_shared: bool,
    pub(super) kept: MessageRetention,
    pub(super) connector: Connector,
    pub(super) readers: Arc<Readers>,
    pub(super) writers: Arc<Connections>,
    pub(super) cache: Arc<Cache>,
}

/// Ends the removal when dropped.
pub(super) struct Stop(AbortHandle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the removal, unless everything is kept.
pub(super) fn start(remover: Remover) -> Option<Stop> {
    (remover.kept != MessageRetention::default())
        .then(|| Stop(tokio::spawn(async move { remover.run().await }).abort_handle()))
}

impl Remover {
    async fn run(&self) {
        loop {
            let pause = match self.run_on().await {
                Ok(()) => OTHER_PAUSE,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "old messages were not removed, which is tried again: {error}");
                    FAILED_PAUSE
                }
            };
            sleep(pause).await;
        }
    }

    /// Returns at once if another host removes, and each is to do so alone. The lock is held as long as the connection.
    async fn run_on(&self) -> Result<(), StoreError> {
        let mut client = self.connector.connect(Purpose::Control).await?;
        if !self.is_shared && !lock(&client).await? {
            return Ok(());
        }
        let (mut has_removed, mut next_search) = (false, Instant::now());
        loop {
            has_removed |= self.pass(&mut client).await?;
            let begun = Instant::now();
            if has_removed && begun >= next_search && (!self.is_shared || lock(&client).await?) {
                has_removed = false;
                let senders = all_senders(&self.readers).await?;
                remove_unused_senders(&self.readers, &self.writers, senders).await?;
                next_search = Instant::now() + begun.elapsed() * SENDERS_PAUSE;
                if self.is_shared {
                    client.execute(UNLOCK, &[]).await?;
                }
            }
            sleep(SEARCH_EVERY).await;
        }
    }

    /// Looks at all rooms. Returns whether messages were removed.
    pub(super) async fn pass(&self, client: &mut Client) -> Result<bool, StoreError> {
        let (mut after, mut has_removed) = (0, false);
        loop {
            let begun = Instant::now();
            let before = to_sql(self.too_old().0);
            let rooms = look(client, self.no, after, [to_sql(self.kept.of_room), before]).await?;
            pause_after(begun).await;
            let Some((last, _)) = rooms.last() else { return Ok(has_removed) };
            after = *last;
            for (room, _) in rooms.into_iter().filter(|(_, is_due)| *is_due) {
                has_removed = true;
                self.remove_from(client, room).await?;
            }
        }
    }

    /// The time before which messages are too old.
    fn too_old(&self) -> Timestamp {
        match self.kept.age_ms {
            0 => Timestamp(0),
            age_ms => Timestamp(Timestamp::now().0.saturating_sub(age_ms)),
        }
    }

    /// Removes the messages of a room that are kept no longer.
    async fn remove_from(&self, client: &mut Client, room: i64) -> Result<(), StoreError> {
        loop {
            let begun = Instant::now();
            let (first, is_full) = remove_piece(client, self.no, room, self.kept.of_room, self.too_old()).await?;
            self.cache.forget_before(RoomId(room.unsigned_abs()), Seq(first.unsigned_abs()));
            pause_after(begun).await;
            if !is_full {
                return Ok(());
            }
        }
    }
}

async fn pause_after(begun: Instant) {
    sleep((begun.elapsed() * PAUSE).max(PIECE_EVERY)).await;
}

/// Whether this connection has the lock, or gets it.
async fn lock(client: &Client) -> Result<bool, Error> {
    client.query_one(LOCK, &[]).await?.try_get(0)
}

/// The next rooms, and whether each has messages for this host to remove. `ondol_remove` has the same condition.
async fn look(client: &Client, no: i32, after: i64, [kept, before]: [i64; 2]) -> Result<Vec<(i64, bool)>, Error> {
    const SQL: &str = "
        SELECT id, is_ours AND (($2::bigint > 0 AND last_seq - first_seq >= $2) OR ($3::bigint > 0 AND coalesce(
            (SELECT created_at < $3 FROM message WHERE room = id AND seq >= first_seq ORDER BY seq LIMIT 1), false)))
        FROM (SELECT room.id, room.last_seq, room.first_seq, room.host IS NOT DISTINCT FROM $5
            OR NOT EXISTS (SELECT FROM host h WHERE h.no = room.host AND h.state IN ('joining', 'live', 'draining')) AS is_ours
        FROM room WHERE room.id > $1 ORDER BY room.id LIMIT $4) AS next ORDER BY id";
    let rows = client.query(SQL, &[&after, &kept, &before, &ROOMS, &no]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Removes the oldest messages of a room. Returns the first `seq` that is kept, and whether there may be more to remove.
async fn remove_piece(client: &Client, no: i32, room: i64, kept: u64, before: Timestamp) -> Result<(i64, bool), Error> {
    let sql = "SELECT first_kept, is_full FROM ondol_remove($1, $2, $3, $4, $5)";
    let row = client.query_one(sql, &[&no, &room, &to_sql(kept), &to_sql(before.0), &MESSAGES]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

#[cfg(test)]
mod tests;
