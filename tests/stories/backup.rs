//! `ondol backup`: of a database in use, interrupted, and on a full disk.

use std::{
    cell::Cell,
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use ondol_tests::{Client, TestResult, TestServer, command, ondol, until};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

// ── the commands ──

/// Runs one of the three commands on the data of a server, to its end.
fn run(server: &TestServer, verb: &str, file: Option<&Path>) -> TestResult<command::Output> {
    let (data, file) = (server.data().display().to_string(), file.map(|file| file.display().to_string()));
    let words: Vec<&str> = [verb].into_iter().chain(file.as_deref()).chain(["--data", &data]).collect();
    ondol(&words)
}

/// The same without a server.
fn verify_file(file: &Path) -> TestResult<command::Output> {
    ondol(&["verify", &file.display().to_string()])
}

/// The same, while the server goes on in this thread.
async fn run_beside(server: &TestServer, verb: &str, file: Option<&Path>) -> TestResult<command::Output> {
    let (data, verb, file) = (server.data(), verb.to_owned(), file.map(Path::to_owned));
    let run = move || {
        let mut words = vec![verb.into()];
        words.extend(file.map(PathBuf::into_os_string));
        words.extend(["--data".into(), data.into_os_string()]);
        ondol(&words)
    };
    tokio::task::spawn_blocking(run).await?
}

/// A backup of a server's database in a directory of its own.
async fn back_up(server: &TestServer) -> TestResult<(TempDir, PathBuf)> {
    let directory = TempDir::with_prefix("ondol-backup-")?;
    let file = directory.path().join("ondol-backup.db");
    run_beside(server, "backup", Some(&file)).await?.expect(0)?;
    Ok((directory, file))
}

async fn stop(server: &mut TestServer) -> TestResult {
    server.signal("TERM")?;
    ensure!(server.exit().await?.code() == Some(0), "the server did not end cleanly");
    Ok(())
}

/// Sends messages with these texts, each of which is also its `client_id`.
async fn say(client: &mut Client, texts: impl IntoIterator<Item = String>) -> TestResult<Vec<Value>> {
    let mut events = Vec::new();
    for text in texts {
        client.send(json!({"type": "chat.message", "message": text, "client_id": text}).to_string()).await?;
        events.push(client.next_message().await?);
    }
    Ok(events)
}

/// The names in a directory.
fn names(directory: &Path) -> TestResult<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<TestResult<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

// ── under load ──

/// How many messages each room of a database has. They are numbered from 1 without gaps.
fn lengths(database: &Connection) -> TestResult<Vec<(u64, u64)>> {
    let sql = "SELECT room, count(*), min(seq), max(seq) FROM message GROUP BY room ORDER BY room";
    let mut statement = database.prepare(sql)?;
    let number = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let rows =
        statement.query_map([], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?, number(row, 3)?)))?;
    rows.map(|row| {
        let (room, count, first, last) = row?;
        ensure!((first, last) == (1, count), "room {room} has {count} messages from {first} to {last}");
        Ok((room, count))
    })
    .collect()
}

/// A member of two rooms, who says something in one, waits until it is stored, and goes on in the other.
async fn alternate(server: &TestServer, rooms: [u64; 2], done: &Cell<bool>) -> TestResult<u64> {
    let mut tabs = [server.open_tab(rooms[0], "eve").await?, server.open_tab(rooms[1], "eve").await?];
    let mut said = 0;
    while !done.get() {
        for tab in &mut tabs {
            tab.say(&format!("{said}")).await?;
            tab.next_message().await?;
            said += 1;
        }
    }
    Ok(said)
}

/// A member who has many messages in flight.
async fn chatter(server: &TestServer, room: u64, done: &Cell<bool>) -> TestResult<u64> {
    let mut tab = server.open_tab(room, "ann").await?;
    let (mut sent, mut heard) = (0, 0);
    while heard < sent || !done.get() {
        while sent < heard + 50 && !done.get() {
            tab.say(&format!("{sent} {}", "x".repeat(200))).await?;
            sent += 1;
        }
        tab.next_message().await?;
        heard += 1;
    }
    Ok(heard)
}

/// A backup while everyone talks, for `STORY_SECONDS` (2 by default). It is sound, and holds of each room the messages up to
/// a number that the room had between the beginning and the end of the backup.
#[tokio::test]
async fn a_backup_under_load_shows_one_moment() -> TestResult {
    let mut server = TestServer::setup().without_rate_limits().start().await?;
    let mut rooms = Vec::new();
    for number in 0..6 {
        rooms.push(server.create_room(&format!("room {number}")).await?);
    }
    let (alternating, chatting) = ([rooms[0], rooms[1]], &rooms[2..]);
    let seconds: f64 = env::var("STORY_SECONDS").map_or(Ok(2.0), |text| text.parse())?;
    let (done, begun) = (Cell::new(false), Instant::now());
    let last = async || {
        let mut last = Vec::new();
        for room in &rooms {
            let newest = server.get(&format!("/chat/v1/room/{room}/messages/?limit=1")).await?.expect(200)?;
            last.push((*room, newest[0]["seq"].as_u64().unwrap_or(0)));
        }
        TestResult::Ok(last)
    };
    let backups = async {
        let (mut backups, mut count) = (Vec::new(), 0);
        until("messages in each room", async || last().await.ok()?.iter().all(|(_, seq)| *seq > 9).then_some(()))
            .await?;
        while count < 2 || begun.elapsed() < Duration::from_secs_f64(seconds) {
            let before = last().await?;
            let copy = back_up(&server).await?;
            backups.push((before, copy, last().await?));
            count += 1;
            // The first and the last are compared: a long run needs no more space than a short one.
            if backups.len() > 2 {
                backups.remove(1);
            }
        }
        done.set(true);
        TestResult::Ok((backups, count))
    };
    let chatters = try_join_all(chatting.iter().map(|room| chatter(&server, *room, &done)));
    let (backups, said, chatted) = tokio::join!(backups, alternate(&server, alternating, &done), chatters);
    let ((backups, count), said) = (backups?, said? + chatted?.iter().sum::<u64>());
    let rate = said as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{said} messages, {rate:.0} a second, beside {count} backups one after the other");

    for (before, (_directory, file), after) in &backups {
        verify_file(file)?.expect_parts(0, &["fine, 6 rooms"])?;
        let copy = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let lengths = lengths(&copy)?;
        for (((room, length), (_, before)), (_, after)) in lengths.iter().zip(before).zip(after) {
            ensure!((before..=after).contains(&length), "room {room}: {before}, {length}, {after}");
        }
        let (one, other) = (lengths[0].1, lengths[1].1);
        ensure!(one == other || one == other + 1, "not one moment: {one} messages beside {other}");
    }
    run_beside(&server, "verify", None).await?.expect_parts(0, &["fine, 6 rooms"])?;

    // The last one, put back, is the database at its moment.
    let (_, (_directory, file), _) = backups.last().context("no backup")?;
    let of_backup = lengths(&Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?)?;
    stop(&mut server).await?;
    run(&server, "restore", Some(file))?.expect(0)?;
    server.restart_after(|| Ok(())).await?;
    ensure!(lengths(&server.database()?)? == of_backup, "the database is not the backup");
    for (room, length) in of_backup {
        let mut ann = server.open_tab(room, "ann").await?;
        ann.say("after").await?;
        ensure!(ann.next_message().await?["seq"] == length + 1, "room {room} does not go on after {length}");
    }
    Ok(())
}

#[tokio::test]
async fn a_backup_tells_what_it_holds_and_is_private() -> TestResult {
    let mut server = TestServer::start().await?;
    let directory = TempDir::new()?;
    let file = directory.path().join("empty.db");
    run(&server, "backup", Some(&file))?.expect_parts(0, &["empty.db: 0.", " MB, 0 rooms, 0 messages; took "])?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let events = say(&mut ann, ["one".into(), "two".into()]).await?;
    let newest = format!("1 room, 2 messages, the newest of {}", events[1]["created_at"].as_str().unwrap_or_default());
    stop(&mut server).await?;
    let file = directory.path().join("stopped.db");
    run(&server, "backup", Some(&file))?.expect_parts(0, &[&newest])?;
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(names(directory.path())?, ["empty.db", "stopped.db"]);
    Ok(())
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_names_what_is_missing() -> TestResult {
    let server = TestServer::start().await?;
    let directory = TempDir::new()?;
    let file = directory.path().join("there.db");
    fs::write(&file, "mine")?;
    run(&server, "backup", Some(&file))?.expect_parts(1, &["there.db exists, and a backup overwrites nothing"])?;
    assert_eq!(fs::read_to_string(&file)?, "mine");
    let nowhere = directory.path().join("no/where.db");
    run(&server, "backup", Some(&nowhere))?.expect_parts(1, &["cannot write", "where.db", "No such file"])?;
    let (nowhere, file) = (directory.path().display().to_string(), directory.path().join("b.db").display().to_string());
    ondol(&["backup", &file, "--data", &nowhere])?.expect_parts(1, &["ondol.db: there is no database here"])?;
    assert_eq!(names(directory.path())?, ["there.db"]);
    Ok(())
}

// ── interrupted ──

/// A server with a database that takes a moment to copy.
async fn large() -> TestResult<TestServer> {
    let mut server = TestServer::start().await?;
    server.create_room("lobby").await?;
    stop(&mut server).await?;
    Connection::open(server.database_file())?.execute_batch(
        "CREATE TABLE ballast (bytes BLOB);
         WITH RECURSIVE number(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < 100000)
         INSERT INTO ballast SELECT randomblob(1000) FROM number",
    )?;
    Ok(server)
}

/// Starts backups, and sends each a signal once it writes, until one has not ended before.
async fn interrupted(server: &TestServer, directory: &Path, signal: &str) -> TestResult<ExitStatus> {
    until("a backup that is interrupted", async || {
        let ended = interrupt(server, directory, signal).await;
        match ended {
            Ok(status) if status.success() => {
                fs::remove_file(directory.join("b.db")).err().map(|error| Err(error.into()))
            }
            ended => Some(ended),
        }
    })
    .await?
}

async fn interrupt(server: &TestServer, directory: &Path, signal: &str) -> TestResult<ExitStatus> {
    let mut backup = Command::new(command::binary());
    backup.arg("backup").arg(directory.join("b.db")).arg("--data").arg(server.data());
    let mut backup = backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = until("a part of the backup", async || {
        let ended = backup.try_wait().ok().flatten().is_some();
        let written =
            fs::read_dir(directory).ok()?.flatten().any(|file| file.metadata().is_ok_and(|file| file.len() > 0));
        (ended || written).then_some(())
    })
    .await;
    // It may have ended by now.
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(backup.id().to_string()).stderr(Stdio::null()).status();
    let ended = backup.wait()?;
    begun?;
    Ok(ended)
}

#[tokio::test]
async fn a_backup_that_is_killed_leaves_no_backup() -> TestResult {
    let (server, directory) = (large().await?, TempDir::new()?);
    interrupted(&server, directory.path(), "KILL").await?;
    let left = names(directory.path())?;
    assert!(left.iter().all(|name| name.starts_with("b.db.") && name.contains(".partial")), "{left:?}");
    // What is left is in no later backup's way.
    run(&server, "backup", Some(&directory.path().join("b.db")))?.expect_parts(0, &["1 room, 0 messages"])?;
    verify_file(&directory.path().join("b.db"))?.expect(0)?;
    Ok(())
}

#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_nothing() -> TestResult {
    let (server, directory) = (large().await?, TempDir::new()?);
    for signal in ["INT", "TERM"] {
        let ended = interrupted(&server, directory.path(), signal).await?;
        assert_eq!(ended.code(), Some(1), "{signal}");
        assert_eq!(names(directory.path())?, [""; 0], "{signal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_leaves_nothing() -> TestResult {
    let (server, directory) = (large().await?, TempDir::new()?);
    let file = directory.path().join("b.db");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 20000; exec \"$@\"", "sh"]).arg(command::binary());
    let output = command::run(limited.arg("backup").arg(&file).arg("--data").arg(server.data()))?;
    output.expect_parts(1, &["cannot copy the database to", "b.db"])?;
    assert_eq!(names(directory.path())?, [""; 0]);
    Ok(())
}
