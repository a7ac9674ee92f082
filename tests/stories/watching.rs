//! The directory of handlers: the ways to put a file there, and the files that are rejected.

use std::{fs, os::unix::fs::symlink};

use ondol_tests::{Client, TestResult, TestServer, guest, handlers, standard};

/// A server, and a member of its one room.
async fn talking() -> TestResult<(TestServer, Client)> {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let ann = server.join(room, "ann").await?;
    Ok((server, ann))
}

/// Checks that the first version of the events handler still answers.
async fn unchanged(ann: &mut Client) -> TestResult {
    ann.expect_nothing_before("as before").await?;
    Ok(())
}

/// Checks that the shouting events handler answers.
async fn shouts(ann: &mut Client) -> TestResult {
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    Ok(())
}

/// Places these bytes as the file of a handler, and checks that they are rejected for reasons that contain `parts`, and
/// that the active version still answers.
async fn rejected(handler: &str, bytes: &[u8], parts: &[&str]) -> TestResult {
    let (server, mut ann) = talking().await?;
    let line = server.deploy_rejected(handler, bytes).await?;
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    unchanged(&mut ann).await
}

#[tokio::test]
async fn webassembly_text_is_rejected() -> TestResult {
    rejected("events", b"(module)", &["text"]).await
}

#[tokio::test]
async fn a_core_module_is_rejected() -> TestResult {
    rejected("events", b"\0asm\x01\0\0\0", &["core module", "wasm32-wasip2"]).await
}

#[tokio::test]
async fn precompiled_code_is_rejected() -> TestResult {
    rejected("events", b"\x7fELF\x02\x01\x01\0 compiled elsewhere", &["compiled"]).await
}

#[tokio::test]
async fn an_empty_file_and_a_broken_one_are_rejected() -> TestResult {
    rejected("events", b"", &["empty"]).await?;
    let mut broken = handlers::read(&standard("events"))?;
    broken[2_000..2_100].fill(0xff);
    rejected("events", &broken, &[]).await
}

#[tokio::test]
async fn every_missing_import_is_named() -> TestResult {
    let needy = handlers::read(&guest("needy"))?;
    rejected("messages", &needy, &["example:missing/one", "example:missing/two"]).await
}

#[tokio::test]
async fn a_handler_of_another_world_is_rejected() -> TestResult {
    rejected("messages", &handlers::read(&standard("rooms"))?, &["ondol:chat/messages"]).await
}

#[tokio::test]
async fn a_file_that_is_too_large_is_rejected() -> TestResult {
    rejected("events", &vec![0; (32 << 20) + 1], &["handler_file_bytes_max"]).await
}

#[tokio::test]
async fn a_half_written_file_becomes_active_once_it_is_whole() -> TestResult {
    let (server, mut ann) = talking().await?;
    let whole = handlers::read(&guest("shouting_events"))?;
    let (one, _) = whole.split_at(whole.len() / 2);
    let file = server.handlers().join("events.wasm");
    let mark = server.log().mark();
    fs::write(&file, one)?;
    server.log().line_since(mark, &["rejected, keeping", "handler=events"]).await?;
    unchanged(&mut ann).await?;

    fs::write(&file, &whole)?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn touched_and_rewritten_files_change_nothing() -> TestResult {
    let (server, mut ann) = talking().await?;
    let mark = server.log().mark();
    let active = handlers::read(&standard("events"))?;
    handlers::place(&server.handlers(), "events", &active)?;
    fs::write(server.handlers().join("events.wasm"), &active)?;
    fs::File::options()
        .append(true)
        .open(server.handlers().join("events.wasm"))?
        .set_modified(std::time::SystemTime::now())?;
    // The swap of another handler shows that the watcher has looked since.
    server.deploy("messages", guest("relaying_messages")).await?;
    let about_events: Vec<_> =
        server.log().since(mark).into_iter().filter(|line| line.contains("handler=events")).collect();
    assert_eq!(about_events, [""; 0]);
    unchanged(&mut ann).await
}

#[tokio::test]
async fn a_file_renamed_by_an_editor_is_noticed() -> TestResult {
    let (server, mut ann) = talking().await?;
    let file = server.handlers().join("events.wasm");
    let mark = server.log().mark();
    fs::rename(&file, server.handlers().join("events.wasm~"))?;
    unchanged(&mut ann).await?;
    fs::write(&file, handlers::read(&guest("shouting_events"))?)?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn a_replaced_symbolic_link_is_noticed() -> TestResult {
    let (server, mut ann) = talking().await?;
    let next = server.handlers().join("next");
    let mark = server.log().mark();
    symlink(guest("shouting_events").canonicalize()?, &next)?;
    fs::rename(&next, server.handlers().join("events.wasm"))?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn a_replaced_link_to_a_directory_is_noticed_on_sighup() -> TestResult {
    let (server, mut ann) = talking().await?;
    let directory = server.handlers();
    let releases = directory.join("releases");
    for (name, file) in [("1", standard("events")), ("2", guest("shouting_events"))] {
        fs::create_dir_all(releases.join(name))?;
        fs::copy(file, releases.join(name).join("events.wasm"))?;
    }
    let mark = server.log().mark();
    symlink("releases/1", directory.join("current"))?;
    fs::remove_file(directory.join("events.wasm"))?;
    symlink("current/events.wasm", directory.join("events.wasm"))?;
    symlink("releases/2", directory.join("flipped"))?;
    fs::rename(directory.join("flipped"), directory.join("current"))?;
    server.signal("HUP")?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn a_file_changed_behind_a_link_is_noticed_on_sighup() -> TestResult {
    let (server, mut ann) = talking().await?;
    let elsewhere = tempfile::tempdir()?;
    let far = elsewhere.path().join("far.wasm");
    fs::copy(standard("events"), &far)?;
    fs::remove_file(server.handlers().join("events.wasm"))?;
    symlink(&far, server.handlers().join("events.wasm"))?;
    let mark = server.log().mark();
    fs::copy(guest("shouting_events"), &far)?;
    server.signal("HUP")?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn a_sighup_without_a_change_changes_nothing() -> TestResult {
    let (server, mut ann) = talking().await?;
    server.signal("HUP")?;
    unchanged(&mut ann).await?;
    server.deploy("events", guest("shouting_events")).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_file_leaves_the_version_active() -> TestResult {
    let (server, mut ann) = talking().await?;
    for handler in handlers::HANDLERS {
        fs::remove_file(server.handlers().join(format!("{handler}.wasm")))?;
    }
    unchanged(&mut ann).await?;
    let mark = server.log().mark();
    handlers::place(&server.handlers(), "events", &handlers::read(&guest("shouting_events"))?)?;
    server.active_since(mark, "events").await?;
    Ok(())
}

#[tokio::test]
async fn each_rejected_file_is_logged_once() -> TestResult {
    let (server, mut ann) = talking().await?;
    let mark = server.log().mark();
    for number in 0..5 {
        server.deploy_rejected("events", format!("nonsense {number}").as_bytes()).await?;
    }
    let lines = server.log().since(mark);
    let logged = lines.iter().filter(|line| line.contains("rejected, keeping")).count();
    assert_eq!(logged, 5, "{lines:#?}");
    unchanged(&mut ann).await
}

// ── the cases beside a file ──

/// A case of the events handler that expects the code of a refusal in its event, and this line.
fn case(name: &str, expectation: &str) -> String {
    let refusal = r#"[{ code = "blank", message = "A message." }]"#;
    format!("[[case]]\nname = {name:?}\ncall = \"events.refusal\"\nargs = {refusal}\n{expectation}\n")
}

/// One that every version passes: its event is the default one.
fn passed() -> String {
    let event = r#"{"type":"error","error_type":"invalid_request","message":"A message.","code":"blank"}"#;
    case("a refusal is told", &format!("returns = '{event}'"))
}

/// One that none does.
fn failed() -> String {
    case("a refusal is sung", "returns = '{}'")
}

/// The latest entry of the history.
async fn latest(server: &TestServer) -> TestResult<serde_json::Value> {
    Ok(server.admin("GET", "/v1/releases?limit=1")?.send().await?.expect(200)?[0].take())
}

#[tokio::test]
async fn a_version_that_fails_the_cases_beside_it_is_never_active() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let cases = server.handlers().join("events.cases.toml");
    fs::write(&cases, passed() + &failed())?;
    let line = server.deploy_rejected("events", &handlers::read(&guest("shouting_events"))?).await?;
    for part in ["a refusal is sung", "expected", "got"] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    assert!(!line.contains("a refusal is told"), "{line}");
    unchanged(&mut ann).await?;
    let last = latest(&server).await?;
    assert_eq!(last["outcome"], "refused");
    assert!(last["detail"].as_str().unwrap_or_default().contains("a refusal is sung"), "{last}");

    let mark = server.log().mark();
    fs::write(&cases, passed())?;
    server.active_since(mark, "events").await?;
    shouts(&mut ann).await
}

#[tokio::test]
async fn changed_cases_are_run_and_keep_the_active_version() -> TestResult {
    let (server, mut ann) = talking().await?;
    let cases = server.handlers().join("events.cases.toml");
    for (text, part) in [
        (failed(), "a refusal is sung"),
        ("[[case]]\nname = 3".to_owned(), "the cases: TOML"),
        ("\u{1}".repeat(1 << 21), "handler_cases_bytes_max"),
    ] {
        let mark = server.log().mark();
        fs::write(&cases, text)?;
        let line = server.log().line_since(mark, &["rejected, keeping", part]).await?;
        assert!(line.contains("cases") || line.contains("the case"), "{line}");
        unchanged(&mut ann).await?;
    }
    // With cases that pass, and with none, files are admitted again.
    fs::write(&cases, passed())?;
    server.deploy("events", guest("shouting_events")).await?;
    fs::remove_file(&cases)?;
    server.deploy("events", standard("events")).await?;
    unchanged(&mut ann).await
}

#[tokio::test]
async fn a_start_runs_the_cases_of_a_new_file() -> TestResult {
    let mut server = TestServer::start().await?;
    let directory = server.handlers();
    server
        .restart_after(|| {
            fs::write(directory.join("events.cases.toml"), failed())?;
            handlers::place(&directory, "events", &handlers::read(&guest("shouting_events"))?)
        })
        .await?;
    server.wait_for_log("a refusal is sung").await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    unchanged(&mut ann).await
}
