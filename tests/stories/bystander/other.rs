//! Another program that uses the database while the server runs, with a stock SQLite. Knows the file, tables of its
//! own, and of the server's tables only the messages.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, params};

const MODES: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
/// The number of a turn with a checkpoint that empties the log.
pub(super) const TRUNCATE: usize = 3;
/// The number of rows that it reads in a turn.
const READ_ROWS: u32 = 50;
const PAGE_BYTES: usize = 4_096;
/// The maximum of pages that it writes in a turn.
const PAGES_MAX: i64 = 11;
/// The maximum of messages between two of its turns, in a quiet room.
const COMMITS_MAX: i64 = 7;
/// How long a checkpoint may wait for readers, and so keep the server from writing.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);

/// Another program that uses the database while the server runs.
pub(super) struct Bystander {
    database: Connection,
    /// A second connection, for a read transaction that stays open.
    reader: Connection,
    /// The number of committed rows of its own, and the number of the last commit.
    pub(super) rows: i64,
    pub(super) seq: i64,
}

/// One turn; the number tells turns apart.
pub(super) type Turn = fn(&mut Bystander, usize) -> rusqlite::Result<()>;

impl Bystander {
    pub(super) fn open(file: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(file)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS bystander (n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS bystander_seq (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;",
        )?;
        database.busy_timeout(CHECKPOINT_WAIT)?;
        let (rows, seq) = own(&database)?;
        Ok(Self { database, reader: Connection::open(file)?, rows, seq })
    }

    /// Takes turns on a thread of its own, at least one, until it is told to stop.
    pub(super) fn start(file: PathBuf, turn: Turn) -> (Arc<AtomicBool>, JoinHandle<rusqlite::Result<Self>>) {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let work = move || {
            let mut bystander = Self::open(&file)?;
            let before = bystander.seq;
            for number in 0.. {
                if end.load(Ordering::Relaxed) && bystander.seq > before {
                    break;
                }
                turn(&mut bystander, number)?;
                // A few or many writes of the server come between two turns.
                let more = bystander.latest()? + i64::try_from(number).unwrap_or_default() % COMMITS_MAX;
                while !end.load(Ordering::Relaxed) && bystander.latest()? < more {
                    std::thread::yield_now();
                }
            }
            Ok(bystander)
        };
        (ended, std::thread::spawn(work))
    }

    /// The number of the last message stored.
    fn latest(&self) -> rusqlite::Result<i64> {
        let mut latest = self.database.prepare_cached("SELECT coalesce(max(n), 0) FROM message")?;
        latest.query_row([], |row| row.get(0))
    }

    /// The number of frames in the log.
    pub(super) fn frames(&self) -> rusqlite::Result<i64> {
        self.database.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
    }

    pub(super) fn checkpoint(&self, number: usize) -> rusqlite::Result<()> {
        let checkpoint = format!("PRAGMA wal_checkpoint({})", MODES[number % MODES.len()]);
        unless_busy(self.database.query_row(&checkpoint, [], |_| Ok(()))).map(|_| ())
    }

    /// Commits nothing, or a change to one page, or also a new row and some of those before it: commits of all lengths,
    /// so that a restarted log also ends where the last one did.
    pub(super) fn write(&mut self, number: usize) -> rusqlite::Result<()> {
        if number.is_multiple_of(3) || unless_busy(self.database.execute_batch("BEGIN IMMEDIATE"))?.is_none() {
            return Ok(());
        }
        let number = i64::try_from(number).unwrap_or_default();
        let (seq, mut rows) = (self.seq + 1, self.rows);
        self.database.execute("INSERT OR REPLACE INTO bystander_seq VALUES (1, ?1)", [seq])?;
        if number % 3 == 2 {
            rows += 1;
            let text = text(seq);
            self.database.execute("INSERT INTO bystander VALUES (?1, ?2, ?3)", params![rows, seq, text])?;
            let again = "UPDATE bystander SET seq = ?1, text = ?2 WHERE n > ?3";
            self.database.execute(again, params![seq, text, rows - number % PAGES_MAX])?;
        }
        if unless_busy(self.database.execute_batch("COMMIT"))?.is_none() {
            return self.database.execute_batch("ROLLBACK");
        }
        (self.seq, self.rows) = (seq, rows);
        Ok(())
    }

    fn read(connection: &Connection) -> rusqlite::Result<()> {
        let mut latest = connection.prepare_cached("SELECT text FROM message ORDER BY n DESC LIMIT ?1")?;
        let texts = latest.query_map([READ_ROWS], |row| row.get::<_, String>(0))?;
        texts.collect::<rusqlite::Result<Vec<_>>>().map(|_| ())
    }

    /// Checkpoints in each of the four modes, and writes right after it, where the log restarts.
    pub(super) fn checkpoint_and_write(&mut self, number: usize) -> rusqlite::Result<()> {
        self.checkpoint(number)?;
        self.write(number)?;
        Self::read(&self.database)
    }

    /// What Litestream does: a read transaction stays open over a checkpoint and a write to a table of its own.
    pub(super) fn hold_a_read(&mut self, number: usize) -> rusqlite::Result<()> {
        self.reader.execute_batch("BEGIN")?;
        Self::read(&self.reader)?;
        self.checkpoint(number)?;
        self.write(number)?;
        Self::read(&self.reader)?;
        self.reader.execute_batch("COMMIT")?;
        // Without a reader that checkpoint gets further, and the log restarts.
        self.checkpoint(number + 1)
    }
}

/// The content of a row that was last changed by this commit: half a page.
pub(super) fn text(seq: i64) -> String {
    format!("{seq:08}").repeat(PAGE_BYTES / 16)
}

/// The number of rows of a bystander, and the number of its last commit.
pub(super) fn own(database: &Connection) -> rusqlite::Result<(i64, i64)> {
    let own = "SELECT (SELECT count(*) FROM bystander), (SELECT coalesce(max(seq), 0) FROM bystander_seq)";
    database.query_row(own, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// None when another connection has the lock.
fn unless_busy<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match result.map(Some) {
        Err(error)
            if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) =>
        {
            Ok(None)
        }
        other => other,
    }
}
