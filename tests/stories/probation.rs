//! Probation: what counts as slow, what is taken back with what, and how a block is lifted.

use ondol_tests::{Client, Setup, TestResult, TestServer, guest, handlers, until};
use serde_json::{Value, json};

use crate::trials::{active, asked, command, failed_probation, member, operated};

/// A server on which no slowdown is too small.
async fn strict() -> TestResult<TestServer> {
    strict_setup().start().await
}

fn strict_setup() -> Setup {
    let setup = TestServer::setup().admin().without_rate_limits().limit("probation_slowdown_floor_ms", 0);
    setup.limit("probation_slowdown_rollback_ms", 0)
}

/// A limit: one instance for all processors, whose calls can be counted.
const ONE_INSTANCE: (&str, u64) = ("handler_instances_max", 1);

/// `HANDLER=FILE` of a guest.
fn file(handler: &str, name: &str) -> String {
    format!("{handler}={}", guest(name).display())
}

/// Says something until a log line contains this.
async fn say_until_logged(server: &TestServer, ann: &mut Client, part: &str) -> TestResult<String> {
    until(format!("a log line with {part:?}"), async || {
        ann.say("hi").await.ok()?;
        ann.expect_event("chat.message").await.ok()?;
        server.log().since(0).into_iter().find(|line| line.contains(part))
    })
    .await
}

#[tokio::test]
async fn a_version_is_not_slow_before_a_user_notices() -> TestResult {
    let server = operated().await?;
    let mut ann = member(&server).await?;
    server.upload("messages", guest("slow_messages")).await?.expect(200)?;
    for number in 0..150 {
        ann.say(&format!("{number}")).await?;
        ann.expect_message(&format!("{number}")).await?;
    }
    let status = asked(&server, "/v1/status").await?;
    assert_eq!((&status["release"]["release"], &status["bad"]), (&json!(2), &json!({})));
    assert_eq!(status["probation"]["release"], 2);
    Ok(())
}

#[tokio::test]
async fn a_slow_version_is_a_warning() -> TestResult {
    let server = TestServer::setup().admin().without_rate_limits().start().await?;
    let mut ann = member(&server).await?;
    let deploy = command(&server, &["deploy", &file("messages", "slow_messages"), "--slowdown-floor-ms", "0"])?;
    deploy.expect_parts(0, &["on probation for 60 s against release 1", "above 0 ms and 5 times", "above 10 ms"])?;
    let line = say_until_logged(&server, &mut ann, "messages is slow").await?;
    assert!(line.contains("WARN") && line.contains("slowdown_floor_ms = 0"), "{line}");
    let probation = asked(&server, "/v1/status").await?["probation"].clone();
    assert_eq!((&probation["release"], probation["warnings"].as_array().map(Vec::len)), (&json!(2), Some(1)));
    command(&server, &["status"])?.expect_parts(0, &["WARNING: messages is slow"])?;
    until("the warning in the history", async || {
        let history = command(&server, &["history"]).ok()?.stdout;
        history.contains("warning by probation: release 2: messages is slow").then_some(())
    })
    .await
}

#[tokio::test]
async fn a_version_that_users_notice_is_rolled_back() -> TestResult {
    let server = strict().await?;
    let mut ann = member(&server).await?;
    server.upload("messages", guest("slow_messages")).await?.expect(200)?;
    let line = say_until_logged(&server, &mut ann, "failed its probation").await?;
    assert!(line.contains("messages is too slow") && line.contains("slowdown_rollback_ms = 0"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_version_that_takes_tens_of_milliseconds_is_rolled_back_by_the_default_limits() -> TestResult {
    // No call misses its deadline: those would be faults.
    let setup = TestServer::setup().admin().without_rate_limits().limit("handler_deadline_ms", 10_000);
    let server = setup.limit(ONE_INSTANCE.0, ONE_INSTANCE.1).start().await?;
    let mut ann = member(&server).await?;
    warm_up(&mut ann).await?;
    let slow = ["deploy", &file("messages", "slow_messages"), "--setting", "messages.turns=120000000"];
    command(&server, &slow)?.expect_parts(0, &["above 1 ms and 5 times the baseline's is a warning, above 10 ms"])?;
    let line = say_until_logged(&server, &mut ann, "failed its probation").await?;
    assert!(line.contains("messages is too slow") && line.contains("slowdown_rollback_ms = 10"), "{line}");
    Ok(())
}

/// Leaves the warm-up of the active version behind, so that it can be compared with.
async fn warm_up(ann: &mut Client) -> TestResult {
    for number in 0..20 {
        ann.say(&format!("{number}")).await?;
        ann.expect_message(&format!("{number}")).await?;
    }
    Ok(())
}

/// Says so much that the first comparisons have been made, and checks that release 2 has neither warnings nor faults.
async fn is_not_slow(server: &TestServer, ann: &mut Client) -> TestResult {
    for number in 0..150 {
        ann.say(&format!("{number}")).await?;
        ann.expect_message(&format!("{number}")).await?;
    }
    let status = asked(server, "/v1/status").await?;
    assert_eq!((&status["release"]["release"], &status["bad"]), (&json!(2), &json!({})));
    let probation = &status["probation"];
    assert_eq!((&probation["release"], &probation["warnings"]), (&json!(2), &json!([])), "{probation}");
    Ok(())
}

#[tokio::test]
async fn the_warm_up_of_an_instance_is_not_compared() -> TestResult {
    let slow = |calls: &str| format!("messages.slow_calls={calls}");
    let server = strict_setup().limit(ONE_INSTANCE.0, ONE_INSTANCE.1).start().await?;
    let mut ann = member(&server).await?;
    warm_up(&mut ann).await?;
    // Of 32 calls from the first one on, most would be slow; of 32 after the sixteenth, 11 are.
    command(&server, &["deploy", &file("messages", "slow_messages"), "--setting", &slow("27")])?.expect(0)?;
    is_not_slow(&server, &mut ann).await?;
    command(&server, &["deploy", "--setting", &slow("60")])?.expect(0)?;
    say_until_logged(&server, &mut ann, "failed its probation").await?;
    Ok(())
}

#[tokio::test]
async fn a_deploy_may_ask_for_patience() -> TestResult {
    let server = strict().await?;
    let mut ann = member(&server).await?;
    let slow = file("messages", "slow_messages");
    let patient = |value: &str| command(&server, &["deploy", &slow, "--slowdown-max", value]);
    patient("1001")?.expect_parts(1, &["slowdown_max: expected a whole number from 2 to 1,000"])?;
    warm_up(&mut ann).await?;
    patient("1000")?.expect_parts(0, &["above 0 ms and 1000 times"])?;
    is_not_slow(&server, &mut ann).await
}

#[tokio::test]
async fn a_deploy_may_ask_for_another_bound_of_a_rollback() -> TestResult {
    let slow = file("messages", "slow_messages");
    let server = strict().await?;
    let mut ann = member(&server).await?;
    command(&server, &["deploy", &slow, "--slowdown-rollback-ms", "1000"])?
        .expect_parts(0, &["above 1000 ms a rollback"])?;
    let line = say_until_logged(&server, &mut ann, "messages is slow").await?;
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 2);

    let server = TestServer::setup().admin().without_rate_limits().start().await?;
    let mut ann = member(&server).await?;
    let bounds = ["--slowdown-floor-ms", "0", "--slowdown-rollback-ms", "0"];
    command(&server, &[&["deploy", &slow][..], &bounds].concat())?.expect_parts(0, &["above 0 ms a rollback"])?;
    let line = say_until_logged(&server, &mut ann, "failed its probation").await?;
    assert!(line.contains("slowdown_rollback_ms = 0"), "{line}");
    Ok(())
}

/// Deploys handlers together.
async fn deploy(server: &TestServer, guests: &[(&str, &str)]) -> TestResult<Value> {
    let mut body = json!({});
    for (handler, name) in guests {
        body[handler] = json!({ "component": data_encoding::BASE64.encode(&handlers::read(&guest(name))?) });
    }
    server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await?.expect(200)
}

#[tokio::test]
async fn only_the_handler_that_failed_is_taken_back() -> TestResult {
    let server = strict().await?;
    let mut ann = member(&server).await?;
    let innocent = deploy(&server, &[("messages", "relaying_messages"), ("events", "shouting_events")]).await?;
    let begun = deploy(&server, &[("messages", "slow_messages")]).await?["probation"].clone();
    assert_eq!((&begun["release"], &begun["back_to"]), (&json!(3), &json!(2)));
    let line = say_until_logged(&server, &mut ann, "failed its probation").await?;
    assert!(line.contains("rolling messages back to release 2"), "{line}");
    server.wait_for_log("trigger=\"probation\"").await?;
    let status = asked(&server, "/v1/status").await?;
    for handler in ["messages", "events"] {
        assert_eq!(status["handlers"][handler]["version"], innocent["versions"][handler], "{handler}");
    }
    // Release 2 is on its own probation for the rest of its time.
    let probation = &status["probation"];
    assert_eq!((&probation["release"], &probation["back_to"]), (&json!(2), &json!(1)));
    assert_eq!(probation["versions"].as_object().map(|versions| versions.len()), Some(2), "{probation}");
    assert_eq!(asked(&server, "/v1/releases?limit=1").await?[0]["back_to"], 2);
    Ok(())
}

#[tokio::test]
async fn what_was_deployed_together_is_taken_back_together() -> TestResult {
    let server = operated().await?;
    let before = [active(&server, "messages").await?, active(&server, "events").await?];
    let mut ann = member(&server).await?;
    deploy(&server, &[("messages", "relaying_messages"), ("events", "twentieth_events")]).await?;
    command(&server, &["deploy", "--setting", "rooms.default_name=거실"])?.expect(0)?;
    let rooms = active(&server, "rooms").await?;
    for _ in 0..3 {
        ann.say("20").await?;
        ann.expect_message("20").await?;
    }
    let line = server.wait_for_log("failed its probation").await?;
    assert!(line.contains("release 2 failed") && line.contains("events back to release 1"), "{line}");
    server.wait_for_log("trigger=\"probation\"").await?;
    assert_eq!([active(&server, "messages").await?, active(&server, "events").await?], before);
    assert_eq!(active(&server, "rooms").await?, rooms);
    assert_eq!(asked(&server, "/v1/status").await?["probation"]["release"], 3);
    Ok(())
}

#[tokio::test]
async fn a_fault_that_an_older_baseline_answers_counts_for_the_older_deploy() -> TestResult {
    let server = operated().await?;
    let before = active(&server, "events").await?;
    let mut ann = member(&server).await?;
    deploy(&server, &[("events", "twentieth_events")]).await?;
    command(&server, &["deploy", "--setting", "events.announce=nothing"])?.expect(0)?;
    for _ in 0..3 {
        ann.say("20").await?;
        ann.expect_message("20").await?;
    }
    server.wait_for_log("release 2 failed its probation").await?;
    server.wait_for_log("trigger=\"probation\"").await?;
    assert_eq!(active(&server, "events").await?, before);
    Ok(())
}

#[tokio::test]
async fn a_forgiven_version_can_be_deployed_again() -> TestResult {
    let (mut server, _ann, bad) = failed_probation().await?;
    command(&server, &["forgive", "0000"])?.expect_parts(1, &["no version that begins with \"0000\" is blocked"])?;
    command(&server, &["forgive", "zz"])?.expect_parts(1, &["at least the first four digits of a version"])?;
    let digits = bad.get(..8).unwrap();
    let forgiven = command(&server, &["forgive", digits, "--reason", "the disk was slow", "--actor", "minji"])?;
    forgiven.expect_parts(0, &[digits, "no longer blocked"])?;
    command(&server, &["history"])?.expect_parts(0, &["forgiven by minji (local): version ", ": the disk was slow"])?;
    assert_eq!(asked(&server, "/v1/status").await?["bad"], json!({}));
    server.restart().await?;
    let again = command(&server, &["deploy", &file("events", "twentieth_events")])?;
    again.expect_parts(0, &["is active", "on probation"])
}
