//! `ondol replay`: another handler runs on stored data, beside a running server and after it.

use std::path::Path;

use ondol_tests::{TestResult, TestServer, command::Output, guest, handlers, ondol, standard};
use serde_json::{Value, json};

/// Runs `ondol replay` on the data of a server.
fn replay(server: &TestServer, file: impl AsRef<Path>, more: &[&str]) -> TestResult<Output> {
    let (file, database) = (file.as_ref().display().to_string(), server.database_file());
    let data = database.parent().unwrap().display().to_string();
    ondol(&[&["replay", &file, "--data", &data][..], more].concat())
}

/// A server with a room of these messages.
async fn said(texts: &[&str]) -> TestResult<TestServer> {
    let server = TestServer::start().await?;
    say(&server, texts).await?;
    Ok(server)
}

async fn say(server: &TestServer, texts: &[&str]) -> TestResult<u64> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for text in texts {
        ann.say(text).await?;
        ann.expect_message(text).await?;
    }
    Ok(room)
}

#[tokio::test]
async fn the_same_version_changes_nothing() -> TestResult {
    let server = said(&["안녕", "hi", "🍲"]).await?;
    for handler in ["messages", "events"] {
        replay(&server, standard(handler), &[])?.expect_parts(0, &["3 compared: 3 equal, 0 different", "µs, p99"])?;
    }
    replay(&server, standard("rooms"), &[])?.expect_parts(0, &["1 compared: 1 equal"])
}

#[tokio::test]
async fn an_events_handler_with_other_payloads_differs_at_every_message() -> TestResult {
    let server = said(&["hi", "a longer text, which is cut in the output"]).await?;
    let output = replay(&server, guest("shouting_events"), &["--show", "1"])?;
    output.expect_parts(1, &["2 compared: 0 equal, 2 different", "room 1, seq 1 (message 1)", "1 more not shown"])?;
    output.expect_parts(1, &["    message: before \"hi\"\n             after  \"HI\"\n", "style: before nothing"])?;
    assert!(!output.stdout.contains("ann"), "the sender is in the difference: {}", output.stdout);
    Ok(())
}

#[tokio::test]
async fn a_trap_of_the_candidate_is_reported_with_its_message() -> TestResult {
    let server = said(&["one", "a trap", "two"]).await?;
    let output = replay(&server, guest("trapping_events"), &[])?;
    output.expect_parts(1, &["3 compared: 2 equal, 1 different", "room 1, seq 2", "after: fault in events.message"])?;
    output.expect_parts(1, &["the trap that was asked for", "1 faults"])
}

#[tokio::test]
async fn an_answer_that_breaks_the_contract_is_a_fault_of_the_candidate() -> TestResult {
    let server = said(&["one", "prose", "last"]).await?;
    for (name, function) in [("hostile_messages", "messages.receive"), ("hostile_events", "events.message")] {
        let output = replay(&server, guest(name), &[])?;
        output.expect_parts(1, &["3 compared: 2 equal, 1 different", "room 1, seq 2", "1 faults"])?;
        output.expect_parts(1, &[&format!("after: fault in {function}"), "its answer breaks the contract"])?;
    }
    Ok(())
}

#[tokio::test]
async fn settings_can_be_tried_before_they_are_deployed() -> TestResult {
    let server = said(&["short", "a secret that is too long"]).await?;
    let output = replay(&server, standard("messages"), &["--setting", "text_length_max=5"])?;
    output
        .expect_parts(1, &["2 compared: 1 equal", "seq 2", "before post\n    after  refusal too_long (message): "])?;
    assert!(!output.stdout.contains("secret"), "{}", output.stdout);
    let refused = replay(&server, standard("rooms"), &["--setting", "name_length_max=3"])?;
    refused.expect_parts(1, &["room 1", "before a room", "too_long"])
}

#[tokio::test]
async fn a_replay_can_be_limited_to_a_room_and_the_last_messages() -> TestResult {
    let server = said(&["one", "two", "three"]).await?;
    say(&server, &["four", "five"]).await?;
    let asked = |more: &[&str]| -> TestResult<Value> {
        let output = replay(&server, guest("shouting_events"), &[more, &["--output", "json"]].concat())?;
        output.expect(1)?;
        Ok(serde_json::from_str(&output.stdout)?)
    };
    let places = |told: Value| -> Vec<[Value; 2]> {
        let differences = told["differences"].as_array().unwrap();
        differences.iter().map(|difference| [difference["room"].clone(), difference["seq"].clone()]).collect()
    };
    assert_eq!(places(asked(&["--last", "3"])?), [[json!(1), json!(3)], [json!(2), json!(1)], [json!(2), json!(2)]]);
    assert_eq!(places(asked(&["--room", "1", "--last", "2"])?), [[json!(1), json!(2)], [json!(1), json!(3)]]);
    let told = asked(&["--room", "2"])?;
    assert_eq!((&told["asked"], &told["handler"], &told["complete"]), (&json!(2), &json!("events"), &json!(true)));
    assert_eq!(told["differences"][0]["after"]["payload"]["message"], "FOUR");
    Ok(())
}

#[tokio::test]
async fn a_replay_compares_two_files() -> TestResult {
    let server = said(&["hi"]).await?;
    let shouting = guest("shouting_events").display().to_string();
    replay(&server, &shouting, &["--against", &shouting])?.expect_parts(0, &["1 compared: 1 equal"])?;
    replay(&server, standard("events"), &["--against", &shouting])?.expect_parts(1, &["style: before \"shout\""])
}

#[tokio::test]
async fn a_replay_leaves_the_server_and_its_data_alone() -> TestResult {
    let mut server = said(&["one"]).await?;
    server.deploy("events", guest("shouting_events")).await?;
    replay(&server, guest("shouting_events"), &[])?.expect_parts(0, &["1 compared: 1 equal"])?;
    assert_eq!(say(&server, &[]).await?, 2);
    server.signal("TERM")?;
    server.exit().await?;
    replay(&server, standard("events"), &[])?.expect_parts(1, &["1 compared: 0 equal, 1 different"])?;
    server.restart().await?;
    let stored = server.get("/chat/v1/room/1/messages/").await?.expect(200)?;
    assert_eq!(stored.as_array().unwrap().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_replay_that_cannot_run_exits_with_two() -> TestResult {
    let server = said(&[]).await?;
    replay(&server, standard("events"), &[])?.expect_parts(0, &["0 compared"])?;
    replay(&server, standard("events"), &["--room", "7"])?.expect_parts(2, &["room 7 does not exist"])?;
    replay(&server, guest("needy"), &[])?.expect_parts(2, &["fits no handler's world"])?;
    replay(&server, standard("events"), &["--handler", "rooms"])?.expect_parts(2, &["does not export"])?;
    replay(&server, "nowhere.wasm", &[])?.expect_parts(2, &["nowhere.wasm"])?;
    replay(&server, standard("events"), &["--setting", "announce"])?.expect_parts(2, &["KEY=VALUE"])?;
    replay(&server, standard("events"), &["--last", "0"])?.expect(2)?;
    Ok(())
}

#[test]
fn a_replay_creates_no_database() -> TestResult {
    let home = tempfile::tempdir()?;
    let (file, data) = (standard("events").display().to_string(), home.path().display().to_string());
    ondol(&["replay", &file, "--data", &data])?.expect_parts(2, &["there is no database"])?;
    assert_eq!(home.path().read_dir()?.count(), 0);
    std::fs::write(home.path().join("ondol.db"), handlers::read(&standard("events"))?)?;
    ondol(&["replay", &file, "--data", &data])?.expect_parts(2, &["this is not a database of Ondol"])
}
