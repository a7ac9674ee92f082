//! Handlers that fail: the caller is told, nothing is left half done, and other members notice nothing.

use futures_util::{StreamExt as _, future::try_join_all, stream::FuturesUnordered};
use ondol_tests::{Client, Setup, TestResult, TestServer, guest, until};
use serde_json::json;

/// A server with the messages handler `name`, and a member of its one room.
async fn with(name: &str) -> TestResult<(TestServer, Client)> {
    within_ms(name, 20_000).await
}

/// The same with a deadline that the handler is to miss. Others have a long one: a busy machine takes its time.
async fn within_ms(name: &str, deadline: u64) -> TestResult<(TestServer, Client)> {
    let setup = TestServer::setup().limit("handler_deadline_ms", deadline);
    let server = setup.handler("messages", guest(name)).start().await?;
    let room = server.create_room("lobby").await?;
    let ann = server.join(room, "ann").await?;
    Ok((server, ann))
}

/// Checks that `text` is answered with a fault every time, and that other messages between and after are delivered.
async fn faulty(server: &TestServer, ann: &mut Client, text: &str) -> TestResult {
    let mut ben = server.join(1, "ben").await?;
    ann.expect_join("ben").await?;
    for seq in 1..=3 {
        ann.say(text).await?;
        let error = ann.expect_error("handler_fault").await?;
        assert_eq!(error["error_type"], "server_error", "{error}");
        let told = ann.expect_nothing_before("all is well").await?;
        assert_eq!(told["seq"], seq, "a number was used up");
        let heard = ben.expect_event("chat.message").await?;
        assert_eq!(heard["seq"], seq, "another member was told");
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_that_spins_is_stopped_at_its_deadline() -> TestResult {
    let (server, mut ann) = within_ms("spinning_messages", 100).await?;
    faulty(&server, &mut ann, "spin").await?;
    server.wait_for_log("handler_deadline_ms").await?;
    Ok(())
}

#[tokio::test]
async fn a_handler_that_allocates_without_end_is_stopped() -> TestResult {
    let (server, mut ann) = with("hungry_messages").await?;
    faulty(&server, &mut ann, "hungry").await?;
    server.wait_for_log("handler_memory_bytes_max").await?;
    Ok(())
}

#[tokio::test]
async fn a_handler_that_recurses_without_end_is_stopped() -> TestResult {
    let (server, mut ann) = with("recursing_messages").await?;
    faulty(&server, &mut ann, "deep").await
}

#[tokio::test]
async fn a_handler_that_returns_too_much_is_stopped() -> TestResult {
    let (server, mut ann) = with("huge_messages").await?;
    faulty(&server, &mut ann, "huge").await
}

#[tokio::test]
async fn a_handler_cannot_sleep() -> TestResult {
    let (server, mut ann) = with("sleeping_messages").await?;
    faulty(&server, &mut ann, "sleep").await
}

#[tokio::test]
async fn a_handler_sees_no_files_variables_or_arguments() -> TestResult {
    let (_server, mut ann) = with("sleeping_messages").await?;
    ann.say("snoop").await?;
    let found = ann.next_message().await?;
    let found = found["message"].as_str().unwrap_or_default();
    assert!(found.starts_with("file: refused") && found.ends_with("variables: 0; arguments: 0"), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_trap_in_events_stores_nothing_and_leaves_no_gap() -> TestResult {
    let server = TestServer::setup().handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for seq in 1..=3 {
        ann.say("trap").await?;
        ann.expect_error("handler_fault").await?;
        assert_eq!(ann.expect_nothing_before("fine").await?["seq"], seq);
    }
    let stored = server.get("/chat/v1/room/1/messages/").await?.json();
    assert_eq!(stored.as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn a_trap_is_reported_to_a_post() -> TestResult {
    let server = TestServer::setup().handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let body = json!({"room": room, "message": "trap"}).to_string();
    let answer = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
    answer.expect_detail(503, "handler_fault")?;
    Ok(())
}

/// A server with a messages handler that spins on request, and with the longest possible deadline.
async fn spinning() -> TestResult<TestServer> {
    let setup = TestServer::setup().handler("messages", guest("spinning_messages"));
    setup.limit("handler_deadline_ms", 60_000).start().await
}

/// Sends twenty messages in a room of its own, and receives each.
async fn chats(server: &TestServer) -> TestResult {
    let room = server.create_room("quiet").await?;
    let mut ben = server.join(room, "ben").await?;
    for number in 0..20 {
        ben.say(&format!("{number}")).await?;
        ben.expect_message(&format!("{number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_room_chats_while_a_handler_spins() -> TestResult {
    let server = spinning().await?;
    let room = server.create_room("loud").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("spin").await?;
    tokio::select! {
        biased;
        done = chats(&server) => done,
        error = ann.expect_error("handler_fault") => panic!("the other room waited for the deadline: {error:?}"),
    }
}

#[tokio::test]
async fn another_room_chats_while_the_maximum_of_calls_spin() -> TestResult {
    let server = spinning().await?;
    let mut spinners = Vec::new();
    for number in 0..12 {
        let room = server.create_room(&format!("room {number}")).await?;
        spinners.push(server.join(room, &*format!("spinner{number}")).await?);
    }
    for spinner in &mut spinners {
        spinner.say("spin").await?;
    }
    // Four calls may spin at once: the others are stopped early, and not by the deadline.
    let mut stopped: FuturesUnordered<_> =
        spinners.iter_mut().map(|spinner| spinner.expect_error("handler_fault")).collect();
    for _ in 0..8 {
        stopped.next().await.expect("eight are stopped")?;
    }
    tokio::select! {
        biased;
        done = chats(&server) => done,
        error = stopped.next() => panic!("the other room waited for a deadline: {error:?}"),
    }
}

#[tokio::test]
async fn every_one_of_many_spinning_calls_is_stopped() -> TestResult {
    let server = TestServer::setup().handler("messages", guest("spinning_messages")).start().await?;
    let mut spinners = Vec::new();
    for number in 0..12 {
        let room = server.create_room(&format!("room {number}")).await?;
        spinners.push(server.join(room, &*format!("spinner{number}")).await?);
    }
    let spins = spinners.iter_mut().map(async |spinner| {
        for _ in 0..3 {
            spinner.say("spin").await?;
            spinner.expect_error("handler_fault").await?;
        }
        spinner.expect_nothing_before("done").await
    });
    try_join_all(spins).await?;
    Ok(())
}

/// A server with a messages handler that counts the calls of its instance, and a member of its one room.
async fn counting(setup: Setup) -> TestResult<(TestServer, Client)> {
    let server = setup.handler("messages", guest("counting_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let ann = server.join(room, "ann").await?;
    Ok((server, ann))
}

#[tokio::test]
async fn an_instance_serves_many_calls() -> TestResult {
    let (_server, mut ann) = counting(TestServer::setup()).await?;
    until("the second call of an instance", async || {
        ann.say("how often?").await.ok()?;
        (ann.next_message().await.ok()?["message"] == "2").then_some(())
    })
    .await
}

#[tokio::test]
async fn an_instance_serves_no_more_calls_than_its_limit() -> TestResult {
    for limit in [1, 3] {
        let setup = TestServer::setup().limit("handler_calls_per_instance_max", limit);
        let (_server, mut ann) = counting(setup).await?;
        for _ in 0..20 {
            ann.say("how often?").await?;
            let heard = ann.next_message().await?["message"].as_str().unwrap().parse::<u64>()?;
            assert!((1..=limit).contains(&heard), "call {heard} of {limit}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_swap_repairs_a_failing_handler() -> TestResult {
    let (server, mut ann) = within_ms("spinning_messages", 100).await?;
    ann.say("spin").await?;
    ann.expect_error("handler_fault").await?;
    server.deploy("messages", ondol_tests::standard("messages")).await?;
    ann.expect_nothing_before("spin").await?;
    Ok(())
}

#[tokio::test]
async fn a_message_that_met_a_fault_can_be_retried_under_its_id() -> TestResult {
    let server = TestServer::setup().handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let frame = json!({"type": "chat.message", "message": "trap", "client_id": "c-1"}).to_string();
    ann.send(frame.clone()).await?;
    ann.expect_error("handler_fault").await?;
    server.deploy("events", ondol_tests::standard("events")).await?;
    ann.send(frame).await?;
    ann.expect_message("trap").await?;
    Ok(())
}
