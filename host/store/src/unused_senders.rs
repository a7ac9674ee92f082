//! Removing the rows of senders whom no message names any more: a user's name and address are not kept longer than what
//! they said. Messages have no index by sender, so the table is scanned, in pieces and beside the commits.

use std::collections::HashSet;

use rusqlite::Connection;

use super::stretch::json_array;

/// How many messages are scanned at once.
const SCANNED: i64 = 4_096;

/// The rows of senders that may have no message, while the messages are scanned, latest first.
pub(super) struct Suspects {
    rowids: HashSet<i64>,
    /// The first rowid that was scanned. None: nothing was.
    scanned_from: Option<i64>,
    /// The last one.
    scanned_to: i64,
}

impl Suspects {
    pub(super) fn new(rowids: impl IntoIterator<Item = i64>) -> Self {
        Self { rowids: rowids.into_iter().collect(), scanned_from: None, scanned_to: 0 }
    }

    /// All senders.
    pub(super) fn all(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT n FROM sender")?;
        let rowids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok(Self::new(rowids))
    }

    /// Scans some messages, and drops the senders that they name. False: no more are to be scanned.
    pub(super) fn scan(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.rowids.is_empty() {
            return Ok(false);
        }
        let mut statement =
            connection.prepare_cached("SELECT n, sender FROM message WHERE n < ?1 ORDER BY n DESC LIMIT ?2")?;
        let mut rows = statement.query((self.scanned_from.unwrap_or(i64::MAX), SCANNED))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (rowid, sender): (i64, i64) = (row.get(0)?, row.get(1)?);
            if self.scanned_from.is_none() {
                self.scanned_to = rowid;
            }
            self.scanned_from = Some(rowid);
            self.rowids.remove(&sender);
            count += 1;
        }
        Ok(count == SCANNED && !self.rowids.is_empty())
    }

    /// Takes some of those that are left, to be removed once all messages are scanned.
    pub(super) fn take(&mut self, max: usize) -> Option<UnusedSenders> {
        let rowids: Vec<i64> = self.rowids.iter().copied().take(max).collect();
        for rowid in &rowids {
            self.rowids.remove(rowid);
        }
        (!rowids.is_empty()).then_some(UnusedSenders { rowids, scanned_to: self.scanned_to })
    }
}

/// Senders whom no message names, as far as the messages were scanned.
pub(super) struct UnusedSenders {
    rowids: Vec<i64>,
    scanned_to: i64,
}

impl UnusedSenders {
    /// Removes them, unless a message that was stored since names them. Inside the open transaction.
    pub(super) fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "DELETE FROM sender WHERE n IN (SELECT value FROM json_each(?1)) \
                 AND n NOT IN (SELECT sender FROM message WHERE n > ?2)",
            )?
            .execute((json_array(&self.rowids), self.scanned_to))
            .map(drop)
    }
}
