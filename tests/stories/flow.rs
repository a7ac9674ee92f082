//! Floods: the sender is slowed down, members that read receive everything, and stalled members are closed.

use std::pin::Pin;

use ondol_tests::{Client, Flood, NEVER_MS, RawSocket, TestResult, TestServer};

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
    let mut floods = Vec::new();
    for number in 0..flooders {
        floods.push(Flood::start(server.address(), room, &format!("flooder-{number}"), each, text).await?);
    }
    let mut heard: Pin<Box<dyn Future<Output = TestResult>>> = Box::pin(async {
        for member in members {
            member.await??;
        }
        Ok(())
    });
    for flood in &mut floods {
        heard = Box::pin(flood.beside(heard));
    }
    heard.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_reaches_all_members_in_order_and_closes_none() -> TestResult {
    a_flood_is_heard_by_all(1, 50_000, "bla").await
}

/// Before a room knows the number of its first message, all that comes waits.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_small_messages_into_a_new_room_are_slowed_and_not_refused() -> TestResult {
    a_flood_is_heard_by_all(8, 1_000, "bla").await
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
    let mut flood = Flood::start(server.address(), room, "speaker", 8_000, &"x".repeat(2_000)).await?;
    flood.beside(async { listener.await? }).await?;
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
    let _flood = Flood::start(server.address(), room, "flooder", 100_000, &"x".repeat(2_000)).await?;
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
