//! The connections that a gateway keeps to the server, between one request and the next.

use std::{collections::HashSet, time::Duration};

use anyhow::Context;
use ondol_tests::{
    TestResult, TestServer, User,
    gateway::{Gateway, Timing},
};
use serde_json::json;

use super::Case;

pub(super) async fn connections_to_the_server_are_kept(case: &Case) -> TestResult {
    let Some((recorder, gateway)) = case.start_recorder().await? else { return Ok(()) };
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
    let statuses = post_around(&server, &gateway, timing.pool_idle).await?;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    Ok(())
}

/// The mistake that the shipped times avoid: the server closes first. What a `POST` meets then is an error, but never one
/// that hides a stored message, so the client may send it again.
pub(super) async fn a_post_that_meets_a_closing_connection_is_not_stored(case: &Case) -> TestResult {
    let idle = Duration::from_millis(20);
    let Some((server, gateway)) = case.start(TestServer::setup().limit("idle_ms_max", 20)).await? else {
        return Ok(());
    };
    let statuses = post_around(&server, &gateway, idle).await?;
    assert!(statuses.iter().all(|status| matches!(status, 201 | 500..=504)), "{statuses:?}");
    Ok(())
}

/// Posts messages with pauses around `idle`, and returns the statuses. Holds that those with 201 are stored, once and in
/// their order, and no others.
async fn post_around(server: &TestServer, gateway: &Gateway, idle: Duration) -> TestResult<Vec<u16>> {
    let room = server.create_room("lobby").await?;
    let ann = User::named("ann");
    let (mut statuses, mut sent) = (Vec::new(), Vec::new());
    for number in 0..120_u32 {
        let text = number.to_string();
        let body = json!({"room": room, "message": text}).to_string();
        let answer = gateway.request_of(&ann, "POST", "/chat/v1/message/")?.json(body).send().await?;
        statuses.push(answer.status);
        if answer.status == 201 {
            sent.push(text);
        }
        // The pauses are the load: the connection is about to be closed, has just been closed, or is closed right now.
        tokio::time::sleep(idle * (85 + number % 40) / 100).await;
    }
    let stored = server.get(&format!("/chat/v1/room/{room}/messages/?after=0&limit=200")).await?.expect(200)?;
    let stored: Vec<_> = stored.as_array().context("no array")?.iter().map(|it| it["message"].as_str()).collect();
    assert_eq!(stored, sent.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
    Ok(statuses)
}
