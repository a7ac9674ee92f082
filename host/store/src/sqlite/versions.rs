//! Versions of handlers as rows of the schema. To the store a version is bytes and text.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::to_sql;
use crate::records::{AboutVersion, StoredVersion};
use ondol_host_model::Timestamp;

/// A component is stored in pieces of this size, each in a transaction of its own, since messages wait for each.
const PIECE_BYTES: usize = 512 << 10;

// The pieces of a component are rows whose keys begin with its hash: the first has the hash, the others the hash, a slash and
// their number. SQLite tells the length of a BLOB without reading it.
macro_rules! version_columns {
    () => {
        "SELECT id, handler, component, settings, cases, (SELECT sum(length(wasm)) FROM component \
         WHERE sha256 >= version.component AND sha256 < version.component || '0'), first_seen, last_active FROM version"
    };
}

/// The pieces of a component, with their numbers.
pub(super) fn pieces(wasm: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    wasm.chunks(PIECE_BYTES).enumerate()
}

/// Saves a piece of a component. One that is stored already is replaced if the disk has damaged it.
pub(super) fn save_piece(connection: &Connection, component: &str, piece: (usize, &[u8])) -> rusqlite::Result<()> {
    let (number, bytes) = piece;
    let key = if number == 0 { component.to_owned() } else { format!("{component}/{number:06}") };
    connection.execute(
        "INSERT INTO component (sha256, wasm) VALUES (?1, ?2) \
         ON CONFLICT (sha256) DO UPDATE SET wasm = excluded.wasm WHERE wasm <> excluded.wasm",
        params![key, bytes],
    )?;
    Ok(())
}

/// Saves a version whose component's pieces are saved.
pub(super) fn save(connection: &mut Connection, version: &StoredVersion) -> rusqlite::Result<()> {
    let StoredVersion { about, wasm } = version;
    let transaction = connection.transaction()?;
    // Another change may have deleted pieces meanwhile, since no version had them yet.
    if pieces_length(&transaction, &about.component)? != wasm.len() as u64 {
        delete_pieces(&transaction, &about.component)?;
        pieces(wasm).try_for_each(|piece| save_piece(&transaction, &about.component, piece))?;
    }
    transaction.execute(
        "INSERT INTO version (id, handler, component, settings, cases, first_seen, last_active) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) \
         ON CONFLICT (id) DO UPDATE SET cases = coalesce(excluded.cases, cases)",
        params![about.id, about.handler, about.component, about.settings, about.cases, to_sql(Timestamp::now().0)],
    )?;
    transaction.commit()
}

/// A version with its component.
pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<StoredVersion>> {
    let sql = concat!(version_columns!(), " WHERE id = ?1");
    let Some(about) = connection.prepare_cached(sql)?.query_row([id], read).optional()? else { return Ok(None) };
    let wasm = read_pieces(connection, &about.component)?;
    Ok(Some(StoredVersion { about, wasm }))
}

/// A component, joined from its pieces.
pub(super) fn read_pieces(connection: &Connection, component: &str) -> rusqlite::Result<Vec<u8>> {
    let sql = "SELECT wasm FROM component WHERE sha256 >= ?1 AND sha256 < ?1 || '0' ORDER BY sha256";
    let mut wasm = Vec::new();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([component])?;
    while let Some(row) = rows.next()? {
        wasm.extend_from_slice(row.get_ref(0)?.as_blob()?);
    }
    Ok(wasm)
}

fn pieces_length(connection: &Connection, component: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(length(wasm)), 0) FROM component WHERE sha256 >= ?1 AND sha256 < ?1 || '0'";
    connection.prepare_cached(sql)?.query_row([component], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
}

fn delete_pieces(connection: &Connection, component: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM component WHERE sha256 > ?1 AND sha256 < ?1 || '0'";
    connection.execute(sql, [component]).map(drop)
}

/// The versions whose ids begin with `prefix`, of all handlers, the last active first.
pub(super) fn list(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<AboutVersion>> {
    let sql = concat!(version_columns!(), " WHERE substr(id, 1, ?1) = ?2 ORDER BY last_active DESC, first_seen DESC");
    connection.prepare_cached(sql)?.query_map((to_sql(prefix.len() as u64), prefix), read)?.collect()
}

/// Records that a version is active now, inside the open transaction.
pub(super) fn set_active(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE version SET last_active = ?1 WHERE id = ?2";
    connection.execute(sql, params![to_sql(Timestamp::now().0), id]).map(drop)
}

/// Deletes versions beyond the last `max` components of each handler, and of each component beyond the last `max`
/// settings, inside the open transaction. So new settings do not displace the components that a rollback needs. The
/// active ones are always kept.
pub(super) fn prune(connection: &Connection, active: &[String; 3], max: usize) -> rusqlite::Result<()> {
    let [rooms, messages, events] = active;
    for handler in ["rooms", "messages", "events"] {
        connection.execute(
            "WITH used AS (SELECT component, max(last_active) AS at, max(rowid) AS row FROM version \
             WHERE handler = ?1 GROUP BY component ORDER BY at DESC, row DESC LIMIT ?5), \
             place AS (SELECT id, component, row_number() OVER \
             (PARTITION BY component ORDER BY last_active DESC, rowid DESC) AS number FROM version WHERE handler = ?1) \
             DELETE FROM version WHERE handler = ?1 AND id NOT IN (?2, ?3, ?4) AND id NOT IN \
             (SELECT id FROM place WHERE number <= ?5 AND component IN (SELECT component FROM used))",
            params![handler, rooms, messages, events, to_sql(max as u64)],
        )?;
    }
    connection
        .execute(
            "DELETE FROM component WHERE NOT EXISTS (SELECT 1 FROM version WHERE sha256 >= version.component \
             AND sha256 < version.component || '0')",
            [],
        )
        .map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AboutVersion> {
    Ok(AboutVersion {
        id: row.get(0)?,
        handler: row.get(1)?,
        component: row.get(2)?,
        settings: row.get(3)?,
        cases: row.get(4)?,
        bytes: row.get::<_, i64>(5)?.unsigned_abs(),
        first_seen: Timestamp(row.get::<_, i64>(6)?.unsigned_abs()),
        last_active: Timestamp(row.get::<_, i64>(7)?.unsigned_abs()),
    })
}
