//! Time limits of a connection: for a head, between requests, to read an answer; and the size of a page of messages.

use ondol_tests::{Answer, NEVER_MS, RawSocket, Setup, TestResult, TestServer, until};
use serde_json::{Value, json};

/// A server with a room of `count` messages of 2,000 characters of four bytes each.
async fn filled(setup: Setup, count: u64) -> TestResult<TestServer> {
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let text = "😀".repeat(2_000);
    for seq in 1..=count {
        ann.say(&text).await?;
        assert_eq!(ann.expect_message(&text).await?["seq"], seq);
    }
    ann.leave().await?;
    Ok(server)
}

fn seqs(answer: &Answer) -> TestResult<Vec<u64>> {
    let page = answer.expect(200)?;
    let messages = page.get("chat_messages").unwrap_or(&page).as_array().cloned().unwrap_or_default();
    Ok(messages.iter().filter_map(|message| message["seq"].as_u64()).collect())
}

#[tokio::test]
async fn a_page_of_messages_has_a_maximum_of_bytes() -> TestResult {
    let server = filled(TestServer::setup().limit("page_bytes_max", 30_000), 20).await?;
    for (target, expected) in [
        ("/chat/v1/room/1/messages/?after=0", [1, 2, 3]),
        ("/chat/v1/room/1/messages/?after=5&limit=200", [6, 7, 8]),
        ("/chat/v1/room/1/messages/?before=11", [8, 9, 10]),
        ("/chat/v1/room/1/messages/", [18, 19, 20]),
        ("/chat/v1/room/1/", [18, 19, 20]),
    ] {
        let answer = server.get(target).await?;
        assert_eq!(seqs(&answer)?, expected, "{target}");
        assert!(answer.body.len() < 30_000 + 500, "{target} has {} bytes", answer.body.len());
    }
    Ok(())
}

#[tokio::test]
async fn a_page_has_room_for_one_message_of_any_size() -> TestResult {
    let server = filled(TestServer::setup().limit("page_bytes_max", 1_024), 3).await?;
    assert_eq!(seqs(&server.get("/chat/v1/room/1/messages/?after=1").await?)?, [2]);
    assert_eq!(seqs(&server.get("/chat/v1/room/1/messages/?before=3").await?)?, [2]);
    assert_eq!(seqs(&server.get("/chat/v1/room/1/").await?)?, [3]);
    Ok(())
}

#[tokio::test]
async fn unread_answers_take_little_memory_and_time_out() -> TestResult {
    // The system may buffer a whole answer for a peer that does not read, and the connection is idle then.
    let setup = TestServer::setup().limit("answer_ms_max", 2_000).limit("idle_ms_max", 2_000).open_files(1_024);
    let server = filled(setup.limit("header_ms_max", 2_000), 200).await?;
    let before = server.memory()?;
    let question = server.request("GET", "/chat/v1/room/1/messages/?limit=200").bytes();
    let mut deaf = Vec::new();
    for _ in 0..300 {
        let mut peer = RawSocket::connect_narrow(server.address(), 4_096).await?;
        peer.send(&question).await?;
        deaf.push(peer);
    }
    let mut most = 0;
    for peer in &mut deaf {
        until("the connection's end", async || {
            most = most.max(server.memory().unwrap_or(u64::MAX));
            peer.send("\r\n").await.is_err().then_some(())
        })
        .await?;
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 64 << 20, "it grew by {grown} bytes");
    Ok(())
}

#[tokio::test]
async fn an_unread_answer_times_out_after_answer_ms_max() -> TestResult {
    let setup = TestServer::setup().admin().limit("answer_ms_max", 300).limit("page_bytes_max", 16 << 20);
    let server = filled(setup.flag("--log").flag("debug"), 200).await?;
    let mut deaf = RawSocket::connect_narrow(server.address(), 4_096).await?;
    deaf.send(server.request("GET", "/chat/v1/room/1/messages/?limit=200").bytes().repeat(5)).await?;
    server.wait_for_log("the client did not read a response within answer_ms_max = 300").await?;
    until("the connection's end", async || deaf.send("\r\n").await.is_err().then_some(())).await?;

    let address = server.admin_address()?.replace("http://", "");
    let mut deaf = RawSocket::connect_narrow(&address, 4_096).await?;
    let mark = server.log().mark();
    // One answer of the admin API is small, many are not.
    let question = server.admin("GET", "/v1/status")?.bytes().repeat(50);
    let flood = async { while deaf.send(&question).await.is_ok() {} };
    let line = server.log().line_since(mark, &["an admin connection", "answer_ms_max = 300"]);
    tokio::select! {
        line = line => line.map(drop),
        () = async { flood.await; std::future::pending().await } => Ok(()),
    }
}

#[tokio::test]
async fn a_client_that_shuts_its_sending_side_after_a_request_is_answered() -> TestResult {
    let server = TestServer::setup().limit("idle_ms_max", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    let mut asking = server.raw().await?;
    asking.send(server.request("GET", "/healthz").bytes()).await?;
    asking.finish_sending().await?;
    assert_eq!(asking.read_answer("GET").await?.status, 200);
    assert!(asking.expect_end().await?.is_empty());

    let body = json!({"room": room, "message": "last words"}).to_string();
    let mut saying = server.raw().await?;
    saying.send(server.request("POST", "/chat/v1/message/").identity("ann").json(body).bytes()).await?;
    saying.finish_sending().await?;
    assert_eq!(saying.read_answer("POST").await?.expect(201)?["seq"], 1);
    assert!(saying.expect_end().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_client_that_shuts_its_sending_side_within_a_request_is_closed() -> TestResult {
    let setup = TestServer::setup().limit("header_ms_max", NEVER_MS).limit("body_ms_max", NEVER_MS);
    let server = setup.limit("idle_ms_max", NEVER_MS).start().await?;
    let post = server.request("POST", "/chat/v1/message/").identity("ann").json(r#"{"room":1,"message":"x"}"#).bytes();
    for sent in [0, 10, post.len() - 5] {
        let mut peer = server.raw().await?;
        peer.send(&post[..sent]).await?;
        peer.finish_sending().await?;
        peer.expect_end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_can_be_idle_for_longer_than_header_ms_max() -> TestResult {
    let server = TestServer::setup().limit("header_ms_max", 1_500).start().await?;
    let question = server.request("GET", "/healthz").bytes();
    let mut kept = server.raw().await?;
    kept.send(&question).await?;
    kept.read_answer("GET").await?.expect(200)?;

    // A later connection that sends nothing times out: so header_ms_max has passed on the kept one as well.
    server.raw().await?.expect_end().await?;
    kept.send(&question).await?;
    assert_eq!(kept.read_answer("GET").await?.status, 200);

    // From its first byte on, the next head has header_ms_max again.
    kept.send(&question[..20]).await?;
    assert!(kept.expect_end().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_times_out_after_idle_ms_max() -> TestResult {
    let server = TestServer::setup().admin().limit("idle_ms_max", 200).start().await?;
    let admin = server.admin_address()?.replace("http://", "");
    for (address, target) in [(server.address(), "/healthz"), (&*admin, "/v1/status")] {
        let mut idle = RawSocket::connect(address).await?;
        idle.send(server.request("GET", target).bytes()).await?;
        let answer: Value = idle.read_answer("GET").await?.json();
        assert!(idle.expect_end().await?.is_empty(), "{answer}");
    }
    Ok(())
}
