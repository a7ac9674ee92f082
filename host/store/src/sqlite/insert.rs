//! The rows that a batch inserts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rusqlite::{Connection, Statement};

use super::room_index::Inserted;
use super::rows::to_sql;
use ondol_host_model::Message;

/// The rows of one `INSERT` statement in a large batch: to run a statement costs as much as half a row.
const ROWS: usize = 16;

/// The columns of [`bind`].
const COLUMNS: [&str; 10] = ["n", "room", "seq", "id", "sender", "created_at", "text", "client_id", "parent", "extra"];

/// Inserts messages in their order.
pub(super) fn messages(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    static ONE: LazyLock<String> = LazyLock::new(|| statement_for(1));
    static MANY: LazyLock<String> = LazyLock::new(|| statement_for(ROWS));
    let (many, rest) = messages.as_chunks::<ROWS>();
    if !many.is_empty() {
        let mut statement = connection.prepare_cached(&MANY)?;
        many.iter().try_for_each(|messages| execute(&mut statement, messages))?;
    }
    if !rest.is_empty() {
        let mut statement = connection.prepare_cached(&ONE)?;
        rest.chunks(1).try_for_each(|message| execute(&mut statement, message))?;
    }
    Ok(())
}

/// Records the last `seq` of each room that got messages.
pub(super) fn last_seqs(connection: &Connection, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO room_seq (room, last) VALUES (?1, ?2) ON CONFLICT (room) DO UPDATE SET last = excluded.last",
    )?;
    // Sorted by room, so that neighbouring rows are written in a row. The last message of a room has its highest `seq`.
    let last: BTreeMap<i64, i64> =
        messages.iter().map(|(message, _)| (to_sql(message.room.0), to_sql(message.seq.0))).collect();
    last.iter().try_for_each(|last| statement.execute(last).map(drop))
}

/// Records the `client_id` of a message, if it has one. False: the sender has another message under it in the room.
pub(super) fn client_id(connection: &Connection, message: &Message, rowid: i64) -> rusqlite::Result<bool> {
    let Some(client_id) = &message.draft.client_id else { return Ok(true) };
    // The `client_id` of a message that an operator deleted is free again.
    let changed = connection
        .prepare_cached(
            "INSERT INTO client_message (room, user, client_id, n) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (room, user, client_id) DO UPDATE SET n = excluded.n WHERE NOT EXISTS \
             (SELECT 1 FROM message WHERE message.n = client_message.n AND message.room = ?1 AND message.client_id = ?3)",
        )?
        .execute((to_sql(message.room.0), &message.sender.id, client_id, rowid))?;
    Ok(changed > 0)
}

/// Inserts as many messages as the statement has rows.
fn execute(statement: &mut Statement<'_>, messages: &[(&Message, Inserted)]) -> rusqlite::Result<()> {
    for (row, (message, inserted)) in messages.iter().enumerate() {
        bind(statement, row * COLUMNS.len(), message, inserted)?;
    }
    statement.raw_execute()?;
    Ok(())
}

/// `OR FAIL`, because a failure rolls the whole transaction back anyway; otherwise SQLite would copy each page that the
/// statement changes.
fn statement_for(rows: usize) -> String {
    let row = format!("({})", vec!["?"; COLUMNS.len()].join(", "));
    format!("INSERT OR FAIL INTO message ({}) VALUES {}", COLUMNS.join(", "), vec![row; rows].join(", "))
}

/// Binds one row to the parameters after the first `before`.
fn bind(statement: &mut Statement<'_>, before: usize, message: &Message, inserted: &Inserted) -> rusqlite::Result<()> {
    let draft = &message.draft;
    statement.raw_bind_parameter(before + 1, inserted.rowid)?;
    statement.raw_bind_parameter(before + 2, to_sql(message.room.0))?;
    statement.raw_bind_parameter(before + 3, to_sql(message.seq.0))?;
    statement.raw_bind_parameter(before + 4, to_sql(message.id.0))?;
    statement.raw_bind_parameter(before + 5, inserted.sender)?;
    statement.raw_bind_parameter(before + 6, to_sql(message.created_at.0))?;
    statement.raw_bind_parameter(before + 7, &draft.text)?;
    statement.raw_bind_parameter(before + 8, &draft.client_id)?;
    statement.raw_bind_parameter(before + 9, draft.parent.map(|parent| to_sql(parent.0)))?;
    statement.raw_bind_parameter(before + 10, &draft.extra)
}
