//! Handlers in other languages than Rust. Those of the directory `examples`, as `make examples` builds them, pass the portable
//! cases of the default handler, and go through their probation in a server under load. Those of `ondol new` build as their
//! READMEs say, and a save changes a live chat.

use std::path::Path;

use anyhow::ensure;
use ondol_tests::author::{Dev, Project};
use ondol_tests::handlers::example;
use ondol_tests::{Client, Request, TestResult, TestServer, User, ondol, standard};
use serde_json::{Value, json};

const CASES: &str = "handlers/messages/cases.toml";

#[tokio::test]
async fn the_handler_in_javascript_passes_its_cases_and_its_probation() -> TestResult {
    // Built without any option, so that it imports `wasi:http`.
    let Some(file) = example("languages", "javascript")? else { return Ok(()) };
    ondol(&["inspect".as_ref(), file.as_os_str()])?.expect_parts(0, &["wasi:http/outgoing-handler"])?;
    is_admitted_and_stays(&file).await
}

#[tokio::test]
async fn the_handler_in_python_passes_its_cases_and_its_probation() -> TestResult {
    let Some(file) = example("languages", "python")? else { return Ok(()) };
    ondol(&["inspect".as_ref(), file.as_os_str()])?.expect_parts(0, &["wasi:sockets/tcp-create-socket"])?;
    is_admitted_and_stays(&file).await
}

#[tokio::test]
async fn the_filter_in_c_passes_its_cases_and_its_probation() -> TestResult {
    let Some(file) = example("languages", "filtered")? else { return Ok(()) };
    passes(&file, "examples/c/cases.toml")?;
    is_admitted_and_stays(&file).await
}

async fn status(server: &TestServer) -> TestResult<Value> {
    server.admin("GET", "/v1/status")?.send().await?.expect(200)
}

/// The portable cases pass. They also put the compiled code into the cache of the stories.
fn passes(file: &Path, cases: &str) -> TestResult {
    let words = ["test".as_ref(), file.as_os_str(), "--portable".as_ref(), "--cases".as_ref(), cases.as_ref()];
    ondol(&words)?.expect_parts(0, &[" passed, 0 failed"])
}

/// The handler is deployed while members talk, answers them, and is the baseline in the end.
async fn is_admitted_and_stays(file: &Path) -> TestResult {
    passes(file, CASES)?;
    let server = TestServer::setup().admin().without_rate_limits().limit("probation_ms", 2_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("before").await?;
    ann.expect_message("before").await?;

    let answer = server.upload("messages", file).await?;
    let version = answer.expect(200)?["versions"]["messages"].clone();
    let mut said = 0;
    // As many calls as a probation wants to see, and on until it has ended.
    while said < 500 || status(&server).await?["probation"] != Value::Null {
        for _ in 0..50 {
            said += 1;
            ann.say(&format!("안녕하세요 {said}")).await?;
            ann.expect_message(&format!("안녕하세요 {said}")).await?;
        }
    }
    let status = status(&server).await?;
    assert_eq!(status["handlers"]["messages"]["version"], version, "it is no longer active: {status}");
    ensure!(server.log().since(0).iter().all(|line| !line.contains("failed its probation")), "it failed");

    server.upload("messages", standard("messages")).await?.expect(200)?;
    ann.say("after").await?;
    ann.expect_message("after").await?;
    Ok(())
}

/// Follows the README of a new handler of each world: it builds, and passes its cases and the admission checks.
fn build_as_their_readmes_say(lang: &str, worlds: &[&str]) -> TestResult {
    for world in worlds {
        let Some(project) = Project::in_language("new", lang, world)? else { return Ok(()) };
        let said = project.follow_readme()?;
        ensure!(said.contains(" passed, 0 failed") && said.contains("fine   "), "{lang}, {world}: {said}");
    }
    Ok(())
}

#[test]
fn new_handlers_in_javascript_build_as_their_readmes_say() -> TestResult {
    build_as_their_readmes_say("js", &["rooms", "messages", "events"])
}

#[test]
fn new_handlers_in_python_build_as_their_readmes_say() -> TestResult {
    build_as_their_readmes_say("python", &["rooms", "messages", "events"])
}

#[test]
fn new_handlers_in_c_build_as_their_readmes_say() -> TestResult {
    build_as_their_readmes_say("c", &["rooms", "middleware"])
}

/// `ondol dev` at work in a project, and the address of its server.
async fn live(project: &Project) -> TestResult<(Dev, String)> {
    let dev = project.dev(&["--listen", "127.0.0.1:0"])?;
    dev.built_since(0).await?;
    let address = dev.address().await?;
    Ok((dev, address))
}

/// A member of a new room. It is not kept while a compiler works: the server closes connections that are silent for long.
async fn member(address: &str) -> TestResult<Client> {
    let ann = User::named("ann");
    let create = Request::new(address, "POST", "/chat/v1/create-room/").identity(&ann);
    let room = create.json(json!({"name": "lobby"}).to_string()).send().await?.expect(201)?;
    let mut member = Client::open(address, room["id"].as_u64().unwrap(), &ann).await?;
    member.expect_join("ann").await?;
    Ok(member)
}

/// Saves an edit, and waits until it is live.
async fn save(project: &Project, dev: &Dev, file: &str, from: &str, to: &str) -> TestResult {
    let mark = dev.log.mark();
    project.edit(file, from, to)?;
    dev.built_since(mark).await?;
    dev.active_since(mark).await
}

/// A save of a new `messages` handler is heard.
async fn a_save_is_heard(lang: &str, file: &str, from: &str, to: &str) -> TestResult {
    let Some(project) = Project::in_language("live", lang, "messages")? else { return Ok(()) };
    let (dev, address) = live(&project).await?;
    let mut ann = member(&address).await?;
    ann.say("hi").await?;
    ann.expect_message("hi").await?;
    drop(ann);
    save(&project, &dev, file, from, to).await?;
    let mut ann = member(&address).await?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    Ok(())
}

#[tokio::test]
async fn a_save_in_javascript_changes_a_live_chat() -> TestResult {
    a_save_is_heard("js", "messages.js", "readText(fields.message)", "readText(fields.message).toUpperCase()").await
}

#[tokio::test]
async fn a_save_in_python_changes_a_live_chat() -> TestResult {
    a_save_is_heard("python", "messages.py", "text=read_text(fields)", "text=read_text(fields).upper()").await
}

#[tokio::test]
async fn a_save_in_c_changes_a_live_chat() -> TestResult {
    let Some(project) = Project::in_language("live", "c", "middleware")? else { return Ok(()) };
    project.edit("handler.toml", "[settings]", "[settings]\n\"live-c-middleware.words\" = \"damn\"")?;
    let (dev, address) = live(&project).await?;
    let why = "The message contains a word that is not allowed here.";
    for (edit, heard) in [(None, why), (Some("Not so loud!"), "Not so loud!")] {
        if let Some(edit) = edit {
            save(&project, &dev, "middleware.c", why, edit).await?;
        }
        let mut ann = member(&address).await?;
        ann.expect_nothing_before("hi").await?;
        ann.say("Damn").await?;
        assert_eq!(ann.expect_error("forbidden_word").await?["message"], heard);
    }
    Ok(())
}
