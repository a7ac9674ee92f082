//! Peers that are hasty, numerous, rude or oddly named: each gets an answer, and the others are not disturbed.

use futures_util::future::try_join_all;
use ondol_tests::{Client, Frame, NEVER_MS, RawSocket, TestResult, TestServer, User, guest};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn an_abandoned_request_blocks_no_retry() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..100 {
        let id = format!("c-{number}");
        let body = json!({"room": room, "message": "hi", "client_id": id}).to_string();
        let mut hasty = server.raw().await?;
        hasty.send(server.request("POST", "/chat/v1/message/").identity("ann").json(body).bytes()).await?;
        drop(hasty);
        ann.send(json!({"type": "chat.message", "message": "hi", "client_id": id}).to_string()).await?;
        // The same message may come twice: as the room's event, and as the answer to the retry.
        while ann.next_message().await?["client_id"] != id {}
    }
    let count: i64 = server.database()?.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
    assert_eq!(count, 100);
    Ok(())
}

#[tokio::test]
async fn simultaneous_posts_to_an_empty_room_are_all_stored() -> TestResult {
    let server = TestServer::start().await?;
    for _ in 0..5 {
        let room = server.create_room("empty").await?;
        let posts = (0..60).map(async |number| {
            let body = json!({"room": room, "message": format!("{number}")}).to_string();
            let answer = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
            TestResult::Ok(answer.expect(201)?["seq"].as_u64())
        });
        let mut seqs = try_join_all(posts).await?;
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=60).map(Some).collect::<Vec<_>>());
    }
    Ok(())
}

/// One more connection with an answer. None: the server refuses more. The number depends on how many others are still
/// closing.
async fn one_more(server: &TestServer) -> TestResult<Option<RawSocket>> {
    let mut peer = server.raw().await?;
    peer.send(server.request("GET", "/chat/v1/rooms/").bytes()).await?;
    let answer = peer.read_answer("GET").await?;
    if answer.status == 503 {
        return Ok(None);
    }
    answer.expect(200)?;
    Ok(Some(peer))
}

#[tokio::test]
async fn a_crowd_at_the_limit_of_open_files_leaves_the_database_readable() -> TestResult {
    let setup = TestServer::setup().open_files(256).limit("header_ms_max", NEVER_MS).limit("idle_ms_max", NEVER_MS);
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut crowd = Vec::new();
    while let Some(peer) = one_more(&server).await? {
        crowd.push(peer);
    }
    assert!(crowd.len() > 150, "only {} fit", crowd.len());
    let _beyond = try_join_all((0..40).map(|_| server.raw())).await?;
    for round in 0..6 {
        let target = if round % 2 == 0 { "/chat/v1/rooms/".to_owned() } else { format!("/chat/v1/room/{room}/") };
        let question = server.request("GET", &target).bytes();
        try_join_all(crowd.iter_mut().map(|peer| peer.send(&question))).await?;
        for answer in try_join_all(crowd.iter_mut().map(|peer| peer.read_answer("GET"))).await? {
            answer.expect(200)?;
        }
    }
    let log = server.log().since(0).join("\n");
    assert!(!log.contains("unable to open"), "{log}");
    Ok(())
}

/// Reads `count` messages, in order.
async fn hears(mut member: Client, count: u64) -> TestResult {
    for seq in 1..=count {
        assert_eq!(member.next_message().await?["seq"], seq, "{}", member.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_burst_closes_no_member_that_reads() -> TestResult {
    let server = TestServer::setup().without_rate_limits().limit("outbox_bytes_max", 65_536).start().await?;
    let room = server.create_room("lobby").await?;
    let mut members = Vec::new();
    for name in ["ann", "ben", "cat"] {
        members.push(tokio::spawn(hears(server.join(room, name).await?, 900)));
    }
    let mut eager = server.raw().await?;
    eager.upgrade(room, "eager").await?;

    // While the disk is busy, as many messages gather as may be in flight; then they are sent at once, and the rest
    // follows.
    let busy = server.hold_commits()?;
    let (mut reading, mut writing) = eager.into_stream().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    let frame = Frame::saying(&"😀".repeat(2_000)).bytes();
    writing.write_all(&frame.repeat(10)).await?;
    drop(busy);
    for _ in 10..900 {
        writing.write_all(&frame).await?;
    }
    for member in members {
        member.await??;
    }
    Ok(())
}

/// The owner of a room that was created with this user id.
async fn owner(server: &TestServer, id: &str) -> TestResult<Value> {
    let request = server.request("POST", "/chat/v1/create-room/").header("X-User-ID", id);
    let request = request.header("X-Nickname", "somebody").header("X-Email", "somebody@example.com");
    Ok(request.json(r#"{"name":"lobby"}"#).send().await?.expect(201)?["owner"].clone())
}

#[tokio::test]
async fn a_header_that_is_not_fully_encoded_is_not_decoded() -> TestResult {
    let server = TestServer::start().await?;
    assert_eq!(owner(&server, "victim").await?, "victim");
    for impostor in ["victi%6D", "victi%6d", "%76ictim", "vic%74im%40", "100%", "%zz"] {
        assert_eq!(owner(&server, impostor).await?, impostor);
    }
    Ok(())
}

#[tokio::test]
async fn a_percent_encoded_header_is_decoded() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let request = server.request("POST", "/chat/v1/message/").header("X-User-ID", "u1");
    let request = request.header("X-Nickname", "%EC%95%A4").header("X-Email", "ann%40example.com");
    let said = request.json(json!({"room": room, "message": "hi"}).to_string()).send().await?.expect(201)?;
    assert_eq!((&said["nickname"], &said["sender"]), (&json!("앤"), &json!("ann@example.com")));
    assert_eq!(owner(&server, "a%20b").await?, "a b");
    Ok(())
}

#[tokio::test]
async fn endless_pings_of_a_peer_that_never_reads_take_little_memory_and_end_with_1008() -> TestResult {
    let server = TestServer::setup().without_rate_limits().limit("stall_ms_max", 500).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut rude = RawSocket::connect_narrow(server.address(), 4_096).await?;
    rude.upgrade(room, "rude").await?;
    ann.expect_join("rude").await?;
    let before = server.memory()?;

    let pings = Frame::new(Frame::PING, [b'x'; 125]).bytes().repeat(1_000);
    let flood = async {
        for _ in 0..100 {
            // Once it is closed, the server stops reading.
            if rude.send(&pings).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let left = tokio::select! {
        () = flood => unreachable!(),
        left = ann.expect_leave("rude") => left,
    };
    left?;

    let grown = server.memory()?.saturating_sub(before);
    assert!(grown < 16 << 20, "it grew by {grown} bytes");
    let reason = rude.expect_close(1008).await?;
    assert!(reason.contains("stall_ms_max"), "{reason}");
    Ok(())
}

/// Sends the next message for each of its own that it receives.
async fn talks_without_end(mut member: Client) {
    let talk = async {
        member.say("bla").await?;
        loop {
            let heard = member.next_message().await?;
            if heard["nickname"] == member.name.as_str() {
                member.say("bla").await?;
            }
        }
    };
    let ended: TestResult<std::convert::Infallible> = talk.await;
    eprintln!("{} has stopped: {ended:?}", member.name);
}

#[tokio::test]
async fn the_server_sends_nothing_after_a_close_frame() -> TestResult {
    let server = TestServer::setup().without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    for name in ["ann", "ben", "cat"] {
        tokio::spawn(talks_without_end(server.open_tab(room, name).await?));
    }
    let too_much = Frame::new(Frame::TEXT, vec![b'x'; 65_537]);
    let bye = Frame::new(Frame::CLOSE, 1000_u16.to_be_bytes());
    for _ in 0..10 {
        for (last, code) in [(&bye, 1000), (&too_much, 1009)] {
            let mut peer = server.raw().await?;
            peer.upgrade(room, "peer").await?;
            peer.expect_text("chat.message").await?;
            peer.send_frame(last).await?;
            peer.expect_close(code).await?;
            let more = peer.expect_end().await?;
            assert!(more.is_empty(), "after {code} came {}", String::from_utf8_lossy(&more));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_websocket_requires_http_1_1_and_no_body() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut old = server.raw().await?;
    let handshake = old.handshake(room, "ann").replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n");
    old.send(handshake).await?;
    old.read_answer("GET").await?.expect(426)?;

    let mut heavy = server.raw().await?;
    let handshake = heavy.handshake(room, "ann").replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
    heavy.send(handshake).await?;
    heavy.read_answer("GET").await?.expect(400)?;
    server.join(room, "ann").await?;
    Ok(())
}

#[tokio::test]
async fn the_last_messages_of_a_member_come_before_its_leave() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ben = server.join(room, "ben").await?;
    let mut cat = server.join(room, "cat").await?;
    ben.expect_join("cat").await?;
    for round in 0..10 {
        let mut ann = server.join(room, "ann").await?;
        for number in 0..20 {
            ann.say(&format!("{round} {number}")).await?;
        }
        ann.leave().await?;
        for member in [&mut ben, &mut cat] {
            member.expect_join("ann").await?;
            for number in 0..20 {
                let heard = member.expect_event("chat.message").await?;
                assert_eq!(heard["message"], format!("{round} {number}"));
            }
            member.expect_leave("ann").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_after_a_message_arrives_after_it() -> TestResult {
    let server = TestServer::setup().handler("messages", guest("relaying_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut members = Vec::new();
    for name in ["ann", "ben", "cat"] {
        let newcomer = server.join(room, User::named(name)).await?;
        for member in &mut members {
            Client::expect_join(member, name).await?;
        }
        members.push(newcomer);
    }
    for number in 0..100 {
        members[0].say(&format!("{number}")).await?;
        members[0].send(r#"{"type":"chat.typing"}"#).await?;
    }
    for member in &mut members {
        for number in 0..100 {
            assert_eq!(member.expect_event("chat.message").await?["message"], format!("{number}"));
            assert_eq!(member.expect_event("chat.typing").await?["username"], "ann");
        }
    }
    Ok(())
}
