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

/// How many senders are retired or removed at once. Commits wait meanwhile.
const SENDERS: usize = 1_000;

/// The advisory lock that retiring senders takes alone. A commit that names senders shares it.
const RETIRING: i64 = 7_230_001;

/// A search for the messages that a user had said when it began.
#[derive(Debug)]
pub(crate) struct UserSearch {
    room: Option<RoomId>,
    /// The user's rows, one for each name, address and picture.
    senders: Vec<i64>,
    /// Messages that come later have ids from here on.
    ids_end: i64,
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

/// The messages of senders among the next ones, up to this room and below this id.
async fn scan(
    client: &Lent,
    after: (i64, i64),
    [room_max, ids_end]: [i64; 2],
    senders: &[i64],
) -> Result<Piece, Error> {
    const SQL: &str = "
        WITH piece AS MATERIALIZED (
            SELECT room, seq, sender, id FROM message WHERE (room, seq) > ($1, $2) AND room <= $3 ORDER BY room, seq LIMIT $5
        )
        SELECT room, seq, sender, false AS is_last FROM piece WHERE sender = ANY ($4) AND id < $6
        UNION ALL (SELECT room, seq, sender, true FROM piece ORDER BY room DESC, seq DESC LIMIT 1)";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&after.0, &after.1, &room_max, &senders, &SCANNED, &ids_end]).await?;
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
        let senders = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, Error>>()?;
        // All blocks of ids that hosts take from now on are above this one.
        Ok((senders, client.query_one("SELECT nextval('message_id')", &[]).await?.try_get(0)?))
    };
    let (senders, ids_end) = readers.read(read).await?;
    let after = (!senders.is_empty()).then(|| (room.map_or(0, |room| to_sql(room.0)), 0));
    Ok(UserSearch { room, senders, ids_end, after })
}

/// The next messages that a search has found. None: it is done.
pub(super) async fn found_next(
    readers: &Readers,
    search: &mut UserSearch,
) -> Result<Option<Vec<(RoomId, Seq)>>, StoreError> {
    let Some(after) = search.after else { return Ok(None) };
    let ends = [search.room.map_or(i64::MAX, |room| to_sql(room.0)), search.ids_end];
    let senders = search.senders.as_slice();
    let piece = readers.read(move |client: Lent| async move { scan(&client, after, ends, senders).await }).await?;
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
    for unused in unused.chunks(SENDERS) {
        let remove = move |client: Lent| async move {
            client.execute("DELETE FROM sender WHERE n = ANY ($1) AND retired", &[&unused]).await.map(drop)
        };
        writers.ask(remove).await?;
    }
    Ok(())
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
    for senders in senders.chunks(SENDERS) {
        // One message to the server, so that the lock is held no longer than it has to be.
        let list = senders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let sql = &format!(
            "BEGIN; SELECT pg_advisory_xact_lock({RETIRING}); \
             UPDATE sender SET retired = true WHERE n IN ({list}); COMMIT"
        );
        writers.ask(move |client: Lent| async move { client.batch_execute(sql).await }).await?;
    }
    let retired = |client: Lent| async move {
        let rows = client.query("SELECT n FROM sender WHERE retired", &[]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    };
    writers.ask(retired).await
}

/// The senders of the next messages, and the last of these. None: there are no more.
async fn named(client: &Lent, after: (i64, i64)) -> Result<(Vec<i64>, Option<(i64, i64)>), Error> {
    const SQL: &str = "
        WITH piece AS MATERIALIZED (
            SELECT room, seq, sender FROM message WHERE (room, seq) > ($1, $2) ORDER BY room, seq LIMIT $3
        ), last AS (SELECT room, seq FROM piece ORDER BY room DESC, seq DESC LIMIT 1)
        SELECT DISTINCT piece.sender, last.room, last.seq FROM piece, last";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&after.0, &after.1, &SCANNED]).await?;
    let last = rows.first().map(|row| Ok::<_, Error>((row.try_get(1)?, row.try_get(2)?))).transpose()?;
    Ok((rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?, last))
}

/// Scans the messages, and drops the senders that they name.
async fn drop_needed(readers: &Readers, suspects: &mut HashSet<i64>) -> Result<(), StoreError> {
    let mut after = Some((0, 0));
    while let Some(from) = after.filter(|_| !suspects.is_empty()) {
        let read = move |client: Lent| async move { named(&client, from).await };
        let (senders, last) = readers.read_aside(read).await?;
        for sender in senders {
            suspects.remove(&sender);
        }
        after = last;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
