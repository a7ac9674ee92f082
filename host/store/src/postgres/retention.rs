//! Retention: removing messages that are kept no longer, by age or by number per room, in small pieces. One host does it
//! for all.
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

/// The advisory lock of the host that removes.
const LOCK: i64 = 7_230_004;

/// The most messages in a piece. Messages to the same room wait for it.
const MESSAGES: usize = 200;

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
            let pause = match self.run_alone().await {
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

    /// Returns at once if another host removes. The lock is held as long as the connection.
    async fn run_alone(&self) -> Result<(), StoreError> {
        let mut client = self.connector.connect(Purpose::Control).await?;
        if !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)? {
            return Ok(());
        }
        let (mut has_removed, mut next_search) = (false, Instant::now());
        loop {
            has_removed |= self.pass(&mut client).await?;
            let begun = Instant::now();
            if has_removed && begun >= next_search {
                has_removed = false;
                let senders = all_senders(&self.readers).await?;
                remove_unused_senders(&self.readers, &self.writers, senders).await?;
                next_search = Instant::now() + begun.elapsed() * SENDERS_PAUSE;
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
            let rooms = look(client, after, to_sql(self.kept.of_room), before).await?;
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
            let (first, is_full) = remove_piece(client, room, self.kept.of_room, self.too_old()).await?;
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

/// The next rooms, and whether each has messages to remove.
async fn look(client: &Client, after: i64, kept: i64, before: i64) -> Result<Vec<(i64, bool)>, Error> {
    const SQL: &str = "
        SELECT id, ($2::bigint > 0 AND last_seq - first_seq >= $2) OR ($3::bigint > 0 AND coalesce(
            (SELECT created_at < $3 FROM message WHERE room = id AND seq >= first_seq ORDER BY seq LIMIT 1), false))
        FROM (SELECT room.id, room.last_seq, room.first_seq FROM room WHERE room.id > $1 ORDER BY room.id LIMIT $4) AS next
        ORDER BY id";
    let rows = client.query(SQL, &[&after, &kept, &before, &ROOMS]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Removes the oldest messages of a room. Returns the first `seq` that is kept, and whether there may be more to remove.
async fn remove_piece(client: &mut Client, room: i64, kept: u64, before: Timestamp) -> Result<(i64, bool), Error> {
    let transaction = client.transaction().await?;
    // A commit takes the room first as well.
    let lock = "SELECT first_seq, last_seq FROM room WHERE id = $1 FOR NO KEY UPDATE";
    let Some(row) = transaction.query_opt(lock, &[&room]).await? else { return Ok((0, false)) };
    let (known_first, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    // The first one that is kept because of the number.
    let end = if kept == 0 { 0 } else { last.saturating_add(1).saturating_sub(to_sql(kept)) };
    let oldest = "SELECT seq, created_at FROM message WHERE room = $1 ORDER BY seq LIMIT $2";
    let (mut count, mut next) = (0, 0);
    for row in transaction.query(oldest, &[&room, &to_sql(MESSAGES as u64)]).await? {
        let (seq, created_at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        // Messages are in the order of their commits, so the first one that is not too old ends the search.
        if seq >= end && created_at >= to_sql(before.0) {
            break;
        }
        (count, next) = (count + 1, seq + 1);
    }
    let is_full = count == MESSAGES;
    let first = if is_full { next } else { next.max(end) }.max(known_first);
    for sql in [
        "DELETE FROM client_message known USING message, sender WHERE message.room = $1 AND message.seq < $2 \
         AND sender.n = message.sender AND known.room = $1 AND known.usr = sender.usr \
         AND known.client_id = message.client_id AND known.seq = message.seq",
        "DELETE FROM message WHERE room = $1 AND seq < $2",
        "UPDATE room SET first_seq = $2 WHERE id = $1 AND first_seq < $2",
        // Who has less of the room than that is not told of single messages.
        "DELETE FROM deletion WHERE room = $1 AND at_seq < $2",
    ] {
        transaction.execute(sql, &[&room, &first]).await?;
    }
    transaction.commit().await?;
    Ok((first, is_full))
}

#[cfg(test)]
mod tests;
