//! A received message is stored: it survives the process, and a full disk. For power cuts see `power.rs`.

use ondol_tests::{TestResult, TestServer, User};
use serde_json::{Value, json};

#[tokio::test]
async fn a_received_message_survives_a_kill() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..200 {
        ann.say(&format!("{number}")).await?;
    }
    let mut heard = Vec::new();
    for _ in 0..100 {
        let mut frame = ann.next_message().await?;
        frame.as_object_mut().unwrap().remove("type");
        heard.push(frame);
    }
    // The other hundred are still in flight.
    server.restart().await?;

    let stored = server.get("/chat/v1/room/1/messages/?after=0&limit=200").await?.expect(200)?;
    let mut stored = stored.as_array().unwrap().clone();
    for message in &mut stored {
        // The event has no id of the sender.
        message.as_object_mut().unwrap().remove("user_id");
    }
    assert_eq!(stored[..100], heard[..]);
    assert!(stored.iter().zip(1..).all(|(message, seq)| message["seq"] == seq), "a gap");
    Ok(())
}

#[tokio::test]
async fn numbers_continue_after_a_restart() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("before").await?;
    let before = ann.expect_message("before").await?;
    server.restart().await?;

    let mut ann = server.join(room, "ann").await?;
    ann.say("after").await?;
    let after = ann.expect_message("after").await?;
    assert_eq!((&before["seq"], &after["seq"]), (&json!(1), &json!(2)));
    assert!(after["id"].as_u64() > before["id"].as_u64());
    assert_eq!(server.create_room("another").await?, room + 1);
    Ok(())
}

#[tokio::test]
async fn a_retry_after_a_restart_stores_nothing_new() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let frame = json!({"type": "chat.message", "message": "hi", "client_id": "c-1"}).to_string();
    let mut ann = server.join(room, "ann").await?;
    ann.send(frame.clone()).await?;
    let first = ann.next_text().await?;
    server.restart().await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(frame).await?;
    ann.expect_exactly(&first).await
}

#[tokio::test]
async fn the_file_is_an_ordinary_database() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("온돌").await?;
    let mut ann = server.join(room, User::named("ann").pictured("/a.png")).await?;
    ann.say("안녕").await?;
    ann.expect_message("안녕").await?;

    let database = server.database()?;
    let pragma =
        |name: &str| database.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("journal_mode")?, rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("user_version")?, rusqlite::types::Value::Integer(8));
    assert_eq!(pragma("integrity_check")?, rusqlite::types::Value::Text("ok".into()));
    let row: (i64, String, String, Option<String>) = database.query_row(
        "SELECT seq, text, user, profile_url FROM message JOIN sender ON sender.n = message.sender WHERE room = ?1",
        [i64::try_from(room)?],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    assert_eq!(row, (1, "안녕".into(), "ann".into(), Some("/a.png".into())));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_reported_to_the_sender_and_leaves_no_gap() -> TestResult {
    let server = TestServer::setup().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;
    ann.say("before").await?;
    ann.expect_message("before").await?;

    server.fill_disk(true)?;
    for _ in 0..3 {
        ann.say("lost").await?;
        let error = ann.expect_error("not_stored").await?;
        assert_eq!(error["error_type"], "server_error", "{error}");
    }
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.expect(200)?[0]["message"], "before");

    server.fill_disk(false)?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 2);
    assert_eq!(ben.expect_message("before").await?["seq"], 1);
    assert_eq!(ben.expect_event("chat.message").await?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_makes_posts_and_new_rooms_unavailable() -> TestResult {
    let server = TestServer::setup().start().await?;
    let room = server.create_room("lobby").await?;
    server.fill_disk(true)?;
    let body = json!({"room": room, "message": "hi"}).to_string();
    let said = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
    said.expect_detail(503, "not_stored")?;
    assert!(said.header("retry-after").is_some(), "{said}");
    let made = server.post("/chat/v1/create-room/", &json!({"name": "another"})).await?;
    assert_eq!(made.status, 503, "{made}");
    server.fill_disk(false)?;
    let rooms = server.get("/chat/v1/rooms/").await?.expect(200)?;
    assert_eq!(rooms.as_array().map(Vec::len), Some(1));
    assert_eq!(rooms[0]["owner"], Value::Null);
    server.create_room("another").await?;
    Ok(())
}

#[tokio::test]
async fn every_message_of_a_burst_is_answered_on_a_full_disk() -> TestResult {
    let server = TestServer::setup().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..100 {
        if number == 50 {
            server.fill_disk(true)?;
        }
        ann.say(&format!("{number}")).await?;
    }
    let (mut stored, mut lost) = (0, 0);
    while stored + lost < 100 {
        let frame = ann.next_json().await?;
        match frame["code"].as_str() {
            None => {
                stored += 1;
                assert_eq!(frame["seq"], stored, "{frame}");
            }
            Some(code) => {
                lost += 1;
                assert_eq!(code, "not_stored", "{frame}");
            }
        }
    }
    assert!(lost > 0, "nothing was lost");
    server.fill_disk(false)?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], stored + 1);
    Ok(())
}

#[tokio::test]
async fn a_message_that_was_not_stored_can_be_retried_under_its_id() -> TestResult {
    let server = TestServer::setup().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let frame = json!({"type": "chat.message", "message": "hi", "client_id": "c-1"}).to_string();
    server.fill_disk(true)?;
    ann.send(frame.clone()).await?;
    ann.expect_error("not_stored").await?;
    server.fill_disk(false)?;
    ann.send(frame).await?;
    assert_eq!(ann.expect_message("hi").await?["seq"], 1);
    Ok(())
}

#[tokio::test]
async fn the_last_message_of_a_closed_connection_is_delivered() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;
    ben.say("goodbye").await?;
    ben.leave().await?;
    ann.expect_message("goodbye").await?;
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.json()[0]["message"], "goodbye");
    Ok(())
}
