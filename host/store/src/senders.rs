//! Who said something, each once for as long as nothing of theirs changes: a message has their row's number. Knows nothing of
//! messages.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use ondol_host_model::{Speaker, UserKey};

/// Speakers whose row is remembered, before all are forgotten and looked up again.
const REMEMBERED_MAX: usize = 100_000;

/// The rows of those who spoke lately.
#[derive(Default)]
pub(super) struct Senders {
    rows: HashMap<UserKey, i64>,
}

impl Senders {
    /// The row of a speaker. Written if there is none, in a transaction that is under way.
    pub(super) fn row(&mut self, connection: &Connection, speaker: &Speaker) -> rusqlite::Result<i64> {
        if let Some(row) = self.rows.get(&speaker.key()) {
            return Ok(*row);
        }
        if self.rows.len() >= REMEMBERED_MAX {
            self.rows.clear();
        }
        let user = (&speaker.id, &speaker.nickname, &speaker.email, &speaker.profile_url);
        let standing = connection
            .prepare_cached(
                "SELECT n FROM sender WHERE user = ?1 AND nickname = ?2 AND email = ?3 AND profile_url IS ?4",
            )?
            .query_row(user, |row| row.get(0))
            .optional()?;
        let row = match standing {
            Some(row) => row,
            None => connection
                .prepare_cached("INSERT INTO sender (user, nickname, email, profile_url) VALUES (?1, ?2, ?3, ?4)")?
                .insert(user)?,
        };
        self.rows.insert(speaker.key(), row);
        Ok(row)
    }

    /// Trusts nothing that was not committed.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
    }
}
