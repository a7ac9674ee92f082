//! How a failing handler is reported to the operator: in the log, in the status, and by readiness.

use ondol_tests::{Client, TestResult, TestServer, guest, ondol, standard, until};
use serde_json::{Value, json};

/// A server with the events handler `name` and the operator's API, and a member of its one room.
async fn with(name: &str) -> TestResult<(TestServer, Client)> {
    let server = TestServer::setup().admin().handler("events", guest(name)).start().await?;
    let room = server.create_room("lobby").await?;
    let ann = server.join(room, "ann").await?;
    Ok((server, ann))
}

async fn status(server: &TestServer) -> TestResult<Value> {
    server.admin("GET", "/v1/status")?.send().await?.expect(200)
}

/// The faults of the events handler in the status.
async fn faults(server: &TestServer) -> TestResult<Value> {
    Ok(status(server).await?["handlers"]["events"]["faults"].clone())
}

/// Makes the trapping handler fail so many times.
async fn trap(ann: &mut Client, times: usize) -> TestResult {
    for _ in 0..times {
        ann.say("trap").await?;
        ann.expect_error("handler_fault").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_message_is_logged_and_not_sent() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    ann.say("trap").await?;
    let error = ann.expect_error("handler_fault").await?;
    assert!(!error.to_string().contains("asked for"), "{error}");
    let line = server.wait_for_log("the trap that was asked for").await?;
    assert!(line.contains("events"), "{line}");
    Ok(())
}

#[tokio::test]
async fn the_output_of_a_handler_is_logged_under_its_name() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    ann.say("print").await?;
    ann.expect_message("print").await?;
    for line in ["a line for stdout", "a line for stderr"] {
        let logged = server.wait_for_log(line).await?;
        assert!(logged.contains("events") && logged.contains("version="), "{logged}");
    }
    Ok(())
}

#[tokio::test]
async fn the_status_describes_a_fault() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    assert_eq!(faults(&server).await?, json!({"count": 0, "last": []}));
    ann.say("print and trap").await?;
    let error = ann.expect_error("handler_fault").await?;

    let events = status(&server).await?["handlers"]["events"].clone();
    let fault = &events["faults"]["last"][0];
    assert_eq!((&fault["request_id"], &fault["version"]), (&error["request_id"], &events["version"]));
    assert_eq!((&fault["function"], &fault["room"]), (&json!("events.message"), &json!(1)));
    let cause = fault["cause"].as_str().unwrap();
    assert!(cause.contains("it panicked at ") && cause.contains(": the trap that was asked for"), "{fault}");
    assert!(fault["backtrace"].to_string().contains("chat/events@0.2.0#message"), "{fault}");
    assert_eq!(fault["printed"], json!(["a line for stdout", "a line for stderr"]));
    assert_eq!(fault["outcome"], "its sender gets an error");
    Ok(())
}

#[tokio::test]
async fn the_status_contains_no_text_of_a_message() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    ann.say("a trap and a secret").await?;
    ann.expect_error("handler_fault").await?;
    let status = status(&server).await?;
    assert_eq!(status["handlers"]["events"]["faults"]["count"], 1);
    assert!(!status.to_string().contains("secret"), "{status}");
    Ok(())
}

#[tokio::test]
async fn the_status_counts_all_faults_and_shows_the_last_eight() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    trap(&mut ann, 11).await?;
    let faults = faults(&server).await?;
    assert_eq!((&faults["count"], faults["last"].as_array().map(Vec::len)), (&json!(11), Some(8)));
    Ok(())
}

#[tokio::test]
async fn the_status_still_shows_the_faults_of_a_handler_that_was_replaced() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    trap(&mut ann, 1).await?;
    let before = faults(&server).await?;
    server.deploy("events", standard("events")).await?;
    ann.say("no trap").await?;
    ann.expect_message("no trap").await?;
    assert_eq!(faults(&server).await?, before);
    Ok(())
}

#[tokio::test]
async fn the_status_command_shows_the_last_faults() -> TestResult {
    let (server, mut ann) = with("trapping_events").await?;
    trap(&mut ann, 2).await?;
    let faults = faults(&server).await?;
    let request = faults["last"][0]["request_id"].as_str().unwrap();
    let shown = ondol(&["handlers", "status", "--admin", server.admin_address()?])?;
    shown.expect_parts(0, &["faults since the start: 2", "the trap that was asked for", "events.message of ", request])
}

/// A server whose events handler fails at every message from now on.
async fn soured() -> TestResult<(TestServer, Client)> {
    let (server, mut ann) = with("hostile_events").await?;
    server.get("/readyz").await?.expect(200)?;
    ann.say("sour").await?;
    ann.expect_message("sour").await?;
    until("a 503", async || (server.get("/readyz").await.ok()?.status == 503).then_some(())).await?;
    Ok((server, ann))
}

#[tokio::test]
async fn a_handler_that_fails_at_every_message_makes_the_server_not_ready() -> TestResult {
    let (server, _ann) = soured().await?;
    let answer = server.get("/readyz").await?;
    assert_eq!(answer.expect_detail(503, "not_ready")?, "Not ready: events is failing");
    assert_eq!(server.admin("GET", "/readyz")?.send().await?.status, 503);
    server.get("/healthz").await?.expect(200)?;
    let status = status(&server).await?;
    assert_eq!(status["ready"], false);
    let fault = status["fault"].as_str().unwrap();
    assert!(fault.contains("events.message") && fault.contains("a payload is one JSON value"), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_works_makes_the_server_ready_again() -> TestResult {
    let (server, mut ann) = soured().await?;
    server.deploy("events", standard("events")).await?;
    until("a 200", async || (server.get("/readyz").await.ok()?.status == 200).then_some(())).await?;
    ann.expect_nothing_before("all is well").await?;
    Ok(())
}
