//! The database stays whole beside another program that reads it, checkpoints it and writes to it with a stock SQLite, as
//! backups do. Each story takes `ONDOL_DURABILITY_SECONDS` (5 without it), half of them after a kill and a restart.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use ondol_tests::{Client, TestResult, TestServer, handlers::target};
use rusqlite::{Connection, ErrorCode, params};

const MODES: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
/// The number of a turn whose checkpoint empties the log.
const TRUNCATE: usize = 3;
/// The rows that a bystander reads in a turn.
const READ_ROWS: u32 = 50;
const PAGE_BYTES: usize = 4_096;
/// The most pages of its rows that a bystander writes in a turn.
const PAGES_MAX: i64 = 11;
/// The most messages that are stored between two of its turns, in a quiet room.
const COMMITS_MAX: i64 = 7;
/// How long a checkpoint may wait for readers, which keeps the server from writing.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);
/// What a minute of messages takes, and more.
const ROOM_MIB: u64 = 1_024;
const MEMORY: &str = "/dev/shm";

// ── what others do to the file ──

/// Another program that uses the database while the server runs.
struct Bystander {
    database: Connection,
    /// A second connection, for a read transaction that stays open.
    reader: Connection,
    /// How many rows of its own were committed, and the number of the last commit.
    rows: i64,
    seq: i64,
}

/// One turn of what it does; the number tells turns apart.
type Turn = fn(&mut Bystander, usize) -> rusqlite::Result<()>;

impl Bystander {
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(file)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS bystander (n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS bystander_seq (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;",
        )?;
        database.busy_timeout(CHECKPOINT_WAIT)?;
        let (rows, seq) = own(&database)?;
        Ok(Self { database, reader: Connection::open(file)?, rows, seq })
    }

    /// Takes turns on a thread of its own, one at the least, until it is told to end.
    fn start(file: PathBuf, turn: Turn) -> (Arc<AtomicBool>, JoinHandle<rusqlite::Result<Self>>) {
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
                // Now and then only: the server's own writes come in between, few or many of them.
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

    /// How many frames the log has.
    fn frames(&self) -> rusqlite::Result<i64> {
        self.database.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
    }

    fn checkpoint(&self, number: usize) -> rusqlite::Result<()> {
        let checkpoint = format!("PRAGMA wal_checkpoint({})", MODES[number % MODES.len()]);
        unless_busy(self.database.query_row(&checkpoint, [], |_| Ok(()))).map(|_| ())
    }

    /// Commits nothing, or a change to one page, or also a new row and some of those before it: commits of all lengths, so that
    /// a log that has begun anew also ends where the last one did.
    fn write(&mut self, number: usize) -> rusqlite::Result<()> {
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

    /// Checkpoints in each of the four ways, and writes at once after it: where the log begins anew.
    fn checkpoint_and_write(&mut self, number: usize) -> rusqlite::Result<()> {
        self.checkpoint(number)?;
        self.write(number)?;
        Self::read(&self.database)
    }

    /// What Litestream does: a read transaction stays open over a checkpoint and a write to a table of its own.
    fn hold_a_read(&mut self, number: usize) -> rusqlite::Result<()> {
        self.reader.execute_batch("BEGIN")?;
        Self::read(&self.reader)?;
        self.checkpoint(number)?;
        self.write(number)?;
        Self::read(&self.reader)?;
        self.reader.execute_batch("COMMIT")?;
        // Without a reader that checkpoint gets further, and the log begins anew.
        self.checkpoint(number + 1)
    }
}

/// What a row holds that was last changed by this commit, half a page of it.
fn text(seq: i64) -> String {
    format!("{seq:08}").repeat(PAGE_BYTES / 16)
}

/// How many rows of a bystander there are, and the number of its last commit.
fn own(database: &Connection) -> rusqlite::Result<(i64, i64)> {
    let own = "SELECT (SELECT count(*) FROM bystander), (SELECT coalesce(max(seq), 0) FROM bystander_seq)";
    database.query_row(own, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// None when somebody else has the lock.
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

// ── what people say meanwhile ──

/// A message as it was heard.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Said {
    room: i64,
    seq: i64,
    text: String,
}

#[derive(Clone, Copy)]
struct Talk {
    rooms: i64,
    members_per_room: usize,
    in_flight: usize,
}

const QUIET: Talk = Talk { rooms: 1, members_per_room: 1, in_flight: 1 };
const BUSY: Talk = Talk { rooms: 4, members_per_room: 2, in_flight: 8 };

/// Keeps so many messages in flight until `until`, and gives what the member heard. The server may say that it could not
/// store a message; it must not have it then under a number that somebody else hears.
async fn talk(mut member: Client, room: i64, label: &str, in_flight: usize, until: Instant) -> TestResult<Vec<Said>> {
    let (mut heard, mut waiting, mut number) = (Vec::<Said>::new(), 0, 0);
    loop {
        while waiting < in_flight && (Instant::now() < until || heard.is_empty()) {
            member.say(&format!("{label} {room} {} {number}", member.name)).await?;
            (waiting, number) = (waiting + 1, number + 1);
        }
        if waiting == 0 {
            return Ok(heard);
        }
        let frame = member.next_json().await?;
        match frame["type"].as_str() {
            Some("chat.message") => {
                let text = frame["message"].as_str().context("no text")?.to_owned();
                let said = Said { room, seq: frame["seq"].as_i64().context("no seq")?, text };
                if let Some(last) = heard.last() {
                    ensure!(said.seq == last.seq + 1, "{} heard {said:?} after {last:?}", member.name);
                }
                waiting -= usize::from(frame["nickname"] == member.name.as_str());
                heard.push(said);
            }
            Some("error") => {
                ensure!(frame["error_type"] != "invalid_request", "{frame}");
                waiting -= 1;
            }
            _ => {}
        }
    }
}

/// All talk until `until`; gives what was heard, by any of them.
async fn everybody(server: &TestServer, plan: Talk, label: &str, until: Instant) -> TestResult<Vec<Said>> {
    let mut talks = Vec::new();
    for room in 1..=plan.rooms {
        for member in 0..plan.members_per_room {
            let member = server.open_tab(u64::try_from(room)?, format!("m{member}").as_str()).await?;
            talks.push(talk(member, room, label, plan.in_flight, until));
        }
    }
    let mut heard = try_join_all(talks).await?.concat();
    heard.sort();
    heard.dedup();
    Ok(heard)
}

// ── the stories ──

/// How long one of two halves of a story takes.
fn half() -> TestResult<Duration> {
    let seconds = env::var("ONDOL_DURABILITY_SECONDS").map_or(Ok(5.0), |text| text.parse());
    Ok(Duration::from_secs_f64(seconds.context("ONDOL_DURABILITY_SECONDS is no number")?) / 2)
}

/// Holds that the file is whole, with all that was heard and all that the bystander wrote, and that the server stores more.
async fn expect_whole(server: &TestServer, heard: &mut Vec<Said>, written: (i64, i64)) -> TestResult {
    let database = server.database()?;
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "integrity_check: {sound}");
    let stored = stored(&database)?;
    for pair in stored.windows(2) {
        let follows = pair[0].room != pair[1].room && pair[1].seq == 1 || pair[1].seq == pair[0].seq + 1;
        ensure!(follows, "{:?} follows {:?} in the database", pair[1], pair[0]);
    }
    let lost = heard.iter().find(|said| stored.binary_search(said).is_err());
    ensure!(lost.is_none(), "{:?} was heard, and is not in the database of {} messages", lost, stored.len());
    let mut texts: Vec<_> = stored.iter().map(|said| &said.text).collect();
    texts.sort();
    ensure!(texts.windows(2).all(|pair| pair[0] != pair[1]), "a message is stored twice");
    let own = own(&database)?;
    ensure!(own == written, "the bystander committed (rows, commits) {written:?}, and {own:?} are there");
    let mut rows = database.prepare("SELECT n, seq, text FROM bystander")?;
    for row in rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        let (n, seq, held): (i64, i64, String) = row?;
        ensure!(held == text(seq), "row {n} of the bystander holds {held:?}");
    }

    let mut ann = server.join(1, "ann").await?;
    let said = format!("one more than {}", stored.len());
    ann.say(&said).await?;
    let more = ann.expect_message(&said).await.context("the server stores no more")?;
    let last = stored.iter().filter(|said| said.room == 1).map(|said| said.seq).max();
    assert_eq!(more["seq"].as_i64(), last.map(|last| last + 1));
    heard.push(Said { room: 1, seq: last.unwrap_or_default() + 1, text: said });
    Ok(())
}

/// What is in the database, by room and number.
fn stored(database: &Connection) -> TestResult<Vec<Said>> {
    let mut query = database.prepare("SELECT room, seq, text FROM message")?;
    let rows = query.query_map([], |row| Ok(Said { room: row.get(0)?, seq: row.get(1)?, text: row.get(2)? }))?;
    let mut stored = rows.collect::<Result<Vec<_>, _>>()?;
    stored.sort();
    Ok(stored)
}

/// People talk while a bystander takes its turns; then the server is killed, starts again, and all goes on.
async fn stays_whole(parent: &Path, plan: Talk, turn: Turn) -> TestResult {
    let half = half()?;
    let mut server = TestServer::setup().under(parent).start().await?;
    for room in 1..=plan.rooms {
        server.create_room(&format!("room {room}")).await?;
    }
    let mut heard = Vec::new();
    for label in ["before the kill", "after it"] {
        let (ended, bystander) = Bystander::start(server.database_file(), turn);
        let talked = everybody(&server, plan, label, Instant::now() + half).await;
        ended.store(true, Ordering::Relaxed);
        let bystander = bystander.join().expect("the bystander panicked").context("the bystander")?;
        heard.extend(talked?);
        let written = (bystander.rows, bystander.seq);
        expect_whole(&server, &mut heard, written).await.context(label)?;
        drop(bystander);
        server.restart().await?;
        expect_whole(&server, &mut heard, written).await.with_context(|| format!("{label}, and a kill"))?;
    }
    Ok(())
}

/// A directory beside what is built: on a disk, where the sources are.
fn disk() -> TestResult<PathBuf> {
    let disk = target().join("stories");
    fs::create_dir_all(&disk)?;
    Ok(disk)
}

/// The same on a file system in memory. Skipped where there is none, or too little of it.
async fn stays_whole_in_memory(story: &str, plan: Talk, turn: Turn) -> TestResult {
    let free = Command::new("df").args(["--output=fstype,avail", "-BM", MEMORY]).output()?;
    let free = String::from_utf8(free.stdout)?;
    let mut words = free.lines().last().unwrap_or_default().split_whitespace();
    let (kind, mib) = (words.next(), words.next().and_then(|free| free.trim_end_matches('M').parse::<u64>().ok()));
    if kind == Some("tmpfs") && mib >= Some(ROOM_MIB) {
        return stays_whole(Path::new(MEMORY), plan, turn).await;
    }
    eprintln!("skipped: {story}: {MEMORY} is no tmpfs with {ROOM_MIB} MiB free");
    Ok(())
}

/// Once the log is emptied, the bystander fills it to where the server's own commits had ended, and the server goes on there.
#[tokio::test]
async fn a_log_that_a_bystander_filled_to_the_same_length_is_gone_on_with() -> TestResult {
    let mut server = TestServer::setup().under(disk()?).start().await?;
    let room = server.create_room("lobby").await?;
    let mut heard = Vec::new();
    for round in 0..5 {
        let mut ben = server.open_tab(room, "ben").await?;
        let mut bystander = Bystander::open(&server.database_file())?;
        for number in 0..12 {
            if number == 8 {
                bystander.checkpoint(TRUNCATE)?;
            }
            if number == 11 {
                let frames = bystander.frames()?;
                bystander.checkpoint(TRUNCATE)?;
                while bystander.frames()? < frames {
                    bystander.write(1)?;
                }
            }
            let text = format!("{round} {number}");
            ben.say(&text).await?;
            let seq = ben.expect_message(&text).await?["seq"].as_i64().context("no seq")?;
            heard.push(Said { room: i64::try_from(room)?, seq, text });
        }
        let written = (bystander.rows, bystander.seq);
        drop((ben, bystander));
        server.restart().await?;
        expect_whole(&server, &mut heard, written).await.with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn checkpoints_and_writes_beside_a_quiet_room_on_a_disk() -> TestResult {
    stays_whole(&disk()?, QUIET, Bystander::checkpoint_and_write).await
}

#[tokio::test]
async fn checkpoints_and_writes_beside_busy_rooms_on_a_disk() -> TestResult {
    stays_whole(&disk()?, BUSY, Bystander::checkpoint_and_write).await
}

#[tokio::test]
async fn reads_held_over_checkpoints_beside_a_quiet_room_on_a_disk() -> TestResult {
    stays_whole(&disk()?, QUIET, Bystander::hold_a_read).await
}

#[tokio::test]
async fn reads_held_over_checkpoints_beside_busy_rooms_on_a_disk() -> TestResult {
    stays_whole(&disk()?, BUSY, Bystander::hold_a_read).await
}

#[tokio::test]
async fn checkpoints_and_writes_beside_a_quiet_room_in_memory() -> TestResult {
    stays_whole_in_memory(
        "checkpoints_and_writes_beside_a_quiet_room_in_memory",
        QUIET,
        Bystander::checkpoint_and_write,
    )
    .await
}

#[tokio::test]
async fn checkpoints_and_writes_beside_busy_rooms_in_memory() -> TestResult {
    stays_whole_in_memory("checkpoints_and_writes_beside_busy_rooms_in_memory", BUSY, Bystander::checkpoint_and_write)
        .await
}

#[tokio::test]
async fn reads_held_over_checkpoints_beside_a_quiet_room_in_memory() -> TestResult {
    stays_whole_in_memory("reads_held_over_checkpoints_beside_a_quiet_room_in_memory", QUIET, Bystander::hold_a_read)
        .await
}

#[tokio::test]
async fn reads_held_over_checkpoints_beside_busy_rooms_in_memory() -> TestResult {
    stays_whole_in_memory("reads_held_over_checkpoints_beside_busy_rooms_in_memory", BUSY, Bystander::hold_a_read).await
}
