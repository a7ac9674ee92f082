//! Retries: each message with a `client_id` is found by it, and by its sender alone. An entry may be left of a deleted
//! message: its `client_id` is free again.

use rusqlite::Connection;

use super::Problems;

/// Reads the messages with a `client_id`, then the entries.
pub(super) fn check(connection: &Connection, problems: &mut Problems) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT message.id, message.room, message.seq FROM message CROSS JOIN sender ON sender.n = message.sender \
         WHERE message.client_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM client_message AS entry \
         WHERE entry.room = message.room AND entry.user = sender.user AND entry.client_id = message.client_id \
         AND entry.n = message.n)",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, room, seq): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        problems.add(|| format!("message {id} (room {room}, seq {seq}): its client_id does not lead to it"));
    }
    let mut statement = connection.prepare(
        "SELECT message.id, message.room, message.seq FROM client_message AS entry \
         CROSS JOIN message ON message.n = entry.n CROSS JOIN sender ON sender.n = message.sender \
         WHERE message.room = entry.room AND message.client_id = entry.client_id AND sender.user <> entry.user",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, room, seq): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        problems.add(|| format!("message {id} (room {room}, seq {seq}): another user's client_id leads to it"));
    }
    Ok(())
}
