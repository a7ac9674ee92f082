//! The database in operation: a disk that fills up, files that vanish, a forgotten reader, rows deleted by hand, and
//! what a stopped server leaves behind.

use std::fs;

use ondol_tests::{TestResult, TestServer, until};
use serde_json::json;

#[tokio::test]
async fn a_server_that_cannot_store_is_not_ready_until_it_can_again() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.get("/readyz").await?.expect(200)?;

    server.fill_disk(true)?;
    ann.say("lost").await?;
    ann.expect_error("not_stored").await?;
    let answer = server.get("/readyz").await?;
    assert_eq!(answer.expect_detail(503, "not_ready")?, "Not ready: the database cannot be written");
    server.get("/healthz").await?.expect(200)?;

    server.fill_disk(false)?;
    until("readiness without a message", async || (server.get("/readyz").await.ok()?.status == 200).then_some(()))
        .await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 1);
    Ok(())
}

#[tokio::test]
async fn a_server_whose_data_directory_is_deleted_ends() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await?.expect_nothing_before("stored").await?;
    fs::remove_dir_all(server.database_file().parent().expect("a directory"))?;
    assert_eq!(server.exit().await?.code(), Some(1));
    server.wait_for_log("the database's files were deleted or replaced").await?;
    Ok(())
}

#[tokio::test]
async fn a_server_whose_database_is_replaced_ends() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await?.expect_nothing_before("stored").await?;
    let copy = server.database_file().with_extension("copy");
    fs::copy(server.database_file(), &copy)?;
    fs::rename(&copy, server.database_file())?;
    assert_eq!(server.exit().await?.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_leaves_one_file_with_everything() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for _ in 0..50 {
        ann.say("said").await?;
    }
    for _ in 0..50 {
        ann.expect_message("said").await?;
    }
    server.get(&format!("/chat/v1/room/{room}/messages/")).await?.expect(200)?;
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    for left in ["ondol.db-wal", "ondol.db-shm"] {
        assert!(!server.database_file().with_file_name(left).exists(), "{left} is left");
    }
    let stored: i64 = server.database()?.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
    assert_eq!(stored, 50);
    Ok(())
}

#[tokio::test]
async fn numbers_continue_after_rows_were_deleted_by_hand() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ids = Vec::new();
    for _ in 0..9 {
        ids.push(ann.expect_nothing_before("said").await?["id"].clone());
    }
    // While the server runs: parents before and after the gap are found.
    let by_hand = rusqlite::Connection::open(server.database_file())?;
    by_hand.execute("DELETE FROM message WHERE seq = 5", [])?;
    for parent in [&ids[2], &ids[7]] {
        ann.send(json!({"type": "chat.message", "message": "an answer", "parent": parent}).to_string()).await?;
        ann.expect_message("an answer").await?;
    }
    ann.send(json!({"type": "chat.message", "message": "an answer", "parent": ids[4]}).to_string()).await?;
    ann.expect_error("parent_not_found").await?;
    // While it is stopped: the last numbers are not used again.
    let path = server.database_file();
    server
        .restart_after(|| {
            rusqlite::Connection::open(path)?.execute("DELETE FROM message WHERE seq > 9", [])?;
            Ok(())
        })
        .await?;
    let mut ann = server.join(room, "ann").await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 12);
    Ok(())
}

#[tokio::test]
async fn a_forgotten_reader_is_reported_and_the_log_shrinks_after_it() -> TestResult {
    let server = TestServer::setup()
        .without_rate_limits()
        .limit("frame_bytes_max", 65_536)
        .setting("messages", "text_length_max", 60_000)
        .start()
        .await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let forgotten = server.database()?;
    forgotten.execute_batch("BEGIN")?;
    forgotten.query_row("SELECT count(*) FROM message", [], |_| Ok(()))?;

    let log = server.database_file().with_extension("db-wal");
    let text = "x".repeat(50_000);
    let mut told = false;
    for _ in 0..2_000 {
        ann.expect_nothing_before(&text).await?;
        told = server.log().since(0).iter().any(|line| line.contains("another process has been reading the database"));
        if told {
            break;
        }
    }
    assert!(told, "the reader is not reported");
    assert!(fs::metadata(&log)?.len() > 32 << 20);

    forgotten.execute_batch("COMMIT")?;
    for _ in 0..2_000 {
        ann.expect_nothing_before(&text).await?;
        if fs::metadata(&log)?.len() <= 13 << 20 {
            return Ok(());
        }
    }
    panic!("the log stays {} bytes long", fs::metadata(&log)?.len());
}
