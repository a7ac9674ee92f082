//! Floods: the sender is slowed down, members that read receive everything, and stalled members are closed.

use ondol_tests::{Client, Frame, NEVER_MS, RawSocket, TestResult, TestServer};
use tokio::io::AsyncWriteExt;

/// Floods a room with `count` messages as fast as the server reads them, and reads everything that comes back.
async fn floods(server: &TestServer, room: u64, name: &str, count: usize, text: &str) -> TestResult {
    let mut socket = server.raw().await?;
    socket.upgrade(room, name).await?;
    let (mut reading, mut writing) = socket.into_stream().into_split();
    tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    let frames = Frame::saying(text).bytes().repeat(50);
    tokio::spawn(async move {
        for _ in 0..count / 50 {
            writing.write_all(&frames).await?;
        }
        // The socket stays open until the story ends.
        std::future::pending::<()>().await;
        drop(writing);
        std::io::Result::Ok(())
    });
    Ok(())
}

/// Reads `count` messages, in order.
async fn hears(mut member: Client, count: u64) -> TestResult {
    for seq in 1..=count {
        assert_eq!(member.next_message().await?["seq"], seq, "{}", member.name);
    }
    Ok(())
}

/// Five members read while `flooders` send `each` messages as fast as they can.
async fn a_flood_is_heard_by_all(flooders: usize, each: usize, text: &str) -> TestResult {
    let server = TestServer::setup().without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut members = Vec::new();
    for number in 0..5 {
        let member = server.open_tab(room, &*format!("member-{number}")).await?;
        members.push(tokio::spawn(hears(member, (flooders * each) as u64)));
    }
    for number in 0..flooders {
        floods(&server, room, &format!("flooder-{number}"), each, text).await?;
    }
    for member in members {
        member.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_reaches_all_members_in_order_and_closes_none() -> TestResult {
    a_flood_is_heard_by_all(1, 50_000, "bla").await
}

#[tokio::test(flavor = "multi_thread")]
async fn four_floods_of_long_messages_close_no_member_that_reads() -> TestResult {
    a_flood_is_heard_by_all(4, 2_000, &"x".repeat(2_000)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_member_is_closed_and_the_speaker_continues() -> TestResult {
    let server = TestServer::setup().without_rate_limits().limit("stall_ms_max", 3_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut idle = RawSocket::connect_narrow(server.address(), 4_096).await?;
    idle.upgrade(room, "idle").await?;
    idle.expect_text("chat.user.join").await?;
    let listener = server.join(room, "listener").await?;
    let listener = tokio::spawn(hears(listener, 8_000));
    floods(&server, room, "speaker", 8_000, &"x".repeat(2_000)).await?;
    listener.await??;
    let reason = idle.expect_close(1008).await?;
    assert!(reason.contains("stall_ms_max"), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_members_can_speak_while_a_flood_waits_for_a_stalled_member() -> TestResult {
    let setup = TestServer::setup().limit("stall_ms_max", NEVER_MS).limit("ping_interval_ms", NEVER_MS);
    let server = setup.without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut idle = RawSocket::connect_narrow(server.address(), 4_096).await?;
    idle.upgrade(room, "idle").await?;
    idle.expect_text("chat.user.join").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    floods(&server, room, "flooder", 100_000, &"x".repeat(2_000)).await?;
    ann.expect_join("ben").await?;
    ann.expect_join("flooder").await?;
    ben.expect_join("flooder").await?;
    // Each still receives the messages of the other, however much the flooder has ready.
    for number in 0..20 {
        let text = format!("number {number}");
        ann.say(&text).await?;
        while ben.next_message().await?["message"] != text.as_str() {}
        ben.say(&text).await?;
        while ann.next_message().await?["message"] != text.as_str() {}
        while ann.next_message().await?["message"] != text.as_str() {}
    }
    Ok(())
}
