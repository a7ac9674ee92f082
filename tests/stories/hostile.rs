//! Hostile handlers: each achieves nothing but the failure of its own call. The sender receives an error with the id of
//! the request, the log names the limit, the handler and the version, and the next messages, in every room, are
//! delivered.

use std::{env, io::ErrorKind, net::TcpListener, process::Command};

use anyhow::{Context, ensure};
use ondol_tests::command::{binary, run};
use ondol_tests::{Client, Setup, TestResult, TestServer, guest, standard};
use serde_json::{Value, json};

/// A server with a hostile handler, a member of its first room, and one of another room.
async fn with(setup: Setup, handler: &str, name: &str) -> TestResult<(TestServer, Client, Client)> {
    let server = setup.handler(handler, guest(name)).start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let ann = server.join(here, "ann").await?;
    let ben = server.join(there, "ben").await?;
    Ok((server, ann, ben))
}

/// The same with a deadline that only an endless call misses: a busy machine takes its time.
async fn hostile(handler: &str) -> TestResult<(TestServer, Client, Client)> {
    let setup = TestServer::setup().limit("handler_deadline_ms", 20_000);
    with(setup, handler, &format!("hostile_{handler}")).await
}

/// Sends `word`, expects a fault that is logged with `told`, and checks that the chat continues. Returns the line of
/// the log.
async fn faulty(
    (server, ann, ben): &mut (TestServer, Client, Client),
    handler: &str,
    word: &str,
    told: &str,
) -> TestResult<String> {
    let mark = server.log().mark();
    ann.say(word).await?;
    let error = ann.expect_error("handler_fault").await?;
    let request = error["request_id"].as_str().with_context(|| format!("no request id in {error}"))?;
    ben.expect_nothing_before("we hear nothing of it").await?;
    ann.expect_nothing_before("and I go on").await?;
    let handler = format!("handler={handler}");
    let line = server.log().line_since(mark, &["ERROR", " failed in ", request]).await?;
    for part in [told, &handler, "version=", "function=", "room=1"] {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
    Ok(line)
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_the_message_is_delivered() -> TestResult {
    let (server, mut ann, _) = hostile("messages").await?;
    ann.say("flood").await?;
    ann.expect_message("flood").await?;
    let line = server.wait_for_log("more lines of this call are omitted").await?;
    assert!(line.contains("handler=messages") && line.contains("version="), "{line}");
    let lines = server.log().since(0).into_iter().filter(|line| line.contains("a line")).count();
    assert!(lines <= 20, "{lines} lines");
    Ok(())
}

#[tokio::test]
async fn endless_output_is_stopped_and_its_control_characters_are_escaped() -> TestResult {
    let mut all = with(TestServer::setup(), "messages", "hostile_messages").await?;
    let line = faulty(&mut all, "messages", "deluge", "handler_deadline_ms = 100").await?;
    assert!(line.len() < 40_000 && !line.contains('\u{1b}'), "{} bytes", line.len());
    Ok(())
}

#[tokio::test]
async fn the_output_limit_of_one_handler_can_be_set() -> TestResult {
    let setup = TestServer::setup().limit("handler_deadline_ms", 20_000);
    let setup = setup.flag("--limit").flag("messages.handler_log_bytes_max=70");
    let (server, mut ann, _) = with(setup, "messages", "hostile_messages").await?;
    ann.say("flood").await?;
    ann.expect_message("flood").await?;
    server.wait_for_log("bytes omitted").await?;
    let lines = server.log().since(0).into_iter().filter(|line| line.contains("a line")).count();
    assert!((1..=10).contains(&lines), "{lines} lines");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_takes_handles_without_end_is_stopped() -> TestResult {
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "handles", "it held more than 1000 handles").await?;
    Ok(())
}

/// The guest with `table.grow` in place of a `memory.grow` of the same eight bytes: Rust has no function for it.
fn growing_its_table() -> TestResult<Vec<u8>> {
    // i32.const 0x7ab1e000, memory.grow 0
    const MEMORY: [u8; 8] = [0x41, 0x80, 0xc0, 0xc7, 0xd5, 0x07, 0x40, 0x00];
    // ref.null func, i32.const 8191, table.grow 0
    const TABLE: [u8; 8] = [0xd0, 0x70, 0x41, 0xff, 0x3f, 0xfc, 0x0f, 0x00];
    let mut bytes = ondol_tests::handlers::read(&guest("hostile_messages"))?;
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&MEMORY)).collect();
    anyhow::ensure!(!found.is_empty(), "the guest has no memory.grow that could be replaced");
    for at in found {
        bytes[at..at + TABLE.len()].copy_from_slice(&TABLE);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_handler_that_grows_its_table_without_end_is_stopped() -> TestResult {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("growing.wasm");
    std::fs::write(&file, growing_its_table()?)?;
    let setup = TestServer::setup().limit("handler_deadline_ms", 20_000);
    let server = setup.handler("messages", file).start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let (ann, ben) = (server.join(here, "ann").await?, server.join(there, "ben").await?);
    let mut all = (server, ann, ben);
    for _ in 0..3 {
        faulty(&mut all, "messages", "table", "it asked for a table of more than 100000 elements").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_may_use_many_handles_one_after_the_other() -> TestResult {
    // Its many calls into the host take long on a busy machine.
    let setup = TestServer::setup().limit("handler_deadline_ms", 10_000);
    let (_server, mut ann, _) = with(setup, "messages", "hostile_messages").await?;
    for _ in 0..3 {
        ann.say("streams").await?;
        ann.expect_message("5000 streams").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_cannot_wait_for_a_stream() -> TestResult {
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "poll", "tried to wait").await?;
    Ok(())
}

#[tokio::test]
async fn a_request_for_a_terabyte_of_random_bytes_is_a_fault() -> TestResult {
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "random", "exceeds limit 65536").await?;
    Ok(())
}

#[tokio::test]
async fn every_file_operation_is_refused() -> TestResult {
    let (_server, mut ann, _) = hostile("messages").await?;
    ann.say("files").await?;
    ann.expect_message("13 calls, not refused: []").await?;
    Ok(())
}

#[tokio::test]
async fn a_handler_reaches_no_network() -> TestResult {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let setup = TestServer::setup().limit("handler_deadline_ms", 10_000);
    let (_server, mut ann, _) = with(setup, "messages", "sockets_messages").await?;
    ann.say(&format!("sockets {}", listener.local_addr()?)).await?;
    // A TCP socket, a UDP socket and a name.
    ann.expect_message(SOCKETS_DENIED).await?;
    // More requests than an instance may have handles.
    for _ in 0..3 {
        ann.say("requests 2000").await?;
        ann.expect_message(REQUEST_DENIED).await?;
    }
    listener.set_nonblocking(true)?;
    assert_eq!(listener.accept().map(drop).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    Ok(())
}

const SOCKETS_DENIED: &str = r#"Some(PermissionDenied) Some(PermissionDenied) Err(Os { code: 2, kind: PermissionDenied, message: "Permission denied" })"#;
/// What it set was taken, and none of it kept.
const REQUEST_DENIED: &str = "Some(ErrorCode::HttpRequestDenied) true true true 0";

#[test]
fn a_handler_that_wants_the_network_makes_no_system_call_for_it() -> TestResult {
    if Command::new("strace").arg("--version").output().is_err() {
        ensure!(env::var_os("CI").is_none(), "strace is not installed, and CI is set");
        eprintln!("skipped: strace is not installed");
        return Ok(());
    }
    let file = guest("sockets_messages");
    for (text, answer) in [("sockets 127.0.0.1:9", "PermissionDenied"), ("requests 1", "HttpRequestDenied")] {
        let frame = serde_json::json!({"type": "chat.message", "message": text}).to_string();
        let arguments = serde_json::json!([{"id": "u1", "nickname": "ann", "email": "a@b"}, 1, {"text": frame}]);
        let calls = tempfile::NamedTempFile::new()?;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=network", "-o"]).arg(calls.path()).arg(binary()).arg("call").arg(&file);
        run(strace.args(["messages.receive", &arguments.to_string()]))?.expect_parts(0, &[answer])?;
        let calls = std::fs::read_to_string(calls.path())?;
        assert!(!calls.contains('('), "{calls}");
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_is_logged_with_its_place_and_message() -> TestResult {
    let mut all = hostile("messages").await?;
    let line = faulty(&mut all, "messages", "panic", "it panicked at ").await?;
    for part in ["hostile-messages/src/lib.rs:", r": no luck\n2000-01-01", "guest_hostile_messages::panic"] {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
    assert!(!line.contains("rust_begin_unwind") && !line.contains('\u{1b}'), "{line}");
    let forged = all.0.log().since(0).into_iter().any(|line| line.starts_with("2000-01-01"));
    assert!(!forged, "a handler wrote a line of its own");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_not_utf_8_is_a_fault() -> TestResult {
    for word in ["mojibake", "garble"] {
        let mut all = hostile("messages").await?;
        faulty(&mut all, "messages", word, "utf-8").await?;
    }
    let mut all = hostile("events").await?;
    faulty(&mut all, "events", "mojibake", "utf-8").await?;
    Ok(())
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_a_fault() -> TestResult {
    let told = "a payload is one JSON value";
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "prose", told).await?;
    let mut all = hostile("events").await?;
    faulty(&mut all, "events", "prose", told).await?;
    faulty(&mut all, "events", "two", told).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_of_two_megabytes_is_a_fault() -> TestResult {
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "large", "handler_answer_bytes_max = 262144").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_id_that_is_too_long_is_a_fault() -> TestResult {
    let mut all = hostile("messages").await?;
    faulty(&mut all, "messages", "name", "its answer breaks the contract").await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_stored_is_a_fault_before_it_has_a_number() -> TestResult {
    let mut all = hostile("messages").await?;
    for (word, what) in [("null", "text"), ("null name", "client's id"), ("null extra", "extra")] {
        let line = faulty(&mut all, "messages", word, "contains U+0000, which cannot be stored").await?;
        assert!(line.contains(what), "{line}");
    }
    let said = all.1.expect_nothing_before("after all of them").await?;
    assert_eq!(said["seq"], 4, "a number was used up");
    Ok(())
}

#[tokio::test]
async fn an_events_handler_that_spins_is_stopped() -> TestResult {
    let setup = TestServer::setup().flag("--limit").flag("events.handler_deadline_ms=30");
    let mut all = with(setup, "events", "hostile_events").await?;
    faulty(&mut all, "events", "spin", "handler_deadline_ms = 30").await?;
    Ok(())
}

/// A handler writes the payload, which may lie. The sender, the time and the room of a stored message are the host's.
#[tokio::test]
async fn a_forged_payload_changes_nothing_that_is_stored() -> TestResult {
    let (server, mut ann, _) = hostile("events").await?;
    ann.say("forge").await?;
    let heard = ann.next_message().await?;
    assert_eq!((&heard["sender"], &heard["seq"]), (&json!("boss@example.com"), &json!(1001)));
    let stored = server.get("/chat/v1/room/1/messages/").await?.json();
    assert_eq!((&stored[0]["sender"], &stored[0]["seq"]), (&json!("ann@example.com"), &json!(1)));
    let body = json!({"room": 1, "message": "forge"}).to_string();
    let said = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?.expect(201)?;
    assert_eq!((&said["sender"], &said["seq"]), (&json!("ann@example.com"), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn a_handler_can_look_up_only_the_users_of_its_call() -> TestResult {
    let mut all = hostile("events").await?;
    let line = faulty(&mut all, "events", "stranger", "who is not part of this call").await?;
    assert!(!line.contains("example.com"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_relayed_forgery_is_not_stored() -> TestResult {
    let (server, mut ann, mut ben) = hostile("messages").await?;
    ann.say("forge").await?;
    assert_eq!(ann.expect_event("chat.message").await?["sender"], "boss@example.com");
    ben.expect_nothing_before("it stayed in its room").await?;
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.json(), json!([]));
    assert_eq!(ann.expect_nothing_before("the first").await?["seq"], 1);
    Ok(())
}

#[tokio::test]
async fn a_fault_carries_the_request_id_of_its_request() -> TestResult {
    let (server, _ann, _) = hostile("messages").await?;
    let post = async |name: &str| -> TestResult<Value> {
        let body = json!({"room": 1, "message": "panic"}).to_string();
        let request = server.request("POST", "/chat/v1/message/").identity("ann").header("X-Request-ID", name);
        request.json(body).send().await?.expect(503)
    };
    let answer = post("gw-7.1").await?;
    assert_eq!((&answer["code"], &answer["request_id"]), (&json!("handler_fault"), &json!("gw-7.1")));
    server.wait_for_log("request_id=gw-7.1").await?;
    let answer = post("not \"sane\"").await?;
    let own = answer["request_id"].as_str().context("no request id")?;
    assert!(!own.contains("sane"), "{own}");
    server.wait_for_log(&format!("request_id={own}")).await?;
    Ok(())
}

#[tokio::test]
async fn the_fallback_answers_for_a_failing_messages_handler() -> TestResult {
    let setup =
        TestServer::setup().flag("--failure").flag("messages=default").setting("messages", "text_length_max", 8);
    let (server, mut ann, _) = with(setup, "messages", "hostile_messages").await?;
    ann.say("panic").await?;
    ann.expect_message("panic").await?;
    let line = server.wait_for_log("the built-in handler answered instead").await?;
    assert!(line.contains("no luck") && line.contains("handler=messages"), "{line}");
    ann.say("mojibake").await?;
    ann.expect_message("mojibake").await?;
    Ok(())
}

#[tokio::test]
async fn the_fallback_answers_for_a_failing_events_handler() -> TestResult {
    let setup = TestServer::setup().env("ONDOL_FAILURE_EVENTS", "default");
    let (server, mut ann, _) = with(setup, "events", "hostile_events").await?;
    ann.say("prose").await?;
    let heard = ann.expect_message("prose").await?;
    assert_eq!((&heard["sender"], &heard["seq"]), (&json!("ann@example.com"), &json!(1)));
    server.wait_for_log("the built-in handler answered instead").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_makes_a_handler_spin_is_read_more_slowly() -> TestResult {
    let setup = TestServer::setup().limit("handler_deadline_ms", 20).limit("handler_overrun_pause_ms", 500);
    let (_server, mut ann, mut ben) = with(setup, "messages", "spinning_messages").await?;
    let began = std::time::Instant::now();
    for _ in 0..3 {
        ann.say("spin").await?;
    }
    for _ in 0..3 {
        ann.expect_error("handler_fault").await?;
    }
    assert!(began.elapsed().as_millis() >= 1_000, "{:?}", began.elapsed());
    ben.expect_nothing_before("the other room does not wait").await?;
    Ok(())
}

#[tokio::test]
async fn a_limit_can_be_set_for_one_handler() -> TestResult {
    let setup = TestServer::setup().limit("handler_deadline_ms", 20_000);
    let setup = setup.env("ONDOL_MESSAGES_HANDLER_MEMORY_BYTES_MAX", 2_000_000);
    let (server, mut ann, _) = with(setup, "messages", "hungry_messages").await?;
    ann.say("hungry").await?;
    ann.expect_error("handler_fault").await?;
    server.wait_for_log("handler_memory_bytes_max = 2000000").await?;
    server.deploy("messages", standard("messages")).await?;
    ann.expect_nothing_before("hungry").await?;
    Ok(())
}
