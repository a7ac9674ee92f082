//! What a user said, over all rooms. Messages have no index by sender, so the table is scanned, in pieces and beside the
//! commits.

use rusqlite::{Connection, OptionalExtension as _};

use super::Sqlite;
use super::rows::{number, to_sql};
use super::stretch::json_array;
use super::unused_senders::{SCANNED, SENDERS, Suspects};
use crate::error::StoreError;
use ondol_host_model::{RoomId, Seq};

/// A search for the messages that a user had said when it began.
#[derive(Debug)]
pub(crate) struct UserSearch {
    room: Option<RoomId>,
    /// The user's rows, one for each name, address and picture.
    senders: Vec<i64>,
    /// All messages up to this rowid are scanned.
    after: i64,
    /// The last one to scan.
    end: i64,
}

impl UserSearch {
    fn begin(connection: &Connection, user: &str, room: Option<RoomId>) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT n FROM sender WHERE user = ?1")?;
        let senders = statement.query_map([user], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let end: Option<i64> = connection.query_row("SELECT max(n) FROM message", [], |row| row.get(0))?;
        Ok(Self { room, senders, after: 0, end: end.unwrap_or(0) })
    }

    /// The user's messages among the next ones.
    fn scan(&mut self, connection: &Connection) -> rusqlite::Result<Vec<(RoomId, Seq)>> {
        let last: Option<i64> = connection
            .prepare_cached("SELECT max(n) FROM (SELECT n FROM message WHERE n > ?1 ORDER BY n LIMIT ?2)")?
            .query_row([self.after, SCANNED], |row| row.get(0))
            .optional()?
            .flatten();
        let last = last.unwrap_or(self.end).min(self.end);
        let mut statement = connection.prepare_cached(
            "SELECT room, seq FROM message WHERE n > ?1 AND n <= ?2 \
             AND sender IN (SELECT value FROM json_each(?3)) AND (?4 IS NULL OR room = ?4) ORDER BY n",
        )?;
        let between = (self.after, last, json_array(&self.senders), self.room.map(|room| to_sql(room.0)));
        let found = statement.query_map(between, |row| Ok((RoomId(number(row, 0)?), Seq(number(row, 1)?))))?;
        let found = found.collect::<rusqlite::Result<_>>()?;
        self.after = last;
        Ok(found)
    }

    fn is_done(&self) -> bool {
        self.after >= self.end || self.senders.is_empty()
    }

    /// The user's rows, for [`Sqlite::remove_unused_senders`].
    #[must_use]
    pub(crate) fn into_senders(self) -> Vec<i64> {
        self.senders
    }
}

impl Sqlite {
    /// Begins a search for the messages of a user, in one room or in all.
    ///
    /// # Errors
    ///
    /// SQLite's error, as for all queries.
    pub(crate) async fn search_user(&self, user: String, room: Option<RoomId>) -> Result<UserSearch, StoreError> {
        self.readers.read(move |connection| UserSearch::begin(connection, &user, room)).await
    }

    /// The next messages that a search has found. None: it is done.
    ///
    /// # Errors
    ///
    /// SQLite's error.
    pub(crate) async fn found_next(&self, search: &mut UserSearch) -> Result<Option<Vec<(RoomId, Seq)>>, StoreError> {
        if search.is_done() {
            return Ok(None);
        }
        let UserSearch { room, after, end, .. } = *search;
        let mut scanned = UserSearch { room, senders: search.senders.clone(), after, end };
        let scan = move |connection: &Connection| {
            let found = scanned.scan(connection)?;
            Ok((scanned, found))
        };
        let (scanned, found) = self.readers.read(scan).await?;
        *search = scanned;
        Ok(Some(found))
    }

    /// Removes those of these senders' rows that no message names any more. Scans the messages for them, until each has
    /// turned up.
    ///
    /// # Errors
    ///
    /// SQLite's error, or [`StoreError::Closed`].
    pub(crate) async fn remove_unused_senders(&self, senders: Vec<i64>) -> Result<(), StoreError> {
        let mut suspects = Suspects::new(senders);
        loop {
            let scan = move |connection: &Connection| {
                let is_more = suspects.scan(connection)?;
                Ok((suspects, is_more))
            };
            let is_more;
            (suspects, is_more) = self.readers.read(scan).await?;
            if is_more {
                continue;
            }
            // The writer looks at the few messages that came since, and no others.
            let Some(unused) = suspects.take(SENDERS) else { break };
            self.blocking(move |database| database.remove_senders(&unused)).await?;
        }
        Ok(())
    }
}
