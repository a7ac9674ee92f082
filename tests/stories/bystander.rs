//! The database stays intact while another program reads, checkpoints and writes it with a stock SQLite, as backups do.
//! Each story takes `STORY_SECONDS` (5 by default), half of them after a kill and a restart.

mod other;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use ondol_tests::{Client, TestResult, TestServer, handlers::target};
use rusqlite::Connection;

use other::{Bystander, TRUNCATE, Turn, own, text};

/// More than a minute of messages takes.
const ROOM_MIB: u64 = 1_024;
const MEMORY: &str = "/dev/shm";

// ── the messages ──

/// A received message.
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

/// Keeps so many messages in flight until `until`, and returns what the member received. A message that is reported as
/// not stored must not appear under a number.
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

/// All members talk until `until`. Returns the messages that any of them received.
async fn all_talk(server: &TestServer, plan: Talk, label: &str, until: Instant) -> TestResult<Vec<Said>> {
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

/// The duration of half a story.
fn half() -> TestResult<Duration> {
    let seconds = env::var("STORY_SECONDS").map_or(Ok(5.0), |text| text.parse());
    Ok(Duration::from_secs_f64(seconds.context("STORY_SECONDS is no number")?) / 2)
}

/// Checks that the database is intact, that it has every received message and the bystander's rows, and that the server
/// stores one more message.
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
    ensure!(lost.is_none(), "{:?} was received, and is not in the database of {} messages", lost, stored.len());
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
    let more = ann.expect_message(&said).await.context("no more messages are stored")?;
    let last = stored.iter().filter(|said| said.room == 1).map(|said| said.seq).max();
    assert_eq!(more["seq"].as_i64(), last.map(|last| last + 1));
    heard.push(Said { room: 1, seq: last.unwrap_or_default() + 1, text: said });
    Ok(())
}

/// The messages in the database, by room and number.
fn stored(database: &Connection) -> TestResult<Vec<Said>> {
    let mut query = database.prepare("SELECT room, seq, text FROM message")?;
    let rows = query.query_map([], |row| Ok(Said { room: row.get(0)?, seq: row.get(1)?, text: row.get(2)? }))?;
    let mut stored = rows.collect::<Result<Vec<_>, _>>()?;
    stored.sort();
    Ok(stored)
}

/// People talk while a bystander takes its turns; then the server is killed and restarted, and the same happens again.
async fn stays_whole(parent: &Path, plan: Talk, turn: Turn) -> TestResult {
    let half = half()?;
    let mut server = TestServer::setup().without_rate_limits().under(parent).start().await?;
    for room in 1..=plan.rooms {
        server.create_room(&format!("room {room}")).await?;
    }
    let mut heard = Vec::new();
    for label in ["before the kill", "after it"] {
        let (ended, bystander) = Bystander::start(server.database_file(), turn);
        let talked = all_talk(&server, plan, label, Instant::now() + half).await;
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

/// A directory in `target`, and so on the disk of the sources.
fn disk() -> TestResult<PathBuf> {
    let disk = target().join("stories");
    fs::create_dir_all(&disk)?;
    Ok(disk)
}

/// The same on a file system in memory. Skipped where there is none, or where it is too small.
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

/// The bystander empties the log and fills it up to the length that the server's commits had given it. The server's
/// next commit follows.
#[tokio::test]
async fn the_server_continues_a_log_that_a_bystander_filled_to_the_same_length() -> TestResult {
    let mut server = TestServer::setup().without_rate_limits().under(disk()?).start().await?;
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
