//! Resuming: a client that comes back receives what it missed, in order, each message once, and then what is live.

use ondol_tests::{Client, Frame, RawSocket, TestResult, TestServer, User, guest};
use serde_json::{Value, json};

/// The target of a client that saw the messages up to `after`.
fn target(room: u64, user: &str, after: impl std::fmt::Display, epoch: Option<&str>) -> String {
    let epoch = epoch.map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
    format!("/ws/chat/{room}/chat/?{}&after={after}{epoch}", User::named(user).query())
}

/// Opens a socket that resumes, and takes its first frame.
async fn resume(server: &TestServer, user: &str, after: u64, epoch: Option<&str>) -> TestResult<(Client, Value)> {
    let mut client = server.knock(&target(1, user, after, epoch), &[]).await?.opened()?;
    let sync = client.next_json().await?;
    assert_eq!((sync["type"].as_str(), sync["room"].as_u64()), (Some("chat.sync"), Some(1)), "{sync}");
    Ok((client, sync))
}

/// A server with a room in which ann said `count` messages, and the frames that she received for them.
async fn said(setup: ondol_tests::Setup, count: u64) -> TestResult<(TestServer, Client, Vec<String>)> {
    let server = setup.without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut heard = Vec::new();
    for number in 1..=count {
        ann.say(&format!("말 {number}")).await?;
        heard.push(ann.next_text().await?);
    }
    Ok((server, ann, heard))
}

/// The seqs of the next `count` messages.
async fn seqs(client: &mut Client, count: u64) -> TestResult<Vec<u64>> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(client.next_message().await?["seq"].as_u64().unwrap());
    }
    Ok(seqs)
}

#[tokio::test]
async fn what_was_missed_comes_first_and_equals_the_live_events() -> TestResult {
    let (server, mut ann, heard) = said(TestServer::setup(), 5).await?;
    let (mut ben, sync) = resume(&server, "ben", 2, None).await?;
    let room = server.get("/chat/v1/room/1/").await?.expect(200)?;
    assert_eq!(sync, json!({"type": "chat.sync", "room": 1, "epoch": room["epoch"], "seq": 5, "recovered": true}));
    assert_eq!(room["seq"], 5);
    for frame in &heard[2..] {
        ben.expect_exactly(frame).await?;
    }
    ben.expect_join("ben").await?;
    ann.say("다음").await?;
    assert_eq!(ben.expect_message("다음").await?["seq"], 6);
    Ok(())
}

#[tokio::test]
async fn a_client_that_missed_nothing_is_live_at_once() -> TestResult {
    let (server, _ann, _) = said(TestServer::setup(), 2).await?;
    let epoch = server.get("/chat/v1/room/1/").await?.expect(200)?["epoch"].as_str().unwrap().to_owned();
    let (mut ben, sync) = resume(&server, "ben", 2, Some(&epoch)).await?;
    assert_eq!((&sync["seq"], &sync["recovered"]), (&json!(2), &json!(true)));
    ben.expect_join("ben").await?;
    server.create_room("empty").await?;
    let mut cho = server.knock(&target(2, "cho", 0, Some(&epoch)), &[]).await?.opened()?;
    assert_eq!(cho.next_json().await?["seq"], 0, "a room without a message");
    cho.expect_join("cho").await?;
    cho.expect_nothing_before("첫 말").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_cannot_be_brought_up_to_date_is_told_and_is_live_at_once() -> TestResult {
    let (server, mut ann, _) = said(TestServer::setup().limit("resume_messages_max", 3), 5).await?;
    for (user, after, epoch, recovered) in [
        ("ben", 2, None, true),
        ("cho", 1, None, false),
        ("dan", 5, Some("another"), false),
        ("eve", 5, Some(""), false),
        ("fay", 6, None, false),
        ("gil", u64::try_from(i64::MAX)?, None, false),
    ] {
        let (mut client, sync) = resume(&server, user, after, epoch).await?;
        assert_eq!((&sync["seq"], &sync["recovered"]), (&json!(5), &json!(recovered)), "{user}");
        if recovered {
            assert_eq!(seqs(&mut client, 3).await?, [3, 4, 5]);
        }
        client.expect_join(user).await?;
        client.leave().await?;
    }
    let (mut hal, _) = resume(&server, "hal", 9, None).await?;
    ann.say("다음").await?;
    assert_eq!(seqs(&mut hal, 1).await?, [6]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_number_is_refused_by_field() -> TestResult {
    let (server, _ann, _) = said(TestServer::setup(), 1).await?;
    for (query, field) in [
        ("after=x", "after"),
        ("after=-1", "after"),
        ("after=", "after"),
        ("after=1&after=1", "after"),
        ("after=9223372036854775808", "after"),
        ("after=1&epoch=a&epoch=a", "epoch"),
    ] {
        let target = format!("/ws/chat/1/chat/?{}&{query}", User::named("ben").query());
        let reason = server.knock(&target, &[]).await?.refused()?.expect_field(field)?;
        assert_eq!(reason, "invalid", "{query}");
    }
    // Without `after` there is nothing to resume.
    let target = format!("/ws/chat/1/chat/?{}&epoch=a", User::named("ben").query());
    server.knock(&target, &[]).await?.opened()?.expect_join("ben").await?;
    Ok(())
}

#[tokio::test]
async fn a_long_replay_and_what_comes_meanwhile_meet_without_gap_or_repetition() -> TestResult {
    let (server, mut ann, _) = said(TestServer::setup().limit("resume_messages_max", 100_000), 700).await?;
    let mut clients = Vec::new();
    for after in [0, 1, 499, 500, 501, 699, 700] {
        clients.push((after, resume(&server, &format!("user {after}"), after, None).await?.0));
        for _ in 0..20 {
            ann.say("그동안").await?;
        }
    }
    ann.say("끝").await?;
    for (after, mut client) in clients {
        let seen = seqs(&mut client, 841 - after).await?;
        assert!(seen.iter().copied().eq(after + 1..=841), "after {after}: {seen:?}");
        client.expect_nothing_before(&format!("표시 {after}")).await.err();
    }
    Ok(())
}

#[tokio::test]
async fn a_client_on_a_slow_line_receives_all_and_holds_up_nobody() -> TestResult {
    let setup = TestServer::setup().limit("outbox_bytes_max", 4_096).limit("resume_messages_max", 100_000);
    let server = setup.without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let long = "가".repeat(1_500);
    for _ in 0..1_000 {
        ann.say(&long).await?;
        ann.next_message().await?;
    }
    let mut slow = RawSocket::connect_narrow(server.address(), 4_096).await?;
    let request = slow.handshake(room, "ben").replacen("/chat/?", "/chat/?after=0&", 1);
    slow.send(request).await?;
    assert_eq!(slow.read_answer("GET").await?.status, 101);
    assert!(slow.expect_text("chat.sync").await?.contains(r#""recovered":true"#));
    // The others go on while most of its replay is not sent yet.
    for number in 1..=50 {
        ann.say(&format!("그동안 {number}")).await?;
        ann.expect_message(&format!("그동안 {number}")).await?;
    }
    for seq in 1..=1_050 {
        let frame = slow.read_frame().await?.map(|Frame { payload, .. }| payload).unwrap_or_default();
        let event: Value = serde_json::from_slice(&frame)?;
        assert_eq!(event["seq"], seq, "{event}");
    }
    slow.expect_text(r#""username":"ben""#).await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_has_not_received_all_is_told_that_the_server_stops() -> TestResult {
    let (mut server, mut ann, _) = said(TestServer::setup(), 0).await?;
    let long = "가".repeat(1_900);
    for _ in 0..600 {
        ann.say(&long).await?;
        ann.next_message().await?;
    }
    let mut slow = RawSocket::connect_narrow(server.address(), 4_096).await?;
    let request = slow.handshake(1, "ben").replacen("/chat/?", "/chat/?after=0&", 1);
    slow.send(request).await?;
    assert_eq!(slow.read_answer("GET").await?.status, 101);
    slow.expect_text("chat.sync").await?;
    server.signal("TERM")?;
    let reason = slow.expect_close(1001).await?;
    assert!(reason.contains("retry_after_ms="), "{reason}");
    slow.expect_end().await?;
    server.exit().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_may_speak_before_it_has_received_all() -> TestResult {
    let (server, _ann, _) = said(TestServer::setup(), 450).await?;
    let mut ben = server.knock(&target(1, "ben", 0, None), &[]).await?.opened()?;
    ben.say("나 왔어").await?;
    ben.say("들려?").await?;
    assert_eq!(ben.next_json().await?["type"], "chat.sync");
    assert!(seqs(&mut ben, 450).await?.into_iter().eq(1..=450));
    ben.expect_message("나 왔어").await?;
    ben.expect_message("들려?").await?;
    Ok(())
}

#[tokio::test]
async fn the_active_handler_writes_what_was_missed_and_the_built_in_one_what_it_fails_at() -> TestResult {
    // Without probation a version has no baseline that answers for it.
    let server = TestServer::setup().limit("probation_ms", 0).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for text in ["하나", "trap", "셋"] {
        ann.say(text).await?;
        ann.expect_message(text).await?;
    }
    server.deploy("events", guest("shouting_events")).await?;
    let (mut ben, _) = resume(&server, "ben", 0, None).await?;
    let loud = ben.next_json().await?;
    assert_eq!(loud["style"], "shout", "another version wrote it: {loud}");
    server.deploy("events", guest("trapping_events")).await?;
    let (mut cho, _) = resume(&server, "cho", 0, None).await?;
    for text in ["하나", "trap", "셋"] {
        cho.expect_message(text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_keeps_the_epoch() -> TestResult {
    let (mut server, _ann, _) = said(TestServer::setup(), 3).await?;
    let before = server.get("/chat/v1/room/1/").await?.expect(200)?["epoch"].clone();
    server.restart().await?;
    let (mut ben, sync) = resume(&server, "ben", 1, before.as_str()).await?;
    assert_eq!((&sync["epoch"], &sync["recovered"]), (&before, &json!(true)));
    assert_eq!(seqs(&mut ben, 2).await?, [2, 3]);
    Ok(())
}

#[tokio::test]
async fn an_older_copy_that_is_put_back_has_another_epoch_and_no_client_drops_a_new_message() -> TestResult {
    let (mut server, mut ann, _) = said(TestServer::setup(), 10).await?;
    let before = server.get("/chat/v1/room/1/").await?.expect(200)?["epoch"].clone();
    let (file, copy) = (server.database_file(), server.data().join("copy"));
    let copied = copy.to_str().unwrap().to_owned();
    server.database()?.execute("VACUUM INTO ?1", [copied])?;
    for number in 11..=20 {
        ann.say(&format!("말 {number}")).await?;
        ann.expect_message(&format!("말 {number}")).await?;
    }
    server.signal("TERM")?;
    server.exit().await?;
    server.restart_after(|| Ok(std::fs::rename(&copy, &file)?)).await?;
    // ben knows 20 of the history that is gone.
    let (mut ben, sync) = resume(&server, "ben", 20, before.as_str()).await?;
    assert_eq!((&sync["seq"], &sync["recovered"]), (&json!(10), &json!(false)));
    assert_ne!(sync["epoch"], before);
    ben.expect_join("ben").await?;
    ben.say("새로").await?;
    assert_eq!(ben.expect_message("새로").await?["seq"], 11);
    // cho was away for longer: by now the numbers that it knows are given to other messages.
    for number in 12..=25 {
        ben.say(&format!("새 {number}")).await?;
    }
    seqs(&mut ben, 14).await?;
    let (_cho, sync) = resume(&server, "cho", 20, before.as_str()).await?;
    assert_eq!((&sync["seq"], &sync["recovered"]), (&json!(25), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn a_client_may_have_read_a_message_that_is_stored_and_not_sent_yet() -> TestResult {
    let (server, mut ann, _) = said(TestServer::setup(), 1).await?;
    let talking = tokio::spawn(async move {
        for number in 0..20_000 {
            ann.say(&format!("말 {number}")).await?;
            ann.next_message().await?;
        }
        anyhow::Ok(())
    });
    for number in 0..150 {
        let page = server.get("/chat/v1/room/1/messages/?limit=1").await?.expect(200)?;
        let after = page[0]["seq"].as_u64().unwrap();
        let (mut ben, sync) = resume(&server, &format!("ben {number}"), after, None).await?;
        assert_eq!(sync["recovered"], true, "after {after}: {sync}");
        assert_eq!(seqs(&mut ben, 2).await?, [after + 1, after + 2]);
    }
    talking.abort();
    Ok(())
}
