//! The connections that a gateway keeps to the server, between one request and the next.

use std::{collections::HashSet, time::Duration};

use ondol_tests::{
    TestResult, TestServer, User,
    gateway::{Recorder, Timing},
};
use serde_json::json;

use super::Case;

pub(super) async fn connections_to_the_server_are_kept(case: &Case) -> TestResult {
    let recorder = Recorder::start().await?;
    let Some(gateway) = case.kind.start(case.story, recorder.address(), Timing::default()).await? else {
        return Ok(());
    };
    for _ in 0..20 {
        assert_eq!(gateway.request("GET", "/chat/v1/rooms/").send().await?.status, 200);
    }
    let connections: HashSet<_> = recorder.heads().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(recorder.heads().len(), 20);
    assert!(connections.len() < 20, "{} connections for 20 requests", connections.len());
    for (_, head) in recorder.heads() {
        let head = head.to_lowercase();
        assert!(head.contains(" http/1.1\r\n") && !head.contains("connection: close"), "{head}");
    }
    Ok(())
}

pub(super) async fn no_post_is_lost_at_the_edge_of_the_idle_time(case: &Case) -> TestResult {
    let timing = Timing { pool_idle: Duration::from_millis(50), ..Timing::default() };
    let Some((server, gateway)) = case.start_timed(TestServer::setup(), timing).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let ann = User::named("ann");
    let mut sent = Vec::new();
    for number in 0..120_u32 {
        let text = number.to_string();
        let body = json!({"room": room, "message": text}).to_string();
        let post = gateway.request_of(&ann, "POST", "/chat/v1/message/")?.json(body).send().await?;
        assert_eq!(post.expect(201)?["message"], text.as_str());
        sent.push(text);
        // The pauses are the load: the gateway is about to close the connection, has just closed it, or does so now.
        tokio::time::sleep(timing.pool_idle * (80 + number % 40) / 100).await;
    }
    let stored = gateway.request("GET", &format!("/chat/v1/room/{room}/messages/?after=0&limit=200")).send().await?;
    let stored = stored.expect(200)?;
    let stored: Vec<_> = stored.as_array().expect("an array").iter().filter_map(|it| it["message"].as_str()).collect();
    assert_eq!(stored, sent);
    Ok(())
}
