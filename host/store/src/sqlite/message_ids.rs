//! Which message ids are used up. Messages have no index by id, so the database keeps a number above all used ids. It
//! rises by a block at a time, in the transaction that stores the first message of the block: other commits pay nothing
//! for it, and a killed server skips the rest of a block.

use rusqlite::Connection;

use super::rows::to_sql;

/// The number of ids that are reserved at once.
const BLOCK: u64 = 1_000;

/// The ids that the database has as used up.
#[derive(Default)]
pub(super) struct MessageIds {
    /// All are below this. Zero: not known.
    below: u64,
}

impl MessageIds {
    /// Makes sure that the database has `id` as used up. Runs inside the transaction of its message.
    pub(super) fn reserve(&mut self, connection: &Connection, id: u64) -> rusqlite::Result<()> {
        if id >= self.below {
            let below = id.saturating_add(BLOCK);
            save_next(connection, below)?;
            self.below = below;
        }
        Ok(())
    }

    /// Forgets what a failed transaction may have reserved.
    pub(super) fn forget(&mut self) {
        self.below = 0;
    }
}

/// The lowest id that is free, as far as the database knows.
pub(super) fn first_free(connection: &Connection) -> rusqlite::Result<u64> {
    let next = connection.query_row("SELECT next FROM counter WHERE name = 'id'", [], |row| row.get::<_, i64>(0))?;
    Ok(next.unsigned_abs())
}

/// Records that all ids below `next` are used up, besides those that are already.
pub(super) fn raise_next(connection: &Connection, next: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE counter SET next = max(next, ?1) WHERE name = 'id'";
    connection.prepare_cached(sql)?.execute([to_sql(next)]).map(drop)
}

/// Records that all ids from `next` on are free.
pub(super) fn save_next(connection: &Connection, next: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counter SET next = ?1 WHERE name = 'id'")?.execute([to_sql(next)])?;
    Ok(())
}
