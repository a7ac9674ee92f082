//! Handlers that are missing or broken when the server starts: with a fallback, the built-in handler answers until
//! there is one, and readiness, the status and the log report it.

use std::{fs, time::Duration};

use ondol_tests::{
    Setup, TestResult, TestServer, command::Output, disk::Chance, guest, handlers, handlers::workspace, ondol,
    standard, until,
};
use serde_json::{Value, json};

/// The setup of a server with a fallback for the messages and the events handler.
fn with_fallback() -> Setup {
    let failure = ["--failure", "messages=default", "--failure", "events=default"];
    failure.into_iter().fold(TestServer::setup().admin(), |setup, word| setup.flag(word))
}

async fn asked(server: &TestServer, target: &str) -> TestResult<Value> {
    server.admin("GET", target)?.send().await?.expect(200)
}

/// Runs `ondol handlers` with these words on this server.
fn command(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    let address = server.admin_address()?.to_owned();
    ondol(&["handlers"].into_iter().chain(words.iter().copied()).chain(["--admin", &address]).collect::<Vec<_>>())
}

/// Waits until the server is ready.
async fn ready(server: &TestServer) -> TestResult {
    until("a server that is ready", async || (server.get("/readyz").await.ok()?.status == 200).then_some(())).await
}

/// Checks that these handlers are reported as not answering, everywhere.
async fn not_ready(server: &TestServer, told: &str, handlers: &[&str]) -> TestResult {
    let detail = format!("Not ready: {told} failing");
    for answer in [server.get("/readyz").await?, server.admin("GET", "/readyz")?.send().await?] {
        assert_eq!(answer.expect_detail(503, "not_ready")?, detail);
    }
    server.get("/healthz").await?.expect(200)?;
    let status = asked(server, "/v1/status").await?;
    assert_eq!(status["ready"], false);
    for handler in handlers::HANDLERS {
        let (row, lacks) = (&status["handlers"][handler], handlers.contains(&handler));
        assert_eq!((&row["built_in"], row["version"].is_null()), (&json!(lacks), lacks), "{status}");
        assert_eq!(status["release"]["versions"][handler] == "none", lacks, "{status}");
        assert!(!lacks || status["fault"].as_str().unwrap().contains(handler), "{status}");
        assert!(!lacks || server.startup().contains(&format!("{handler}=none")), "{}", server.startup());
    }
    command(server, &["status"])?.expect_parts(0, &["NOT READY", "the built-in handler answers as fallback"])
}

/// The event for the message "hi".
async fn hears(server: &TestServer) -> TestResult<Value> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    ann.next_message().await
}

/// Whether the messages handler is the relaying guest.
async fn relays(server: &TestServer) -> TestResult<bool> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(json!({"type": "chat.typing"}).to_string()).await?;
    Ok(ann.next_json().await?["type"] == "chat.typing")
}

/// A server whose messages handler has no file.
async fn without_messages() -> TestResult<TestServer> {
    with_fallback().without("messages").setting("messages", "text_length_max", 8).start().await
}

#[tokio::test]
async fn the_fallback_answers_under_the_settings_of_the_missing_handler() -> TestResult {
    let server = without_messages().await?;
    let line = server.wait_for_log("has no version: its built-in handler answers").await?;
    assert!(line.contains("handler=messages") && line.contains("messages.wasm: it cannot be read"), "{line}");
    not_ready(&server, "messages is", &["messages"]).await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for seq in 1..=3 {
        ann.say("hi").await?;
        assert_eq!(ann.expect_message("hi").await?["seq"], seq);
    }
    ann.say("nine long").await?;
    ann.expect_error("too_long").await?;
    assert!(!server.log().since(0).iter().any(|line| line.contains(" failed in ")), "a line for each message");
    Ok(())
}

#[tokio::test]
async fn settings_cannot_be_deployed_without_a_handler() -> TestResult {
    let server = without_messages().await?;
    let refused = command(&server, &["deploy", "--setting", "messages.text_length_max=9"])?;
    refused.expect_parts(1, &["there is no version of messages"])
}

#[tokio::test]
async fn the_first_version_replaces_the_fallback_without_probation() -> TestResult {
    let server = without_messages().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    assert!(!relays(&server).await?);
    server.deploy("messages", guest("relaying_messages")).await?;
    ready(&server).await?;
    assert!(relays(&server).await?);
    ann.expect_nothing_before("the same").await?;
    let status = asked(&server, "/v1/status").await?;
    let row = &status["handlers"]["messages"];
    assert_eq!((&row["built_in"], &row["settings"]["text_length_max"]), (&json!(false), &json!("8")));
    assert_eq!(status["probation"], Value::Null, "there is no version to roll back to");
    Ok(())
}

#[tokio::test]
async fn the_first_version_survives_a_restart_without_its_file() -> TestResult {
    let mut server = without_messages().await?;
    server.deploy("messages", guest("relaying_messages")).await?;
    fs::remove_dir_all(server.handlers())?;
    server.restart().await?;
    server.get("/readyz").await?.expect(200)?;
    assert!(relays(&server).await?);
    Ok(())
}

#[tokio::test]
async fn no_rollback_leads_to_a_release_without_a_handler() -> TestResult {
    let server = without_messages().await?;
    server.deploy("messages", guest("relaying_messages")).await?;
    command(&server, &["rollback"])?.expect_parts(1, &["no release before"])?;
    command(&server, &["rollback", "--release", "1"])?.expect_parts(1, &["release 1 had no version of messages"])
}

/// A server whose messages and events handlers are no components.
async fn with_broken_files() -> TestResult<TestServer> {
    let broken = workspace().join("Cargo.toml");
    with_fallback().handler("messages", &broken).handler("events", &broken).start().await
}

#[tokio::test]
async fn broken_handlers_do_not_keep_the_server_from_starting() -> TestResult {
    let server = with_broken_files().await?;
    for handler in ["messages", "events"] {
        let named = format!("handler={handler} ");
        let line = server.log().line_since(0, &["has no version", &named, ".wasm: it is"]).await;
        line.map_err(|error| error.context(handler))?;
    }
    not_ready(&server, "messages and events are", &["messages", "events"]).await?;
    assert_eq!(hears(&server).await?["message"], "hi");
    Ok(())
}

#[tokio::test]
async fn a_deploy_beside_a_broken_handler_survives_a_kill() -> TestResult {
    let mut server = with_broken_files().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.restart().await?;
    not_ready(&server, "messages is", &["messages"]).await?;
    assert_eq!(hears(&server).await?["message"], "HI");
    Ok(())
}

#[tokio::test]
async fn a_rollback_beside_a_broken_handler_leads_to_the_release_before() -> TestResult {
    let server = with_broken_files().await?;
    for (file, heard) in [(guest("shouting_events"), "HI"), (standard("events"), "hi")] {
        server.upload("events", file).await?.expect(200)?;
        assert_eq!(hears(&server).await?["message"], heard);
    }
    command(&server, &["rollback"])?.expect_parts(0, &["messages none"])?;
    assert_eq!(hears(&server).await?["message"], "HI");
    command(&server, &["rollback"])?.expect_parts(1, &["no release before"])
}

#[tokio::test]
async fn two_broken_handlers_are_replaced_one_after_the_other() -> TestResult {
    let mut server = with_broken_files().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    handlers::place(&server.handlers(), "messages", &handlers::read(&guest("relaying_messages"))?)?;
    ready(&server).await?;
    server.restart().await?;
    server.get("/readyz").await?.expect(200)?;
    assert!(relays(&server).await? && hears(&server).await?["message"] == "HI");
    Ok(())
}

#[tokio::test]
async fn a_file_repaired_while_the_server_is_down_is_deployed_at_its_start() -> TestResult {
    let mut server = with_fallback().handler("events", workspace().join("Cargo.toml")).start().await?;
    not_ready(&server, "events is", &["events"]).await?;
    // A rejected file is checked again on request only.
    let mark = server.log().mark();
    server.signal("HUP")?;
    let line = server.log().line_since(mark, &["rejected, keeping the built-in handler"]).await?;
    assert!(line.contains("handler=events"), "{line}");
    fs::copy(guest("shouting_events"), server.handlers().join("mended"))?;
    let file = server.handlers().join("events.wasm");
    server.restart_after(|| Ok(fs::rename(file.with_file_name("mended"), &file)?)).await?;
    ready(&server).await?;
    assert_eq!(hears(&server).await?["message"], "HI");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_is_broken_in_the_store_leaves_the_others_running() -> TestResult {
    let mut server = with_fallback().start().await?;
    let this = "sha256 = (SELECT component FROM version WHERE handler = 'messages')";
    server.meddle(&format!("UPDATE component SET wasm = substr(wasm, 1, 1) WHERE {this}"))?;
    assert_eq!(server.stored()?.number(&format!("SELECT length(wasm) FROM component WHERE {this}"))?, 1);
    fs::remove_dir_all(server.handlers())?;
    server.restart().await?;
    let line = server.wait_for_log("has no version").await?;
    assert!(line.contains("handler=messages") && line.contains("broken in the store"), "{line}");
    not_ready(&server, "messages is", &["messages"]).await?;
    assert_eq!(hears(&server).await?["message"], "hi");
    let history = asked(&server, "/v1/releases").await?;
    assert_eq!((&history[0]["how"], &history[1]["outcome"]), (&json!("fallback"), &json!("broken")));
    server.upload("messages", standard("messages")).await?.expect(200)?;
    ready(&server).await?;
    server.restart().await?;
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}

/// Places the first version of the messages handler and kills the server at `moment`. Returns whether the next start
/// has that version, from the database: the file is removed.
async fn killed(moment: impl AsyncFnOnce(&TestServer)) -> TestResult<bool> {
    let relaying = handlers::read(&guest("relaying_messages"))?;
    let mut server = with_fallback().without("messages").start().await?;
    handlers::place(&server.handlers(), "messages", &relaying)?;
    moment(&server).await;
    let file = server.handlers().join("messages.wasm");
    server.restart_after(|| Ok(fs::remove_file(file)?)).await?;
    let whole = !server.startup().contains("messages=none");
    assert_eq!(server.get("/readyz").await?.status, if whole { 200 } else { 503 });
    assert_eq!(relays(&server).await?, whole);
    handlers::place(&server.handlers(), "messages", &relaying)?;
    ready(&server).await?;
    assert!(relays(&server).await?);
    Ok(whole)
}

#[tokio::test]
async fn a_first_version_that_became_active_survives_a_kill() -> TestResult {
    for _ in 0..3 {
        let active = async |server: &TestServer| drop(server.active_since(0, "messages").await);
        assert!(killed(active).await?, "the version was active");
    }
    Ok(())
}

#[tokio::test]
async fn a_kill_during_the_first_deploy_leaves_no_version_or_a_whole_one() -> TestResult {
    let mut chance = Chance::new(12);
    for _ in 0..8 {
        // The version becomes active some 40 ms after the last change in the directory.
        let moment = Duration::from_micros(40_000 + chance.below(20_000));
        killed(async |server| drop(tokio::time::timeout(moment, server.active_since(0, "messages")).await)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_handler_without_its_fallback_keeps_the_server_from_starting_and_changes_nothing() -> TestResult {
    let wanted = "failure = { messages = \"default\" }";
    let mut server = TestServer::setup().admin().config(wanted).without("messages").start().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let config = server.handlers().with_file_name("ondol.toml");
    let written = fs::read_to_string(&config)?;
    let failed = server.restart_after(|| Ok(fs::write(&config, written.replace(wanted, ""))?)).await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(
        why.contains("there is no version of messages") && why.contains("messages.wasm: it cannot be read"),
        "{why}"
    );
    server.restart_after(|| Ok(fs::write(&config, &written)?)).await?;
    assert_eq!(hears(&server).await?["message"], "HI");
    Ok(())
}

#[tokio::test]
async fn a_missing_handler_without_a_fallback_keeps_the_server_from_starting() -> TestResult {
    for (setup, missing) in [
        (with_fallback().without("rooms").without("events"), "rooms.wasm"),
        (TestServer::setup().without("messages"), "messages.wasm"),
        (TestServer::setup().flag("--failure").flag("messages=default").without("events"), "events.wasm"),
    ] {
        let why = format!("{:#}", setup.start().await.expect_err("it started"));
        assert!(why.contains(missing) && why.contains("it cannot be read"), "{why}");
    }
    Ok(())
}

#[tokio::test]
async fn the_built_in_handler_creates_rooms_where_the_operator_wants_that() -> TestResult {
    let rooms = TestServer::setup().without("rooms").flag("--failure").flag("rooms=default");
    let server = rooms.setting("rooms", "default_name", "거실").start().await?;
    assert_eq!(server.post("/chat/v1/create-room/", &json!({})).await?.expect(201)?["name"], "거실");
    let long = json!({ "name": "x".repeat(101) });
    assert!(server.post("/chat/v1/create-room/", &long).await?.expect(400)?["name"][0].is_string());
    Ok(())
}

#[tokio::test]
async fn faults_end_a_canary_that_replaced_only_the_fallback() -> TestResult {
    let server = with_fallback().without("events").start().await?;
    let mut rooms = Vec::new();
    for number in 0..20 {
        let room = server.create_room(&format!("room {number}")).await?;
        rooms.push(server.join(room, "ann").await?);
    }
    let file = format!("events={}", guest("trapping_events").display());
    command(&server, &["deploy", &file, "--percent", "80"])?.expect_parts(0, &["canary in 80 %"])?;
    for room in &mut rooms {
        room.say("trap").await?;
        room.expect_message("trap").await?;
    }
    server.wait_for_log("the canary failed its probation").await?;
    let status = until("the mark", async || {
        let status = asked(&server, "/v1/status").await.ok()?;
        (status["bad"] != json!({})).then_some(status)
    });
    assert_eq!(status.await?["canary"], Value::Null);
    not_ready(&server, "events is", &["events"]).await
}
