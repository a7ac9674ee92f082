//! `ondol restore`: what it puts in place and keeps, what it refuses, and what a crash in the middle leaves.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use ondol_tests::{Client, TestResult, TestServer, command, ondol};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a command on the data of a server, to its end.
fn run(server: &TestServer, verb: &str, file: &Path) -> TestResult<command::Output> {
    ondol(&[verb, &file.display().to_string(), "--data", &server.data().display().to_string()])
}

fn verify(file: &Path) -> TestResult<command::Output> {
    ondol(&["verify", &file.display().to_string()])
}

/// A backup of a server's database in a directory of its own.
fn back_up(server: &TestServer) -> TestResult<(TempDir, PathBuf)> {
    let directory = TempDir::with_prefix("ondol-backup-")?;
    let file = directory.path().join("ondol-backup.db");
    run(server, "backup", &file)?.expect(0)?;
    Ok((directory, file))
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

async fn history(server: &TestServer, room: u64) -> TestResult<Value> {
    server.get(&format!("/chat/v1/room/{room}/messages/?after=0&limit=100")).await?.expect(200)
}

/// The names in a directory.
fn names(directory: &Path) -> TestResult<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<TestResult<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// A server with this many messages, a backup of the first ten, and the room.
async fn with_backup(messages: usize) -> TestResult<(TestServer, u64, (TempDir, PathBuf))> {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    say(&mut ann, (0..10).map(|n| format!("before {n}"))).await?;
    let backup = back_up(&server)?;
    say(&mut ann, (10..messages).map(|n| format!("after {n}"))).await?;
    Ok((server, room, backup))
}

async fn end(server: &mut TestServer, signal: &str) -> TestResult {
    server.signal(signal)?;
    server.exit().await?;
    Ok(())
}

#[tokio::test]
async fn a_restored_database_goes_on_where_the_backup_was_made() -> TestResult {
    let (mut server, room, (_directory, backup)) = with_backup(20).await?;
    let before = history(&server, room).await?;
    // Killed, so that its log is full of what the backup must not have.
    end(&mut server, "KILL").await?;
    run(&server, "restore", &backup)?.expect_parts(0, &["restored, 1 room, 10 messages", ".before-restore-"])?;

    server.restart_after(|| Ok(())).await?;
    let restored = history(&server, room).await?;
    assert_eq!(restored.as_array().map(Vec::as_slice), before.as_array().and_then(|before| before.get(..10)));
    let mut ann = server.join(room, "ann").await?;
    let again = say(&mut ann, ["before 3".into()]).await?;
    assert_eq!(again[0]["id"], before[3]["id"], "a message of the backup is not stored twice");
    let again = say(&mut ann, ["after 10".into()]).await?;
    assert_eq!((&again[0]["seq"], &before[10]["seq"]), (&json!(11), &json!(11)), "a lost one is stored anew");
    let data = server.data().display().to_string();
    ondol(&["verify", "--data", &data])?.expect_parts(0, &["fine, 1 room, 11 messages"])?;

    // The database from before is whole, with what its log had.
    let left = names(&server.data())?;
    let kept: Vec<_> = left.iter().filter(|name| name.contains("before-restore")).collect();
    assert_eq!(kept.len(), 1, "{left:?}");
    assert!(left.iter().all(|name| !name.contains(".partial")), "{left:?}");
    verify(&server.data().join(kept[0]))?.expect_parts(0, &["fine, 1 room, 20 messages"])?;
    assert_eq!(fs::metadata(server.database_file())?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_backup_is_restored_where_there_is_no_database() -> TestResult {
    let (_server, _, (directory, backup)) = with_backup(10).await?;
    let data = directory.path().join("new/data");
    let words = ["restore".into(), backup.into_os_string(), "--data".into(), data.clone().into_os_string()];
    ondol(&words)?.expect_parts(0, &["restored, 1 room, 10 messages"])?;
    assert_eq!(names(&data)?, ["ondol.db", "ondol.lock"]);
    assert_eq!(fs::metadata(&data)?.permissions().mode() & 0o777, 0o700);
    Ok(())
}

#[tokio::test]
async fn a_database_can_be_restored_from_itself() -> TestResult {
    let (mut server, room, _backup) = with_backup(20).await?;
    end(&mut server, "KILL").await?;
    run(&server, "restore", &server.database_file())?.expect_parts(0, &["restored, 1 room, 20 messages"])?;
    server.restart_after(|| Ok(())).await?;
    assert_eq!(history(&server, room).await?.as_array().map(Vec::len), Some(20));
    Ok(())
}

#[tokio::test]
async fn a_database_that_root_restores_belongs_to_the_owner_of_its_directory() -> TestResult {
    let (mut server, _, (_directory, backup)) = with_backup(10).await?;
    end(&mut server, "TERM").await?;
    if let Err(error) = chown(server.data(), Some(65_534), None) {
        ensure!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("skipped: the owner of a restored database: {error}");
        return Ok(());
    }
    run(&server, "restore", &backup)?.expect(0)?;
    for name in ["ondol.db", "ondol.lock"] {
        assert_eq!(fs::metadata(server.data().join(name))?.uid(), 65_534, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_database_is_replaced_and_kept() -> TestResult {
    let (mut server, room, (_directory, backup)) = with_backup(10).await?;
    end(&mut server, "KILL").await?;
    let log = vec![7; 5_000];
    fs::write(server.database_file(), vec![7; 10_000])?;
    fs::write(server.database_file().with_extension("db-wal"), &log)?;
    run(&server, "restore", &backup)?.expect_parts(0, &["restored, 1 room, 10 messages"])?;
    let left = names(&server.data())?;
    let of_log = left.iter().find(|name| name.starts_with("ondol.db.before") && name.ends_with("-wal"));
    assert_eq!(fs::read(server.data().join(of_log.context("the log is lost")?))?, log);
    server.restart_after(|| Ok(())).await?;
    assert_eq!(history(&server, room).await?[0]["message"], "before 0");
    Ok(())
}

#[tokio::test]
async fn what_is_no_sound_backup_is_not_restored() -> TestResult {
    let (mut server, room, (directory, backup)) = with_backup(90).await?;
    run(&server, "restore", &backup)?.expect_parts(1, &["another server is using it; stop the server first"])?;
    let (_second, backup) = back_up(&server)?;
    end(&mut server, "TERM").await?;
    let present = fs::read(server.database_file())?;
    let refuse = |file: &Path, parts: &[&str]| run(&server, "restore", file)?.expect_parts(1, parts);
    let other = |name: &str| directory.path().join(name);
    refuse(&other("none.db"), &["none.db: there is no database here"])?;
    fs::write(other("text.db"), "not a database at all, however long it may be, and it is longer than a header is")?;
    refuse(&other("text.db"), &["text.db: this is not a database of Ondol"])?;
    Connection::open(other("foreign.db"))?.execute_batch("CREATE TABLE note (text); PRAGMA user_version = 2")?;
    refuse(&other("foreign.db"), &["foreign.db: this is not a database of Ondol"])?;
    fs::copy(&backup, other("newer.db"))?;
    Connection::open(other("newer.db"))?.execute_batch("PRAGMA user_version = 99")?;
    refuse(
        &other("newer.db"),
        &["newer.db: the database has schema version 99, and this server knows versions up to"],
    )?;
    let whole = fs::read(&backup)?;
    fs::write(other("half.db"), &whole[..whole.len() / 2])?;
    refuse(&other("half.db"), &["half.db is damaged, so the database stays as it is"])?;
    fs::copy(&backup, other("wrong.db"))?;
    Connection::open(other("wrong.db"))?.execute_batch("UPDATE message SET sender = 99 WHERE n = 7")?;
    refuse(&other("wrong.db"), &["wrong.db is damaged", "it has no sender"])?;
    // A program that has the database open would go on with its files.
    let sqlite = Connection::open(server.database_file())?;
    sqlite.query_row("SELECT count(*) FROM message", [], |_| Ok(()))?;
    refuse(&backup, &["another program has", "ondol.db open"])?;
    drop(sqlite);

    assert_eq!(names(&server.data())?.iter().filter(|name| name.starts_with("ondol.db")).count(), 1);
    assert_eq!(fs::read(server.database_file())?, present);
    server.restart_after(|| Ok(())).await?;
    assert_eq!(history(&server, room).await?.as_array().map(Vec::len), Some(90));
    Ok(())
}

/// The system calls that change what a directory holds.
const CHANGES: [&str; 9] =
    ["?link", "linkat", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "fsync", "fdatasync"];

/// Kills a restore before each of its changes on disk. Needs strace, and is skipped by name where it is missing, but not in
/// CI.
#[tokio::test]
async fn a_restore_that_is_killed_at_any_moment_leaves_one_whole_database() -> TestResult {
    if Command::new("strace").arg("-V").output().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "strace is not installed");
        eprintln!("skipped: strace is not installed");
        return Ok(());
    }
    let (mut server, _, (directory, backup)) = with_backup(20).await?;
    end(&mut server, "KILL").await?;
    let (mut kept, mut restored) = (0, 0);
    for call in CHANGES {
        for number in 1.. {
            // The database of a killed server, with its log.
            let data = directory.path().join(format!("{call}-{number}"));
            fs::create_dir(&data)?;
            for name in ["ondol.db", "ondol.db-wal", "ondol.mark"] {
                fs::copy(server.data().join(name), data.join(name))?;
            }
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
            strace.arg(command::binary()).arg("restore").arg(&backup).arg("--data").arg(&data);
            let is_complete = strace.env("NO_COLOR", "1").output()?.status.success();
            let verdict = verify(&data.join("ondol.db"))?;
            let verdict = verdict.expect(0).with_context(|| format!("killed at {call} {number}"))?;
            let is_restored = verdict.contains("fine, 1 room, 10 messages");
            ensure!(is_restored || !is_complete && verdict.contains("fine, 1 room, 20 messages"), "{verdict}");
            if is_complete {
                break;
            }
            *(if is_restored { &mut restored } else { &mut kept }) += 1;
            let (again, data) = (backup.display().to_string(), data.display().to_string());
            ondol(&["restore", &again, "--data", &data])?.expect_parts(0, &["restored, 1 room, 10 messages"])?;
        }
    }
    ensure!(kept > 3 && restored > 0, "killed {kept} times before the exchange and {restored} times after it");
    Ok(())
}
