//! The file that is moved to another database: keeps servers off, reads one snapshot, and changes nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::archive::{ArchiveError, open_known};
use super::import::ImportLock;
use super::room_index::RoomIndex;
use super::room_messages::RoomMessages;
use super::rows::to_sql;
use super::setup::SCHEMA_VERSION;
use super::unindexed::UnindexedByRoom;
use super::verify::verify;
use super::{epoch, import_progress, message_ids, versions};
use crate::error::StoreError;
use crate::migration::{
    CHECKED_TABLES, CLIENT_MESSAGE, COMPONENT, DIRECTORY, Heads, MESSAGE, MessageTallies, MigrateError, ROOM, Row,
    SENDER, Table, Value, digest,
};
use crate::postgres::POSTGRES_USER_ID_CHARS_MAX;
use crate::verified::Problems;
use ondol_host_model::{RoomId, Seq};

/// How many messages are read between two reports.
const REPORT_EVERY: u64 = 1_000;

/// What is done with each row.
type Visit<'a> = dyn FnMut(Row) -> Result<(), MigrateError> + 'a;

/// The file that is moved.
pub(crate) struct MigrationSource {
    path: PathBuf,
    connection: Connection,
    unindexed: UnindexedByRoom,
    /// The name of the host in the other database.
    host: String,
    /// Senders that differ from an earlier one by their number alone.
    aliases: HashMap<i64, i64>,
    /// The highest id among the deleted messages of a room.
    deleted: HashMap<i64, i64>,
    replaced: Cell<u64>,
    _lock: ImportLock,
}

impl MigrationSource {
    /// Opens a file of the current schema that no server uses, and keeps servers off.
    pub(crate) fn open(path: &Path, host: &str) -> Result<Self, MigrateError> {
        let unusable = |error| MigrateError::Database(path.to_owned(), error);
        if !path.exists() {
            return Err(unusable(ArchiveError::Missing));
        }
        let lock = ImportLock::take(path).map_err(|error| match error {
            StoreError::Locked(_) => MigrateError::Running(error),
            error => unusable(error.into()),
        })?;
        let (connection, schema) = open_known(path).map_err(unusable)?;
        if schema < SCHEMA_VERSION {
            return Err(unusable(ArchiveError::SchemaTooOld(schema)));
        }
        import_progress::refuse_unfinished(&connection).map_err(|error| unusable(error.into()))?;
        // One snapshot for all that follows.
        connection.execute_batch("BEGIN")?;
        let unindexed = RoomIndex::read(&connection)?.unindexed();
        Ok(Self {
            path: path.to_owned(),
            connection,
            unindexed,
            host: host.to_owned(),
            aliases: HashMap::new(),
            deleted: HashMap::new(),
            replaced: 0.into(),
            _lock: lock,
        })
    }

    /// Refuses a file that is damaged, or holds what PostgreSQL cannot.
    pub(crate) fn check(&mut self, report: &mut dyn FnMut(u64, u64)) -> Result<(), MigrateError> {
        let report = RefCell::new(report);
        let found = verify(&self.path, &|done, total| {
            if done.is_multiple_of(REPORT_EVERY) {
                (*report.borrow_mut())(done, total);
            }
        });
        match found.map(|found| found.problems) {
            Ok(problems) if problems.count() > 0 => return Err(MigrateError::Damaged(self.path.clone(), problems)),
            Ok(_) => {}
            Err(error) => {
                return Err(match Problems::of_damage(&error) {
                    Some(problems) => MigrateError::Damaged(self.path.clone(), problems),
                    None => MigrateError::Database(self.path.clone(), error),
                });
            }
        }
        let longest = "SELECT coalesce(max(length(user)), 0) FROM sender";
        let longest = self.connection.query_row(longest, [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        if longest > POSTGRES_USER_ID_CHARS_MAX as u64 {
            return Err(MigrateError::UserId { found: longest, max: POSTGRES_USER_ID_CHARS_MAX });
        }
        self.aliases = self.find_aliases()?;
        let mut statement = self.connection.prepare("SELECT room, max(id) FROM deletion GROUP BY room")?;
        self.deleted = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Senders that are there twice, or would be without U+0000, and the number of the first of each.
    fn find_aliases(&self) -> Result<HashMap<i64, i64>, MigrateError> {
        let (mut known, mut aliases) = (HashMap::new(), HashMap::new());
        self.query(SENDER.query, false, &mut |mut row| {
            let sender = row.remove(0).int();
            let first = *known.entry(digest(&row)).or_insert(sender);
            if first != sender {
                aliases.insert(sender, first);
            }
            Ok(())
        })?;
        Ok(aliases)
    }

    /// Reads all messages, in the order in which they were stored: another way than [`MigrationSource::rows`] takes.
    pub(crate) fn read_messages(
        &self,
        report: &mut dyn FnMut(u64, u64) -> Result<(), MigrateError>,
    ) -> Result<MessageTallies, MigrateError> {
        let total = self.connection.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0))?;
        let mut tallies = MessageTallies::default();
        self.query(&format!("{} ORDER BY n", MESSAGE.query), false, &mut |mut row| {
            self.name_sender(&mut row);
            tallies.add(&row);
            match tallies.count() {
                count if count.is_multiple_of(REPORT_EVERY) => report(count, total.unsigned_abs()),
                _ => Ok(()),
            }
        })?;
        Ok(tallies)
    }

    /// Passes on the rows of a table. Messages come room by room, as the index leads to them.
    pub(crate) fn rows(
        &self,
        table: &Table,
        messages: &MessageTallies,
        visit: &mut Visit<'_>,
    ) -> Result<(), MigrateError> {
        let is_counted = table.name != CLIENT_MESSAGE.name;
        if table.name == MESSAGE.name {
            return self.messages(visit);
        }
        self.query(table.query, is_counted, &mut |mut row| {
            match table.name {
                name if name == ROOM.name => {
                    let room = row.first().map_or(0, Value::int);
                    let deleted = self.deleted.get(&room).copied().unwrap_or(0);
                    row.push(Value::Int(messages.last_id(room).max(deleted)));
                }
                name if name == SENDER.name && row.first().is_some_and(|n| self.aliases.contains_key(&n.int())) => {
                    return Ok(());
                }
                name if name == COMPONENT.name => {
                    let Some(Value::Text(component)) = row.first() else { return Ok(()) };
                    let wasm = versions::read_pieces(&self.connection, component)?;
                    row.push(Value::Bytes(wasm));
                }
                name if name == DIRECTORY.name => row.insert(0, Value::Text(self.host.clone())),
                _ => {}
            }
            visit(row)
        })
    }

    /// What the new database goes on from.
    pub(crate) fn heads(&self, messages: &MessageTallies) -> Result<Heads, MigrateError> {
        let (epoch, has_new_epoch) = epoch::now(&self.path, &self.connection)?;
        let used = messages.id_max().max(self.deleted.values().copied().max().unwrap_or(0));
        let first_free_id = to_sql(message_ids::first_free(&self.connection)?).max(used.saturating_add(1));
        let mut numbers = Vec::new();
        for table in CHECKED_TABLES {
            let Some(column) = table.number else { continue };
            let last = format!(
                "SELECT max((SELECT coalesce(max({column}), 0) FROM {0}), \
                 coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{0}'), 0))",
                table.name
            );
            numbers.push((table.name, column, self.connection.query_row(&last, [], |row| row.get(0))?));
        }
        Ok(Heads { epoch, has_new_epoch, first_free_id, numbers })
    }

    /// How many characters U+0000 of the rows that were passed on are replaced.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced.get()
    }

    fn messages(&self, visit: &mut Visit<'_>) -> Result<(), MigrateError> {
        let mut rooms = self.connection.prepare("SELECT id FROM room ORDER BY id")?;
        let rooms = rooms.query_map([], |row| row.get::<_, i64>(0))?;
        let mut find =
            self.connection.prepare(&format!("{} WHERE n = ?1 AND room = ?2 AND seq = ?3", MESSAGE.query))?;
        for room in rooms {
            let room = RoomId(room?.unsigned_abs());
            let unindexed = self.unindexed.of(room);
            let messages = RoomMessages { connection: &self.connection, unindexed: &unindexed, room };
            let mut next = Seq(0);
            while let Some(stretch) = messages.stretch_from(next)? {
                for (seq, rowid) in stretch.between(next, Seq(u64::MAX)) {
                    let key = (rowid, to_sql(room.0), to_sql(seq.0));
                    let found = find.query_row(key, |row| self.read(row, MESSAGE.columns.len(), true)).optional()?;
                    // An operator may have deleted it by SQL.
                    let Some(mut row) = found else { continue };
                    self.name_sender(&mut row);
                    visit(row)?;
                }
                next = stretch.end();
            }
        }
        Ok(())
    }

    /// Replaces the number of a sender that stays behind.
    fn name_sender(&self, message: &mut Row) {
        if let Some(sender) = message.get_mut(3)
            && let Some(first) = self.aliases.get(&sender.int())
        {
            *sender = Value::Int(*first);
        }
    }

    fn query(&self, sql: &str, is_counted: bool, visit: &mut Visit<'_>) -> Result<(), MigrateError> {
        let mut statement = self.connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(self.read(row, columns, is_counted)?)?;
        }
        Ok(())
    }

    fn read(&self, row: &rusqlite::Row<'_>, columns: usize, is_counted: bool) -> rusqlite::Result<Row> {
        (0..columns).map(|column| self.value(row.get_ref(column)?, is_counted)).collect()
    }

    fn value(&self, value: ValueRef<'_>, is_counted: bool) -> rusqlite::Result<Value> {
        Ok(match value {
            ValueRef::Integer(int) => Value::Int(int),
            ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
            ValueRef::Text(_) => {
                let text = value.as_str()?;
                let nulls = text.bytes().filter(|byte| *byte == 0).count() as u64;
                if nulls == 0 {
                    return Ok(Value::Text(text.to_owned()));
                }
                if is_counted {
                    self.replaced.set(self.replaced.get() + nulls);
                }
                Value::Text(text.replace('\0', "\u{fffd}"))
            }
            // Strict tables have no other numbers.
            ValueRef::Null | ValueRef::Real(_) => Value::Null,
        })
    }
}
