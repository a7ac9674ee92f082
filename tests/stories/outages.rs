//! An operator's bad day: a full log, a full disk, a second server, a shutdown in the middle of a chat, a file that
//! changes during the start, a cache that other users can write to.

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use futures_util::future::try_join_all;
use ondol_tests::{Client, DEADLINE, Heard, NEVER_MS, TestResult, TestServer, guest, handlers};
use serde_json::json;

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() -> TestResult {
    let mut server = TestServer::setup().loses_its_log().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.expect_nothing_before("before").await?;

    server.fill_disk(true)?;
    for _ in 0..20 {
        ann.say("lost").await?;
        ann.expect_error("not_stored").await?;
        let body = json!({"room": room, "message": "lost"}).to_string();
        let said = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
        said.expect_detail(503, "not_stored")?;
    }

    server.fill_disk(false)?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 2);
    let body = json!({"room": room, "message": "posted"}).to_string();
    let said = server.request("POST", "/chat/v1/message/").identity("ben").json(body).send().await?;
    assert_eq!(said.expect(201)?["seq"], 3);
    assert_eq!(ann.expect_message("posted").await?["seq"], 3);
    drop(ann);
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn faults_are_answered_while_the_log_cannot_be_written() -> TestResult {
    let setup = TestServer::setup().loses_its_log().handler("messages", guest("recursing_messages"));
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for _ in 0..20 {
        ann.say("deep").await?;
        ann.expect_error("handler_fault").await?;
    }
    assert_eq!(ann.expect_nothing_before("shallow").await?["seq"], 1);
    Ok(())
}

#[tokio::test]
async fn a_second_server_cannot_open_the_data() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.expect_nothing_before("before").await?;

    let (status, said) = server.start_another().await?;

    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("lock") && said.contains("another server"), "{said}");
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn a_killed_server_leaves_its_data_unlocked() -> TestResult {
    let mut server = TestServer::start().await?;
    for _ in 0..3 {
        server.restart().await?;
    }
    server.create_room("lobby").await?;
    Ok(())
}

/// Sends 20 messages, and one more for each message it receives, until the server closes. Returns the messages
/// received.
async fn chatter(mut member: Client, talks: bool) -> TestResult<Vec<(i64, String)>> {
    let name = member.name.clone();
    let (mut said, mut heard) = (0, Vec::new());
    loop {
        while talks && said < heard.len() + 20 {
            // Once the server has closed, nothing can be sent.
            if member.say(&format!("{name} {said}")).await.is_err() {
                break;
            }
            said += 1;
        }
        match member.next().await? {
            Heard::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text)?;
                if let Some(seq) = frame["seq"].as_i64() {
                    heard.push((seq, frame["message"].as_str().unwrap_or_default().to_owned()));
                }
            }
            Heard::Close(code, _) => {
                assert_eq!(code, 1001, "{name}");
                return Ok(heard);
            }
            Heard::Ping | Heard::Pong(_) => {}
            other => panic!("{name} got {other:?}"),
        }
    }
}

/// Posts one message after the other until the server is gone. Returns those that were answered as stored.
async fn posting(server: &TestServer, room: u64) -> Vec<String> {
    let mut stored = Vec::new();
    for number in 0.. {
        let text = format!("post {number}");
        let body = json!({"room": room, "message": text}).to_string();
        let answer = server.request("POST", "/chat/v1/message/").identity("poster").json(body).send().await;
        match answer {
            Ok(answer) if answer.status == 201 => stored.push(text),
            Ok(answer) => assert_eq!(answer.status, 503, "{answer}"),
            Err(_) => return stored,
        }
    }
    stored
}

#[tokio::test]
async fn every_stored_message_is_delivered_before_the_close() -> TestResult {
    let mut server = TestServer::setup().without_rate_limits().start().await?;
    let mut talks = Vec::new();
    for number in 0..6 {
        let room = server.create_room(&format!("room {number}")).await?;
        talks.push((room, server.join(room, "ann").await?, server.join(room, "ben").await?));
    }
    let mut witness = server.open_tab(1, "witness").await?;
    let stop = async {
        while witness.next_message().await?["seq"].as_u64() < Some(100) {}
        server.signal("TERM")
    };
    let talks = talks.into_iter().map(async |(room, ann, ben)| {
        let (ann, ben, posted) = tokio::join!(chatter(ann, true), chatter(ben, false), posting(&server, room));
        TestResult::Ok((room, ann?, ben?, posted))
    });
    let (stopped, talks) = tokio::join!(stop, try_join_all(talks));
    stopped?;
    drop(witness);
    assert_eq!(server.exit().await?.code(), Some(0));

    let database = server.database()?;
    for (room, ann, ben, posted) in talks? {
        let mut query = database.prepare("SELECT seq, text FROM message WHERE room = ?1 ORDER BY seq")?;
        let rows = query.query_map([i64::try_from(room)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let stored = rows.collect::<Result<Vec<(i64, String)>, _>>()?;
        assert_eq!(ann, stored, "what ann heard in room {room} is not what is stored");
        assert_eq!(ben, stored, "what ben heard in room {room} is not what is stored");
        let stored_posts: Vec<_> = stored.into_iter().map(|(_, text)| text).filter(|t| t.starts_with("post")).collect();
        assert_eq!(posted, stored_posts, "what was answered in room {room} is not what is stored");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_answers_pings_receives_the_last_messages_and_1001() -> TestResult {
    let setup = TestServer::setup().limit("ping_interval_ms", 50).limit("pong_ms_max", 1_000);
    let setup = setup.limit("shutdown_grace_ms", NEVER_MS);
    let mut server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    // A room's first message waits for its number, and would not be in the store yet when the next frame is read.
    ann.say("first words").await?;
    ann.expect_message("first words").await?;
    let busy = server.hold_commits()?;
    ann.say("last words").await?;
    // The pong shows that everything before the ping was read.
    ann.ping(b"read?").await?;
    while ann.next().await? != Heard::Pong(b"read?".to_vec()) {}

    server.signal("TERM")?;
    server.wait_for_log("shutting down").await?;
    // Each comes once the answer to the one before it is overdue.
    let mut pings = 0;
    while pings < 3 {
        match ann.next().await? {
            Heard::Ping => pings += 1,
            Heard::Pong(_) => {}
            other => panic!("got {other:?} while the disk was busy"),
        }
    }
    drop(busy);

    ann.expect_message("last words").await?;
    ann.expect_close(1001).await?;
    drop(ann);
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

/// Starts a server whose events handler is replaced as soon as the file `sign` exists in its directories, and checks
/// that the new one becomes active.
async fn replaced_at(sign: &str) -> TestResult {
    let shouting = handlers::read(&guest("shouting_events"))?;
    let meddling = |home: &ondol_tests::setup::Home| {
        let begun = Instant::now();
        while !home.root().join(sign).exists() {
            anyhow::ensure!(begun.elapsed() < DEADLINE, "no {sign}");
            std::thread::yield_now();
        }
        handlers::place(&home.handlers(), "events", &shouting)
    };
    let server = TestServer::setup().start_amid(meddling).await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let taken = ondol_tests::until("the new handler", async || {
        ann.say("hi").await.ok()?;
        (ann.next_message().await.ok()?["message"] == "HI").then_some(())
    });
    taken.await.map_err(|error| error.context(format!("it was replaced once {sign:?} existed")))
}

#[tokio::test]
async fn a_handler_that_is_replaced_during_the_start_is_deployed() -> TestResult {
    for sign in ["handlers", "data", "data/ondol.lock", "data/ondol.db", "data/ondol.db-shm"] {
        replaced_at(sign).await?;
    }
    Ok(())
}

#[tokio::test]
async fn exchanged_files_in_the_cache_are_not_used() -> TestResult {
    let cache = tempfile::tempdir()?;
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o700))?;
    let mut server = TestServer::setup().flag("--cache").flag(cache.path().display().to_string()).start().await?;
    let files: Vec<_> = fs::read_dir(cache.path())?.map(|entry| Ok(entry?.path())).collect::<TestResult<_>>()?;
    assert_eq!(files.len(), 3, "{files:?}");
    server
        .restart_after(|| {
            let aside = cache.path().join("aside");
            fs::rename(&files[0], &aside)?;
            fs::rename(&files[1], &files[0])?;
            fs::rename(&files[2], &files[1])?;
            Ok(fs::rename(&aside, &files[2])?)
        })
        .await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    ann.expect_message("hi").await?;
    assert!(!server.log().since(0).iter().any(|line| line.contains("broken")));
    Ok(())
}

#[tokio::test]
async fn a_cache_that_others_can_write_to_is_rejected() -> TestResult {
    let cache = tempfile::tempdir()?;
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o777))?;
    let place = cache.path().display().to_string();
    let failed = TestServer::setup().flag("--cache").flag(place.clone()).start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("cache") && why.contains(&place) && why.contains("other users"), "{why}");
    assert_eq!(fs::read_dir(cache.path())?.count(), 0, "it wrote into the cache");

    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o700))?;
    TestServer::setup().flag("--cache").flag(place).start().await?;
    Ok(())
}
