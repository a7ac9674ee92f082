//! The database's file, copied and put back by hand, without `ondol backup` and `ondol restore`. And databases of a later
//! server, which this one leaves alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use ondol_tests::{Home, TestResult, TestServer, User, ondol, standard};
use rusqlite::{Connection, config::DbConfig};
use serde_json::json;
use tempfile::TempDir;

async fn say(server: &TestServer, room: u64, texts: &[&str]) -> TestResult {
    let mut ann = server.open_tab(room, "ann").await?;
    for text in texts {
        ann.say(text).await?;
        ann.expect_message(text).await?;
    }
    Ok(())
}

/// The texts of a room's messages.
async fn texts(server: &TestServer, room: u64) -> TestResult<Vec<String>> {
    let history = server.get(&format!("/chat/v1/room/{room}/messages/?after=0&limit=100")).await?.expect(200)?;
    let messages = history.as_array().into_iter().flatten();
    Ok(messages.filter_map(|message| message["message"].as_str().map(str::to_owned)).collect())
}

fn epoch(server: &TestServer) -> TestResult<String> {
    Ok(server.database()?.query_row("SELECT epoch FROM history", [], |row| row.get(0))?)
}

async fn stop(server: &mut TestServer) -> TestResult {
    server.signal("TERM")?;
    ensure!(server.exit().await?.code() == Some(0), "the server did not end cleanly");
    Ok(())
}

/// A server with two messages, and a copy of its file from when it was stopped after the first.
async fn with_an_older_copy() -> TestResult<(TestServer, u64, TempDir)> {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    say(&server, room, &["one"]).await?;
    stop(&mut server).await?;
    let directory = TempDir::new()?;
    fs::copy(server.database_file(), directory.path().join("older.db"))?;
    server.restart_after(|| Ok(())).await?;
    say(&server, room, &["two"]).await?;
    Ok((server, room, directory))
}

#[tokio::test]
async fn the_file_of_a_stopped_server_is_the_whole_database() -> TestResult {
    let (mut server, room, _older) = with_an_older_copy().await?;
    stop(&mut server).await?;
    let original = server.database_file();
    let place = |home: &Home| {
        fs::create_dir(home.data())?;
        fs::copy(&original, home.data().join("ondol.db"))?;
        Ok(())
    };
    let elsewhere = TestServer::setup().start_after(place).await?;
    assert_eq!(texts(&elsewhere, room).await?, ["one", "two"]);
    assert_ne!(epoch(&elsewhere)?, epoch(&server)?, "two databases have two histories");
    Ok(())
}

#[tokio::test]
async fn an_older_copy_that_is_put_back_has_a_new_epoch() -> TestResult {
    let (mut server, room, older) = with_an_older_copy().await?;
    let before = epoch(&server)?;
    stop(&mut server).await?;
    fs::copy(older.path().join("older.db"), server.database_file())?;
    server.restart_after(|| Ok(())).await?;
    assert_eq!(texts(&server, room).await?, ["one"]);
    comes_back(&server, &before).await
}

/// A client that knows two messages of another epoch comes back, and learns that the database went back.
async fn comes_back(server: &TestServer, epoch_before: &str) -> TestResult {
    let who = User::named("ben").query();
    let target = format!("/ws/chat/1/chat/?{who}&after=2&epoch={epoch_before}");
    let mut ben = server.knock(&target, &[]).await?.opened()?;
    let sync = ben.next_json().await?;
    assert_eq!((&sync["seq"], &sync["recovered"]), (&json!(1), &json!(false)), "{sync}");
    assert_eq!(sync["epoch"], epoch(server)?);
    assert_ne!(sync["epoch"], epoch_before);
    ben.expect_join("ben").await?;
    assert_eq!(ben.expect_nothing_before("new").await?["seq"], 2);
    Ok(())
}

/// By `ondol restore`, and by hand.
#[tokio::test]
async fn a_backup_that_is_put_back_has_a_new_epoch_and_clients_learn_of_it() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    say(&server, room, &["one"]).await?;
    let (directory, data) = (TempDir::new()?, server.data().display().to_string());
    let backup = directory.path().join("b.db");
    ondol(&["backup", &backup.display().to_string(), "--data", &data])?.expect(0)?;
    say(&server, room, &["two"]).await?;
    let mut epochs = vec![epoch(&server)?];
    for by_hand in [true, false] {
        server
            .restart_after(|| {
                if !by_hand {
                    return ondol(&["restore", &backup.display().to_string(), "--data", &data])?.expect(0).map(drop);
                }
                for log in ["ondol.db-wal", "ondol.db-shm"] {
                    fs::remove_file(Path::new(&data).join(log))?;
                }
                fs::copy(&backup, Path::new(&data).join("ondol.db"))?;
                Ok(())
            })
            .await?;
        assert_eq!(texts(&server, room).await?, ["one"], "by hand: {by_hand}");
        assert!(!epochs.contains(&epoch(&server)?), "by hand: {by_hand}");
        comes_back(&server, &epochs[0]).await?;
        epochs.push(epoch(&server)?);
    }
    Ok(())
}

/// Why the documents say that the old log has to be removed, and what `ondol restore` is for: SQLite cannot tell that a log
/// belongs to another copy, and applies it.
#[tokio::test]
async fn an_old_log_undoes_a_copy_that_is_put_back_by_hand_and_not_a_restored_one() -> TestResult {
    let (mut server, room, older) = with_an_older_copy().await?;
    let (older, database) = (older.path().join("older.db"), server.database_file());
    server.restart_after(|| Ok(fs::copy(&older, &database).map(drop)?)).await?;
    assert_eq!(texts(&server, room).await?, ["one", "two"], "the log of the killed server was applied");
    server
        .restart_after(|| {
            let (older, data) = (older.display().to_string(), database.with_file_name("").display().to_string());
            ondol(&["restore", &older, "--data", &data])?.expect(0).map(drop)
        })
        .await?;
    assert_eq!(texts(&server, room).await?, ["one"]);
    Ok(())
}

// ── later servers ──

/// The database and its log, byte by byte.
fn files(server: &TestServer) -> [Option<Vec<u8>>; 2] {
    let database = server.database_file();
    [fs::read(&database).ok(), fs::read(database.with_extension("db-wal")).ok().filter(|log| !log.is_empty())]
}

#[tokio::test]
async fn a_database_of_a_later_server_is_refused_and_left_as_it_is() -> TestResult {
    for is_killed in [false, true] {
        let mut server = TestServer::start().await?;
        let room = server.create_room("lobby").await?;
        say(&server, room, &["one"]).await?;
        let (directory, data) = (TempDir::new()?, server.data().display().to_string());
        let file = |name: &str| directory.path().join(name).display().to_string();
        ondol(&["backup", &file("sound.db"), "--data", &data])?.expect(0)?;
        server.signal(if is_killed { "KILL" } else { "TERM" })?;
        server.exit().await?;
        let later = Connection::open(server.database_file())?;
        later.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_killed)?;
        let version: i64 = later.pragma_query_value(None, "user_version", |row| row.get(0))?;
        later.pragma_update(None, "user_version", version + 1)?;
        drop(later);
        let before = files(&server);
        assert_eq!(before[1].is_some(), is_killed, "a killed server leaves its log");

        let words = format!(
            "the database has schema version {}, and this server knows versions up to {version}: start a later server",
            version + 1
        );
        let started = server.restart_after(|| Ok(())).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(started.contains(&words), "{started}");
        assert!(files(&server) == before, "a start changed it");
        let handler = standard("events").display().to_string();
        let newer: PathBuf = server.database_file();
        let newer = newer.display().to_string();
        let nowhere = file("data");
        for (status, command) in [
            (1, vec!["backup", &file("b.db"), "--data", &data]),
            (1, vec!["verify", "--data", &data]),
            (1, vec!["verify", &newer]),
            (1, vec!["restore", &newer, "--data", &nowhere]),
            (2, vec!["replay", &handler, "--data", &data]),
            (1, vec!["check", "--data", &data]),
        ] {
            ondol(&command)?.expect_parts(status, &[&words])?;
            assert!(files(&server) == before, "{command:?} changed it");
        }
        // A backup from before the upgrade leads back to this server.
        ondol(&["restore", &file("sound.db"), "--data", &data])?.expect(0)?;
        server.restart_after(|| Ok(())).await?;
        assert_eq!(texts(&server, room).await?, ["one"]);
    }
    Ok(())
}
