//! Rollouts: probation with its automatic rollback, a canary in some rooms, a shadow that answers copies of calls.

use futures_util::future::join_all;
use ondol_tests::{Client, TestResult, TestServer, command::Output, guest, handlers, ondol, until};
use serde_json::{Value, json};

pub(super) async fn operated() -> TestResult<TestServer> {
    TestServer::setup().admin().start().await
}

pub(super) async fn asked(server: &TestServer, target: &str) -> TestResult<Value> {
    server.admin("GET", target)?.send().await?.expect(200)
}

pub(super) async fn member(server: &TestServer) -> TestResult<Client> {
    let room = server.create_room("lobby").await?;
    server.join(room, "ann").await
}

/// The active version of a handler.
pub(super) async fn active(server: &TestServer, handler: &str) -> TestResult<String> {
    let status = asked(server, "/v1/status").await?;
    Ok(status["handlers"][handler]["version"].as_str().unwrap().to_owned())
}

/// Deploys a component as a canary to this percentage of rooms.
async fn canary(server: &TestServer, handler: &str, file: std::path::PathBuf, percent: u8) -> TestResult<Value> {
    let component = data_encoding::BASE64.encode(&handlers::read(&file)?);
    let body = json!({ handler: { "component": component }, "percent": percent });
    server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await?.expect(200)
}

async fn shadow(server: &TestServer, handler: &str, file: std::path::PathBuf) -> TestResult<Value> {
    let component = data_encoding::BASE64.encode(&handlers::read(&file)?);
    let body = json!({ handler: { "component": component } });
    server.admin("POST", "/v1/shadow")?.json(body.to_string()).send().await?.expect(200)
}

/// Waits until a shadow has been asked so many calls.
async fn shadowed(server: &TestServer, calls: u64) -> TestResult<Value> {
    until(format!("{calls} calls of the shadow"), async || {
        let row = asked(server, "/v1/shadow").await.ok()?;
        (row["calls"].as_u64()? + row["dropped"].as_u64()? >= calls).then_some(row)
    })
    .await
}

/// Runs `ondol handlers` with these words on this server.
pub(super) fn command(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    let address = server.admin_address()?.to_owned();
    ondol(&["handlers"].into_iter().chain(words.iter().copied()).chain(["--admin", &address]).collect::<Vec<_>>())
}

/// Deploys the version that fails at every twentieth message, and sends so many messages. Returns the version.
async fn say_to_twentieth(server: &TestServer, ann: &mut Client, messages: u64) -> TestResult<String> {
    let deployed = server.upload("events", guest("twentieth_events")).await?.expect(200)?;
    for number in 1..=messages {
        ann.say(&format!("secret {number}")).await?;
        let heard = ann.expect_message(&format!("secret {number}")).await?;
        assert_eq!(heard["seq"], number);
    }
    Ok(deployed["versions"]["events"].as_str().unwrap().to_owned())
}

/// A server whose new events handler has failed its probation, a member of its room whose messages were all delivered,
/// and the version that failed.
pub(super) async fn failed_probation() -> TestResult<(TestServer, Client, String)> {
    let server = TestServer::setup().admin().limit("probation_calls_min", 1_000).start().await?;
    let mut ann = member(&server).await?;
    let bad = say_to_twentieth(&server, &mut ann, 60).await?;
    until("the mark", async || {
        asked(&server, "/v1/status").await.is_ok_and(|status| status["bad"] != json!({})).then_some(())
    })
    .await?;
    server.wait_for_log("trigger=\"probation\"").await?;
    Ok((server, ann, bad))
}

#[tokio::test]
async fn a_version_that_fails_its_probation_is_rolled_back() -> TestResult {
    let (server, mut ann, bad) = failed_probation().await?;
    assert_ne!(active(&server, "events").await?, bad);
    for number in 61..=100 {
        ann.say(&format!("secret {number}")).await?;
        ann.expect_message(&format!("secret {number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_history_records_a_failed_probation() -> TestResult {
    let (server, _ann, bad) = failed_probation().await?;
    let history = asked(&server, "/v1/releases").await?;
    let (back, left) = (&history[0], &history[1]);
    assert_eq!([&back["who"], &back["how"], &back["back_to"]], [&json!("probation"), &json!("probation"), &json!(1)]);
    assert_eq!((&left["outcome"], &left["versions"]["events"]), (&json!("rolled_back"), &json!(bad)));
    Ok(())
}

#[tokio::test]
async fn the_log_of_a_failed_probation_contains_no_text_of_a_message() -> TestResult {
    let (server, _ann, _) = failed_probation().await?;
    let log = server.log().since(0).join("\n");
    assert_eq!(log.matches("the baseline answered instead").count(), 3, "{log}");
    assert!(!log.contains("secret"), "a text is in the log");
    Ok(())
}

#[tokio::test]
async fn the_status_shows_the_evidence_against_a_blocked_version() -> TestResult {
    let (server, _ann, bad) = failed_probation().await?;
    let status = asked(&server, "/v1/status").await?;
    let evidence = status["bad"][&bad].as_str().unwrap();
    for part in ["3 of", "probation_faults_max = 3", "events.message", "one of twenty", "a last line", "secret 20"] {
        assert!(evidence.contains(part), "no {part:?} in {evidence}");
    }
    command(&server, &["status"])?.expect_parts(
        0,
        &["blocked version ", "deployable only with --force or after `forgive`", "probation_faults_max = 3"],
    )
}

#[tokio::test]
async fn no_member_receives_an_error_while_a_bad_version_is_rolled_back() -> TestResult {
    let server = TestServer::setup().admin().without_rate_limits().start().await?;
    let mut rooms = Vec::new();
    for _ in 0..8 {
        rooms.push(member(&server).await?);
    }
    let talk = join_all(rooms.iter_mut().map(async |room| {
        for number in 1..=400 {
            room.say(&format!("{number}")).await?;
            assert_eq!(room.expect_message(&format!("{number}")).await?["seq"], number);
        }
        TestResult::Ok(())
    }));
    let deploy = async { server.upload("events", guest("twentieth_events")).await?.expect(200) };
    let (talked, deployed) = tokio::join!(talk, deploy);
    talked.into_iter().collect::<TestResult<Vec<_>>>()?;
    deployed?;
    server.wait_for_log("trigger=\"probation\"").await?;
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 3);
    Ok(())
}

#[tokio::test]
async fn a_blocked_version_is_rejected_also_after_a_restart() -> TestResult {
    let (mut server, _ann, _) = failed_probation().await?;
    for _ in 0..2 {
        let detail = server.upload("events", guest("twentieth_events")).await?;
        let detail = detail.expect_detail(409, "marked_bad")?;
        assert!(detail.contains("one of twenty") && !detail.contains("secret"), "{detail}");
        server.restart().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_forced_version_has_no_probation() -> TestResult {
    let (server, mut ann, _) = failed_probation().await?;
    let file = format!("events={}", guest("twentieth_events").display());
    command(&server, &["deploy", &file])?.expect_parts(1, &["is blocked"])?;
    command(&server, &["deploy", &file, "--force"])?.expect_parts(0, &["is active"])?;
    for _ in 0..5 {
        ann.say("20").await?;
        ann.expect_error("handler_fault").await?;
    }
    let status = asked(&server, "/v1/status").await?;
    assert_eq!((&status["bad"], &status["probation"]), (&json!({}), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_percentage_of_faults_fails_a_probation_once_there_are_enough_calls() -> TestResult {
    let server = TestServer::setup()
        .admin()
        .limit("probation_faults_max", 1_000)
        .limit("probation_calls_min", 30)
        .start()
        .await?;
    let mut ann = member(&server).await?;
    say_to_twentieth(&server, &mut ann, 40).await?;
    let line = server.wait_for_log("failed its probation").await?;
    assert!(line.contains("probation_fault_percent_max = 1"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_version_that_spins_is_rolled_back_after_three_deadlines() -> TestResult {
    let server = operated().await?;
    let mut ann = member(&server).await?;
    server.upload("messages", guest("spinning_messages")).await?.expect(200)?;
    for number in 1..=4 {
        ann.say(&format!("spin {number}")).await?;
        ann.expect_message(&format!("spin {number}")).await?;
    }
    let line = server.wait_for_log("failed its probation").await?;
    assert!(line.contains("handler_deadline_ms"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_fault_that_the_baseline_shares_does_not_count() -> TestResult {
    let server = TestServer::setup().admin().handler("events", guest("trapping_events")).start().await?;
    let mut ann = member(&server).await?;
    let body = json!({ "a": "setting" }).to_string();
    server.admin("PUT", "/v1/handlers/events/settings")?.json(body).send().await?.expect(200)?;
    for _ in 0..5 {
        ann.say("trap").await?;
        ann.expect_error("handler_fault").await?;
    }
    let probation = asked(&server, "/v1/status").await?["probation"].clone();
    assert_eq!((&probation["faults"], &probation["back_to"]), (&json!(0), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn a_good_version_passes_its_probation() -> TestResult {
    let server = TestServer::setup().admin().limit("probation_ms", 300).start().await?;
    let mut ann = member(&server).await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    server.wait_for_log("has passed its probation").await?;
    assert_eq!(asked(&server, "/v1/status").await?["probation"], Value::Null);
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    Ok(())
}

/// What each of twenty rooms receives for "hi".
async fn hears(rooms: &mut [Client]) -> TestResult<Vec<String>> {
    let mut heard = Vec::new();
    for room in rooms {
        room.say("hi").await?;
        heard.push(room.next_message().await?["message"].as_str().unwrap().to_owned());
    }
    Ok(heard)
}

async fn twenty_rooms(server: &TestServer) -> TestResult<Vec<Client>> {
    let mut rooms = Vec::new();
    for number in 0..20 {
        rooms.push(member(server).await.map_err(|error| error.context(format!("room {number}")))?);
    }
    Ok(rooms)
}

#[tokio::test]
async fn a_canary_answers_only_in_its_rooms_until_it_is_promoted() -> TestResult {
    let server = operated().await?;
    let mut rooms = twenty_rooms(&server).await?;
    canary(&server, "events", guest("shouting_events"), 50).await?;
    let first = hears(&mut rooms).await?;
    let shouting = first.iter().filter(|heard| *heard == "HI").count();
    assert!((1..20).contains(&shouting), "{shouting} of 20");
    for _ in 0..3 {
        assert_eq!(hears(&mut rooms).await?, first, "a room changed sides");
    }
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 1);
    command(&server, &["canary", "status"])?.expect_parts(0, &["canary in 50 %", "events ", "0 faults"])?;
    command(&server, &["canary", "promote"])?.expect_parts(0, &["release 2 is active"])?;
    assert!(hears(&mut rooms).await?.iter().all(|heard| heard == "HI"));
    server.admin("GET", "/v1/canary")?.send().await?.expect_detail(404, "not_found")?;
    command(&server, &["canary", "promote"])?.expect_parts(1, &["no canary"])
}

#[tokio::test]
async fn a_dropped_canary_leaves_no_release() -> TestResult {
    let server = operated().await?;
    let mut rooms = twenty_rooms(&server).await?;
    let file = format!("events={}", guest("shouting_events").display());
    command(&server, &["deploy", &file, "--percent", "90"])?.expect_parts(0, &["canary in 90 %"])?;
    assert!(hears(&mut rooms).await?.contains(&"HI".to_owned()));
    command(&server, &["canary", "drop"])?.expect(0)?;
    assert!(hears(&mut rooms).await?.iter().all(|heard| heard == "hi"));
    assert_eq!(asked(&server, "/v1/releases").await?.as_array().unwrap().len(), 1);
    command(&server, &["deploy", &file, "--percent", "100"])?.expect_parts(2, &["100"])
}

#[tokio::test]
async fn faults_end_a_canary_and_no_sender_receives_an_error() -> TestResult {
    let server = operated().await?;
    let mut rooms = twenty_rooms(&server).await?;
    let row = canary(&server, "events", guest("twentieth_events"), 80).await?;
    for room in &mut rooms {
        room.say("20").await?;
        room.expect_message("20").await?;
    }
    server.wait_for_log("the canary failed its probation").await?;
    let status = until("the mark", async || {
        let status = asked(&server, "/v1/status").await.ok()?;
        (status["bad"] != json!({})).then_some(status)
    });
    let status = status.await?;
    assert_eq!((&status["canary"], &status["release"]["release"]), (&Value::Null, &json!(1)));
    assert!(status["bad"].get(row["versions"]["events"].as_str().unwrap()).is_some(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_shadow_answers_copies_of_calls_unseen() -> TestResult {
    let server = operated().await?;
    let mut ann = member(&server).await?;
    shadow(&server, "events", guest("shouting_events")).await?;
    for _ in 0..10 {
        ann.say("hi").await?;
        ann.expect_message("hi").await?;
    }
    let row = shadowed(&server, 10).await?;
    assert_eq!((&row["differences"], &row["faults"], &row["dropped"]), (&json!(10), &json!(0), &json!(0)));
    let difference = &row["first_differences"][0];
    assert_eq!(difference["function"], "events.message");
    assert!(difference["active"].as_str().unwrap().contains("\"hi\""), "{difference}");
    assert!(difference["shadow"].as_str().unwrap().contains("\"HI\""), "{difference}");
    assert!(row["active"]["mean_us"].as_f64().unwrap() > 0.0 && row["shadow"]["p99_us"].as_f64().unwrap() > 0.0);
    command(&server, &["shadow", "status"])?.expect_parts(0, &["10 calls", "10 answered differently", "µs"])?;
    command(&server, &["status"])?.expect_parts(0, &["shadow since"])?;
    command(&server, &["shadow", "stop"])?.expect_parts(0, &["shadow ended", "10 calls"])?;
    command(&server, &["shadow", "status"])?.expect_parts(1, &["no shadow"])?;
    assert_eq!(asked(&server, "/v1/releases").await?.as_array().unwrap().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_shadow_of_the_same_code_shows_no_difference() -> TestResult {
    let server = operated().await?;
    let mut ann = member(&server).await?;
    let file = "messages.text_length_max=1000";
    command(&server, &["shadow", "start", "--setting", file])?.expect_parts(0, &["shadow since", "messages "])?;
    for number in 0..20 {
        ann.say(&format!("{number}")).await?;
        ann.expect_message(&format!("{number}")).await?;
    }
    ann.send("no JSON").await?;
    ann.expect_error("invalid_json").await?;
    assert_eq!(shadowed(&server, 21).await?["differences"], 0);
    Ok(())
}

#[tokio::test]
async fn a_failing_shadow_does_not_disturb_the_chat() -> TestResult {
    for (handler, name, text) in [("messages", "spinning_messages", "spin"), ("events", "trapping_events", "trap")] {
        let setup = TestServer::setup().admin().without_rate_limits();
        let server = setup.limit("shadow_queue_max", 8).start().await?;
        let mut ann = member(&server).await?;
        shadow(&server, handler, guest(name)).await?;
        // Each deadline takes a while: meanwhile more messages come than fit into the queue of a shadow that spins.
        let drops = if handler == "messages" { 20 } else { 0 };
        let row = until("faults of the shadow", async || {
            ann.say(text).await.ok()?;
            ann.expect_message(text).await.ok()?;
            let row = asked(&server, "/v1/shadow").await.ok()?;
            (row["faults"].as_u64()? >= 2 && row["dropped"].as_u64()? >= drops).then_some(row)
        });
        let row = row.await?;
        let failed = row["faults"].as_u64().unwrap();
        assert!(row["differences"].as_u64() >= Some(failed - 1), "{row}");
        assert_eq!(asked(&server, "/v1/status").await?["bad"], json!({}));
        server.admin("DELETE", "/v1/shadow")?.send().await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_the_contract_is_a_fault_of_the_shadow() -> TestResult {
    for (handler, name) in [("messages", "hostile_messages"), ("events", "hostile_events")] {
        let server = operated().await?;
        let mut ann = member(&server).await?;
        shadow(&server, handler, guest(name)).await?;
        ann.say("prose").await?;
        ann.expect_message("prose").await?;
        let row = shadowed(&server, 1).await?;
        assert_eq!((&row["calls"], &row["faults"], &row["differences"]), (&json!(1), &json!(1), &json!(1)));
        command(&server, &["shadow", "status"])?.expect_parts(0, &["1 faults", "its answer breaks the contract"])?;
    }
    Ok(())
}

#[tokio::test]
async fn the_queue_of_a_shadow_has_a_maximum_of_bytes() -> TestResult {
    let server = TestServer::setup().admin().limit("shadow_queue_bytes_max", 1_024).start().await?;
    let mut ann = member(&server).await?;
    shadow(&server, "events", guest("shouting_events")).await?;
    let long = "long".repeat(300);
    for (text, calls, dropped) in [("short", 1, 0), (long.as_str(), 1, 1), ("short", 2, 1)] {
        ann.say(text).await?;
        ann.expect_message(text).await?;
        // So that each message finds the queue empty.
        let row = shadowed(&server, calls + dropped).await?;
        assert_eq!((&row["calls"], &row["dropped"]), (&json!(calls), &json!(dropped)));
    }
    Ok(())
}
