//! Senders as they were when they said something: one row for as long as name, address and picture stay the same. A
//! message names its sender by the number of that row.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use ondol_host_model::{Speaker, UserKey};

/// Senders whose row is remembered. Past this number all are forgotten and looked up again.
const REMEMBERED_MAX: usize = 100_000;

/// The rows of recent senders.
#[derive(Default)]
pub(super) struct SenderRows {
    rowids: HashMap<UserKey, i64>,
}

impl SenderRows {
    /// The row of a sender. Inserts it, inside the open transaction, if there is none.
    pub(super) fn rowid(&mut self, connection: &Connection, sender: &Speaker) -> rusqlite::Result<i64> {
        if let Some(rowid) = self.rowids.get(&sender.key()) {
            return Ok(*rowid);
        }
        if self.rowids.len() >= REMEMBERED_MAX {
            self.rowids.clear();
        }
        let columns = (&sender.id, &sender.nickname, &sender.email, &sender.profile_url);
        let existing = connection
            .prepare_cached(
                "SELECT n FROM sender WHERE user = ?1 AND nickname = ?2 AND email = ?3 AND profile_url IS ?4",
            )?
            .query_row(columns, |row| row.get(0))
            .optional()?;
        let rowid = match existing {
            Some(rowid) => rowid,
            None => connection
                .prepare_cached("INSERT INTO sender (user, nickname, email, profile_url) VALUES (?1, ?2, ?3, ?4)")?
                .insert(columns)?,
        };
        self.rowids.insert(sender.key(), rowid);
        Ok(rowid)
    }

    /// Forgets what a failed transaction may have inserted.
    pub(super) fn forget(&mut self) {
        self.rowids.clear();
    }
}
