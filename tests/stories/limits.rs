//! Limits: each has a name, and can be set in the config file, in the environment and on the command line.

use futures_util::future::join_all;
use ondol_tests::{Frame, Setup, TestResult, TestServer, User, until};

/// Whether a server with this setup accepts a frame of 200 bytes.
async fn lets_200_bytes_through(setup: Setup) -> TestResult<bool> {
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let text = "x".repeat(160);
    ann.say(&text).await?;
    let passed = ann.expect_message(&text).await.is_ok();
    if !passed {
        let mut ben = server.join(room, "ben").await?;
        ben.say(&text).await?;
        ben.expect_close(1009).await?;
    }
    Ok(passed)
}

#[tokio::test]
async fn a_limit_can_be_set_in_the_file_the_environment_and_a_flag() -> TestResult {
    let small = || TestServer::setup().limit("frame_bytes_max", 100);
    assert!(!lets_200_bytes_through(small()).await?);
    assert!(!lets_200_bytes_through(TestServer::setup().env("ONDOL_FRAME_BYTES_MAX", 100)).await?);
    let flag = |setup: Setup, value: &str| setup.flag("--limit").flag(format!("frame_bytes_max={value}"));
    assert!(!lets_200_bytes_through(flag(TestServer::setup(), "100")).await?);

    assert!(lets_200_bytes_through(small().env("ONDOL_FRAME_BYTES_MAX", 1_000)).await?);
    let env_small = TestServer::setup().env("ONDOL_FRAME_BYTES_MAX", 100);
    assert!(lets_200_bytes_through(flag(env_small, "1000")).await?);
    Ok(())
}

#[tokio::test]
async fn the_default_number_of_connections_follows_the_limit_of_open_files() -> TestResult {
    let server = TestServer::setup().open_files(144).start().await?;
    let room = server.create_room("lobby").await?;
    let mut inside = Vec::new();
    for number in 0..64 {
        // The request that created the room may not have closed its connection yet.
        let enter = async || server.open_tab(room, &*format!("u{number}")).await.ok();
        inside.push(until(format!("a place for number {number}"), enter).await?);
    }
    let target = format!("/ws/chat/{room}/chat/?{}", User::named("one too many").query());
    server.knock(&target, &[]).await?.refused()?.expect_detail(503, "unavailable")?;
    inside[0].say("still here").await?;
    inside[0].expect_message("still here").await?;
    Ok(())
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> TestResult {
    let server = TestServer::setup()
        .run_by(&["sh", "-c", "ulimit -H -n 160; ulimit -S -n 90; exec \"$@\"", "sh"])
        .start()
        .await?;
    let room = server.create_room("lobby").await?;
    let mut inside = Vec::new();
    for number in 0..40 {
        inside.push(server.open_tab(room, &*format!("u{number}")).await?);
    }
    inside[0].say("all are here").await?;
    inside[39].expect_message("all are here").await?;
    Ok(())
}

#[tokio::test]
async fn idle_connections_make_room_for_others() -> TestResult {
    let server = TestServer::setup().limit("connections_max", 4).limit("header_ms_max", 1_000).start().await?;
    let room = server.create_room("lobby").await?;
    let idle = join_all((0..4).map(|_| server.raw())).await;
    for socket in idle {
        socket?.expect_end().await?;
    }
    until("a place", async || server.join(room, "ann").await.ok()).await?;
    Ok(())
}

#[tokio::test]
async fn page_sizes_are_limits() -> TestResult {
    let server = TestServer::setup().limit("rooms_page_max", 3).limit("messages_page_max", 2).start().await?;
    for _ in 0..5 {
        server.create_room("lobby").await?;
    }
    server.get("/chat/v1/rooms/?limit=4").await?.expect_field("limit")?;
    assert_eq!(server.get("/chat/v1/rooms/").await?.expect(200)?.as_array().map(Vec::len), Some(3));
    server.get("/chat/v1/room/1/messages/?limit=3").await?.expect_field("limit")?;
    server.get("/chat/v1/room/1/messages/").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_memory_of_a_handler_is_a_limit() -> TestResult {
    let failed = TestServer::setup().limit("handler_memory_bytes_max", 65_536).start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("memory"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_hundred_connections_of_many_users_talk_at_once() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut clients = Vec::new();
    for number in 0..100 {
        clients.push(server.open_tab(room, &*format!("u{number}")).await?);
    }
    let mut last = clients.pop().unwrap();
    last.say("hello, all of you").await?;
    for client in &mut clients {
        client.expect_message("hello, all of you").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_queue_is_reported_to_the_sender_and_leaves_no_gap() -> TestResult {
    let server = TestServer::setup().without_rate_limits().limit("commit_queue_max", 1).start().await?;
    let room = server.create_room("lobby").await?;
    let mut flood = server.raw().await?;
    flood.upgrade(room, "flood").await?;
    let packet: Vec<u8> = (0..500).flat_map(|number| Frame::saying(&format!("n{number}")).bytes()).collect();
    flood.send(packet).await?;

    let (mut stored, mut busy) = (0, 0);
    while stored + busy < 500 {
        let text = flood.expect_text(r#"{"type":""#).await?;
        if text.contains(r#""error_type":"server_error""#) {
            assert!(text.ends_with(r#""code":"busy"}"#), "{text}");
            busy += 1;
        } else if text.contains("chat.message") {
            stored += 1;
            assert!(text.contains(&format!("\"seq\":{stored},")), "{stored} is not in {text}");
        }
    }
    assert!(stored > 0);
    let mut ann = server.join(room, "ann").await?;
    assert_eq!(ann.expect_nothing_before("after").await?["seq"], stored + 1);
    Ok(())
}
