//! Removing the rows of senders whom no message names any more: a user's name and address are not kept longer than what
//! they said. Messages have no index by sender, so the table is scanned, in pieces and beside the commits.

use std::collections::HashSet;

use rusqlite::Connection;

use super::stretch::json_array;

/// How many messages are scanned at once.
pub(super) const SCANNED: i64 = 4_096;

/// The most senders that are removed at once.
pub(super) const SENDERS: usize = 200;

/// The rows of senders that may have no message, while the messages are scanned: first back to the oldest, then those that
/// were stored meanwhile.
pub(super) struct Suspects {
    rowids: HashSet<i64>,
    scanned: Scanned,
}

/// The messages that were scanned, by their rowids.
#[derive(Clone, Copy)]
enum Scanned {
    None,
    From(i64, i64),
    UpTo(i64),
}

impl Suspects {
    pub(super) fn new(rowids: impl IntoIterator<Item = i64>) -> Self {
        Self { rowids: rowids.into_iter().collect(), scanned: Scanned::None }
    }

    /// All senders.
    pub(super) fn all(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT n FROM sender")?;
        let rowids = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok(Self::new(rowids))
    }

    /// Scans some messages, and drops the senders that they name. False: at most a few that have just come are left.
    pub(super) fn scan(&mut self, connection: &Connection) -> rusqlite::Result<bool> {
        if self.rowids.is_empty() {
            return Ok(false);
        }
        match self.scanned {
            Scanned::UpTo(last) => {
                let later = "SELECT n, sender FROM message WHERE n > ?1 ORDER BY n LIMIT ?2";
                let (count, rowids) = self.drop_senders(connection, later, last)?;
                self.scanned = Scanned::UpTo(rowids.map_or(last, |(_, to)| to));
                Ok(count == SCANNED && !self.rowids.is_empty())
            }
            Scanned::None | Scanned::From(..) => {
                let earlier = "SELECT n, sender FROM message WHERE n < ?1 ORDER BY n DESC LIMIT ?2";
                let before = if let Scanned::From(from, _) = self.scanned { from } else { i64::MAX };
                let (count, rowids) = self.drop_senders(connection, earlier, before)?;
                let last = match (self.scanned, rowids) {
                    (Scanned::From(_, last), _) | (_, Some((last, _))) => last,
                    _ => 0,
                };
                let is_more = count == SCANNED;
                let from = rowids.map_or(before, |(_, to)| to);
                self.scanned = if is_more { Scanned::From(from, last) } else { Scanned::UpTo(last) };
                // What was stored during the scan comes next.
                Ok(!self.rowids.is_empty())
            }
        }
    }

    /// Drops the senders of the messages that a query finds. Returns how many there are, the first rowid and the last one.
    fn drop_senders(
        &mut self,
        connection: &Connection,
        query: &str,
        beyond: i64,
    ) -> rusqlite::Result<(i64, Option<(i64, i64)>)> {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query((beyond, SCANNED))?;
        let (mut count, mut rowids) = (0, None);
        while let Some(row) = rows.next()? {
            let (rowid, sender): (i64, i64) = (row.get(0)?, row.get(1)?);
            rowids = Some((rowids.map_or(rowid, |(first, _)| first), rowid));
            self.rowids.remove(&sender);
            count += 1;
        }
        Ok((count, rowids))
    }

    /// Takes some of those that are left, to be removed once all messages are scanned.
    pub(super) fn take(&mut self, max: usize) -> Option<UnusedSenders> {
        let rowids: Vec<i64> = self.rowids.iter().copied().take(max).collect();
        for rowid in &rowids {
            self.rowids.remove(rowid);
        }
        let scanned_to = if let Scanned::UpTo(last) = self.scanned { last } else { 0 };
        (!rowids.is_empty()).then_some(UnusedSenders { rowids, scanned_to })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with a message of each of these senders, one after another.
    fn with_messages(of: impl IntoIterator<Item = i64>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE sender (n INTEGER PRIMARY KEY); CREATE TABLE message (n INTEGER PRIMARY KEY, sender INTEGER)")
            .unwrap();
        add(&connection, of);
        connection
    }

    fn add(connection: &Connection, of: impl IntoIterator<Item = i64>) {
        let of: Vec<i64> = of.into_iter().collect();
        let rows = "INSERT INTO message (sender) SELECT value FROM json_each(?1)";
        connection.execute(rows, [json_array(&of)]).unwrap();
    }

    #[test]
    fn what_is_stored_during_a_scan_is_scanned_before_a_sender_is_removed() {
        let connection = with_messages(std::iter::repeat_n(1, 2 * SCANNED as usize));
        connection.execute_batch("INSERT INTO sender VALUES (1), (2), (3), (4)").unwrap();
        let mut suspects = Suspects::all(&connection).unwrap();
        assert!(suspects.scan(&connection).unwrap());
        add(&connection, std::iter::repeat_n(2, SCANNED as usize + 1));
        while suspects.scan(&connection).unwrap() {}
        // This one comes after the last scan, so the removal has to see it itself.
        add(&connection, [3]);
        let unused = suspects.take(SENDERS).unwrap();
        assert_eq!(unused.scanned_to, 3 * SCANNED + 1);
        unused.remove(&connection).unwrap();
        let left: String = connection.query_row("SELECT group_concat(n) FROM sender", [], |row| row.get(0)).unwrap();
        assert_eq!(left, "1,2,3");
    }

    #[test]
    fn without_messages_all_are_removed() {
        let connection = with_messages([]);
        connection.execute_batch("INSERT INTO sender VALUES (1), (2)").unwrap();
        let mut suspects = Suspects::all(&connection).unwrap();
        while suspects.scan(&connection).unwrap() {}
        suspects.take(SENDERS).unwrap().remove(&connection).unwrap();
        let left: i64 = connection.query_row("SELECT count(*) FROM sender", [], |row| row.get(0)).unwrap();
        assert_eq!((left, suspects.take(SENDERS).is_none()), (0, true));
    }
}
