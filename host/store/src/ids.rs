//! Which ids of messages have been given out. No index knows a message by its id, so the database keeps a number that none
//! has reached: it goes on by a block at a time, in the transaction that stores the first message of the block. So a commit
//! costs nothing for it, and a server that is killed leaves out the rest of a block.

use rusqlite::Connection;

use super::rows::stored;

/// How many ids are taken at once.
const BLOCK: u64 = 1_000;

/// The ids that the database knows to be given out.
#[derive(Default)]
pub(super) struct Ids {
    /// All are below this. Zero: not known.
    below: u64,
}

impl Ids {
    /// Sees to it that `id` is among them, within a transaction that is under way.
    pub(super) fn take(&mut self, connection: &Connection, id: u64) -> rusqlite::Result<()> {
        if id >= self.below {
            let below = id.saturating_add(BLOCK);
            keep(connection, below)?;
            self.below = below;
        }
        Ok(())
    }

    /// Trusts nothing that was not committed.
    pub(super) fn forget(&mut self) {
        self.below = 0;
    }
}

/// The least id that was never given out, as far as the database knows.
pub(super) fn first_free(connection: &Connection) -> rusqlite::Result<u64> {
    let next = connection.query_row("SELECT next FROM counter WHERE name = 'id'", [], |row| row.get::<_, i64>(0))?;
    Ok(next.unsigned_abs())
}

/// Records that no id from `next` on has been given out.
pub(super) fn keep(connection: &Connection, next: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'id'")?.execute([stored(next)])?;
    Ok(())
}
