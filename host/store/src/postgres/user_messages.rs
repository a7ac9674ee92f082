//! What a user said, over all rooms, and the removal of senders whom no message names any more. Messages have no index by
//! sender, so the table is scanned, in pieces.

use std::collections::HashSet;

use tokio_postgres::Error;

use super::pool::{Connections, Lent};
use super::readers::Readers;
use super::rows::to_sql;
use crate::error::StoreError;
use ondol_host_model::{RoomId, Seq};

/// How many messages are scanned at once.
const SCANNED: i64 = 4_096;

/// The advisory lock that retiring senders takes alone. A commit that names senders shares it.
const RETIRING: i64 = 7_230_001;

/// A search for the messages that a user had said when it began.
#[derive(Debug)]
pub(crate) struct UserSearch {
    room: Option<RoomId>,
    /// The user's rows, one for each name, address and picture.
    senders: Vec<i64>,
    /// All messages up to this room and `seq` are scanned. None: all are.
    after: Option<(i64, i64)>,
}

impl UserSearch {
    /// The user's rows, for [`remove_unused_senders`].
    #[must_use]
    pub(crate) fn into_senders(self) -> Vec<i64> {
        self.senders
    }
}

/// A piece of the messages.
struct Piece {
    /// Those of the senders: room, `seq` and sender.
    found: Vec<(i64, i64, i64)>,
    /// The last message. None: there are no more.
    last: Option<(i64, i64)>,
}

/// The messages of senders among the next ones, up to this room.
async fn scan(client: &Lent, after: (i64, i64), room_max: i64, senders: &[i64]) -> Result<Piece, Error> {
    const SQL: &str = "
        WITH piece AS MATERIALIZED (
            SELECT room, seq, sender FROM message WHERE (room, seq) > ($1, $2) AND room <= $3 ORDER BY room, seq LIMIT $5
        )
        SELECT room, seq, sender, false AS is_last FROM piece WHERE sender = ANY ($4)
        UNION ALL (SELECT room, seq, sender, true FROM piece ORDER BY room DESC, seq DESC LIMIT 1)";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&after.0, &after.1, &room_max, &senders, &SCANNED]).await?;
    let mut piece = Piece { found: Vec::new(), last: None };
    for row in rows {
        let (room, seq, sender) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if row.try_get(3)? {
            piece.last = Some((room, seq));
        } else {
            piece.found.push((room, seq, sender));
        }
    }
    piece.found.sort_unstable();
    Ok(piece)
}

/// Begins a search for the messages of a user, in one room or in all.
pub(super) async fn search_user(
    readers: &Readers,
    user: String,
    room: Option<RoomId>,
) -> Result<UserSearch, StoreError> {
    let user = &user;
    let read = move |client: Lent| async move {
        // Those that are retired may have messages.
        let rows = client.query("SELECT n FROM sender WHERE usr = $1", &[user]).await?;
        rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, Error>>()
    };
    let senders = readers.read(read).await?;
    let after = (!senders.is_empty()).then(|| (room.map_or(0, |room| to_sql(room.0)), 0));
    Ok(UserSearch { room, senders, after })
}

/// The next messages that a search has found. None: it is done.
pub(super) async fn found_next(
    readers: &Readers,
    search: &mut UserSearch,
) -> Result<Option<Vec<(RoomId, Seq)>>, StoreError> {
    let Some(after) = search.after else { return Ok(None) };
    let room_max = search.room.map_or(i64::MAX, |room| to_sql(room.0));
    let senders = search.senders.as_slice();
    let piece = readers.read(move |client: Lent| async move { scan(&client, after, room_max, senders).await }).await?;
    search.after = piece.last;
    let found = piece.found.iter();
    Ok(Some(found.map(|(room, seq, _)| (RoomId(room.unsigned_abs()), Seq(seq.unsigned_abs()))).collect()))
}

/// Removes those of these senders' rows that no message names any more, and those that an earlier call has retired. First
/// they are retired, so that no commit can name them any more; then the messages tell which are not needed.
pub(super) async fn remove_unused_senders(
    readers: &Readers,
    writers: &Connections,
    senders: Vec<i64>,
) -> Result<(), StoreError> {
    // Most are needed: they stay as they are.
    let mut suspects: HashSet<i64> = senders.into_iter().collect();
    drop_needed(readers, &mut suspects).await?;
    let retired: Vec<i64> = suspects.into_iter().collect();
    let mut retired: HashSet<i64> = retire(writers, &retired).await?.into_iter().collect();
    drop_needed(readers, &mut retired).await?;
    let unused: Vec<i64> = retired.into_iter().collect();
    if unused.is_empty() {
        return Ok(());
    }
    let unused = unused.as_slice();
    let remove = move |client: Lent| async move {
        client.execute("DELETE FROM sender WHERE n = ANY ($1) AND retired", &[&unused]).await.map(drop)
    };
    writers.ask(remove).await
}

/// All senders.
pub(super) async fn all_senders(readers: &Readers) -> Result<Vec<i64>, StoreError> {
    let read = |client: Lent| async move {
        let rows = client.query("SELECT n FROM sender", &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    readers.read_aside(read).await
}

/// Retires senders, and returns all who are.
async fn retire(writers: &Connections, senders: &[i64]) -> Result<Vec<i64>, StoreError> {
    let retire = move |client: Lent| async move {
        if !senders.is_empty() {
            // One message to the server, so that the lock is held no longer than it has to be.
            let list = senders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let sql = format!(
                "BEGIN; SELECT pg_advisory_xact_lock({RETIRING}); \
                 UPDATE sender SET retired = true WHERE n IN ({list}); COMMIT"
            );
            client.batch_execute(&sql).await?;
        }
        let rows = client.query("SELECT n FROM sender WHERE retired", &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    writers.ask(retire).await
}

/// Scans the messages, and drops the senders that they name.
async fn drop_needed(readers: &Readers, suspects: &mut HashSet<i64>) -> Result<(), StoreError> {
    let mut after = Some((0, 0));
    while let Some(from) = after.filter(|_| !suspects.is_empty()) {
        let senders: Vec<i64> = suspects.iter().copied().collect();
        let senders = senders.as_slice();
        let read = move |client: Lent| async move { scan(&client, from, i64::MAX, senders).await };
        let piece = readers.read_aside(read).await?;
        for (_, _, sender) in piece.found {
            suspects.remove(&sender);
        }
        after = piece.last;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
