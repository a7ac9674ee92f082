//! Peers that are silent or do not read: they are closed, and other members do not wait for them.

use ondol_tests::{Frame, Heard, RawSocket, TestResult, TestServer};

#[tokio::test]
async fn a_client_that_answers_pings_stays_connected() -> TestResult {
    let server = TestServer::setup().limit("ping_interval_ms", 20).limit("pong_ms_max", 3_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    // More pings than fit into pong_ms_max.
    for _ in 0..160 {
        assert_eq!(ann.next().await?, Heard::Ping);
    }
    ann.say("still here").await?;
    ann.expect_message("still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_closed() -> TestResult {
    let server = TestServer::setup().limit("ping_interval_ms", 100).limit("pong_ms_max", 100).start().await?;
    let room = server.create_room("lobby").await?;
    let mut silent = server.raw().await?;
    silent.upgrade(room, "silent").await?;
    silent.expect_text("chat.user.join").await?;
    let ping = silent.read_frame().await?.expect("the connection ended");
    assert_eq!(ping.opcode, Frame::PING);
    let reason = silent.expect_close(1008).await?;
    assert!(reason.contains("pong_ms_max"), "{reason}");
    silent.expect_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_peer_that_stops_answering_leaves_the_room() -> TestResult {
    let server = TestServer::setup().limit("ping_interval_ms", 100).limit("pong_ms_max", 3_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut silent = server.raw().await?;
    silent.upgrade(room, "silent").await?;
    ann.expect_join("silent").await?;
    ann.expect_leave("silent").await
}

#[tokio::test]
async fn a_peer_that_is_too_slow_is_closed_with_1008_and_a_reason() -> TestResult {
    let server = TestServer::setup().without_rate_limits().limit("stall_ms_max", 2_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut slow = RawSocket::connect_narrow(server.address(), 4_096).await?;
    slow.upgrade(room, "slow").await?;
    slow.expect_text("chat.user.join").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;

    let flood = "😀".repeat(2_000);
    let (mut said, mut left) = (0, false);
    // Until its leave is announced: the system's buffers hold any amount.
    while !left {
        assert!(said < 5_000, "no member was closed");
        for _ in 0..20 {
            ann.say(&flood).await?;
        }
        for seq in said + 1..=said + 20 {
            assert_eq!(ben.next_message().await?["seq"], seq);
            let mut heard = ann.next_json().await?;
            if heard["type"] == "chat.user.leave" {
                left = true;
                heard = ann.next_json().await?;
            }
            assert_eq!(heard["seq"], seq);
        }
        said += 20;
    }
    let reason = slow.expect_close(1008).await?;
    assert!(!reason.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_client_that_never_reads_is_still_heard() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut chatty = server.raw().await?;
    chatty.upgrade(room, "chatty").await?;
    for number in 1..=200 {
        chatty.send_frame(&Frame::saying(&format!("n{number}"))).await?;
    }
    for number in 1..=200 {
        ann.expect_message(&format!("n{number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_host_answers_heartbeats_of_clients_where_the_operator_says_so() -> TestResult {
    for heartbeats in [true, false] {
        let server = TestServer::setup().config(&format!("heartbeats = {heartbeats}")).start().await?;
        let room = server.create_room("lobby").await?;
        let mut client = server.join(room, "ann").await?;
        for (ping, pong) in [("ping", "pong"), (r#"{"type":"ping"}"#, r#"{"type":"pong"}"#)] {
            client.send(ping).await?;
            if heartbeats {
                client.expect_exactly(pong).await?;
            } else {
                client.expect_event("error").await?;
            }
        }
        client.send(r#"{"type":"ping","n":1}"#).await?;
        client.expect_error("unknown_type").await?;
    }
    Ok(())
}
