//! What a command replaces or ends, the release that a deploy is aimed at, and answers that help.

use std::fs;

use ondol_tests::{TestResult, TestServer, guest, ondol, until};
use serde_json::{Value, json};

use crate::trials::{active, asked, command, operated};

/// `HANDLER=FILE` of a guest.
fn file(handler: &str, name: &str) -> String {
    format!("{handler}={}", guest(name).display())
}

/// What befell the active release, in its order.
async fn events(server: &TestServer) -> TestResult<Vec<String>> {
    let history = asked(server, "/v1/releases?limit=1").await?;
    let events = history[0]["events"].as_array().cloned().unwrap_or_default();
    Ok(events.iter().map(|event| event["what"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn a_canary_that_replaces_another_says_so() -> TestResult {
    let server = operated().await?;
    let events_file = file("events", "shouting_events");
    command(&server, &["deploy", &events_file, "--percent", "50", "--actor", "minji"])?.expect(0)?;
    let second = command(&server, &["deploy", &events_file, "--percent", "10"])?;
    second.expect_parts(0, &["canary in 10 %", "ended: canary in 50 %", "by minji (local)"])?;
    command(&server, &["canary", "drop"])?.expect_parts(0, &["canary ended", "ended: canary in 10 %"])?;
    let expected = ["canary_started", "canary_ended", "canary_started", "canary_ended"];
    assert_eq!(events(&server).await?, expected);
    command(&server, &["history"])?
        .expect_parts(0, &["canary started by minji (local): events ", "in 50 % of the rooms"])
}

#[tokio::test]
async fn a_deploy_that_ends_a_canary_says_so() -> TestResult {
    let server = operated().await?;
    command(&server, &["deploy", &file("events", "shouting_events"), "--percent", "50"])?.expect(0)?;
    let deploy = command(&server, &["deploy", &file("messages", "relaying_messages")])?;
    deploy.expect_parts(0, &["release 2 is active", "ended: canary in 50 %"])?;
    assert_eq!(events(&server).await?, ["canary_ended"]);
    Ok(())
}

#[tokio::test]
async fn a_shadow_that_replaces_another_returns_its_results() -> TestResult {
    let server = operated().await?;
    let start = |name: &str| command(&server, &["shadow", "start", &file("events", name)]);
    start("shouting_events")?.expect(0)?;
    let second = start("twentieth_events")?;
    second.expect_parts(0, &["ended: shadow since", "0 calls"])?;
    command(&server, &["shadow", "stop", "--reason", "seen enough"])?.expect_parts(0, &["shadow ended"])?;
    let expected = ["shadow_started", "shadow_ended", "shadow_started", "shadow_ended"];
    assert_eq!(events(&server).await?, expected);
    command(&server, &["history"])?.expect_parts(0, &["shadow ended by local: stopped; events ", "seen enough"])
}

#[tokio::test]
async fn a_rollback_that_ends_a_probation_says_so() -> TestResult {
    let server = operated().await?;
    command(&server, &["deploy", &file("events", "shouting_events")])?.expect_parts(0, &["on probation"])?;
    command(&server, &["rollback"])?.expect_parts(0, &["ended: the probation of release 2"])?;
    assert_eq!(events(&server).await?, ["probation_ended"]);
    Ok(())
}

#[tokio::test]
async fn a_shadow_shows_answers_as_json() -> TestResult {
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    command(&server, &["shadow", "start", "--setting", "messages.text_length_max=3"])?.expect(0)?;
    ann.say("longer").await?;
    ann.expect_message("longer").await?;
    until("a call of the shadow", async || {
        asked(&server, "/v1/shadow").await.is_ok_and(|row| row["calls"] == 1).then_some(())
    })
    .await?;
    let status = command(&server, &["shadow", "status"])?;
    status.expect_parts(0, &[r#"- {"post":{"text":"longer","client-id":null,"parent":null,"extra":null}}"#])?;
    status.expect_parts(0, &[r#"+ refused: {"code":"too_long""#])
}

#[tokio::test]
async fn a_deploy_is_rejected_when_another_release_became_active() -> TestResult {
    let server = operated().await?;
    let put = async |expected: Value| {
        let body = json!({ "events": { "settings": { "announce": "nothing" } }, "expected_release": expected });
        server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await
    };
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let detail = put(json!(1)).await?.expect_detail(409, "overtaken")?;
    assert!(detail.contains("aimed at release 1, and release 2 is active"), "{detail}");
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 2);
    put(json!(2)).await?.expect(200)?;
    Ok(())
}

/// A server with two releases that logs what it prepares.
async fn talkative() -> TestResult<TestServer> {
    let server = TestServer::setup().admin().flag("--log").flag("info,ondol=debug").start().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    Ok(server)
}

/// Starts a deploy with the command and, while that prepares, makes another release active.
async fn overtaken(server: &TestServer, more: &[&str]) -> TestResult<ondol_tests::command::Output> {
    // Cases that take a while: each of them makes an instance and runs into its deadline.
    let cases = server.root().join("cases.toml");
    let case = "[[case]]\nname = \"slow\"\ncall = \"messages.receive\"\nargs_json = '''[{\"id\":\"u\",\"nickname\":\"u\",\
                \"email\":\"u@example.com\"},1,{\"text\":\"{\\\"type\\\":\\\"chat.message\\\",\\\"message\\\":\\\"spin\\\"}\"}]'''\n\
                traps = \"\"\n";
    fs::write(&cases, case.repeat(30))?;
    let (component, cases) = (file("messages", "spinning_messages"), format!("messages={}", cases.display()));
    let address = server.admin_address()?.to_owned();
    let words = ["handlers", "deploy", &component, "--cases", &cases, "--admin", &address];
    let words: Vec<String> = words.iter().chain(more).map(|word| (*word).to_owned()).collect();
    let mark = server.log().mark();
    let deploy = tokio::task::spawn_blocking(move || ondol(&words));
    server.log().line_since(mark, &["deploy by local is being prepared"]).await?;
    server.admin("POST", "/v1/rollback")?.send().await?.expect(200)?;
    deploy.await?
}

#[tokio::test]
async fn a_rollback_during_a_slow_deploy_is_not_undone_by_it() -> TestResult {
    let server = talkative().await?;
    let messages = active(&server, "messages").await?;
    let deploy = overtaken(&server, &[]).await?;
    deploy.expect_parts(1, &["aimed at release 2, and release 3 is active", "--anyway deploys nevertheless"])?;
    assert_eq!(active(&server, "messages").await?, messages);
    Ok(())
}

#[tokio::test]
async fn a_deploy_may_be_made_anyway() -> TestResult {
    let server = talkative().await?;
    overtaken(&server, &["--anyway"]).await?.expect_parts(0, &["release 4 is active"])
}

#[tokio::test]
async fn answers_help() -> TestResult {
    let server = operated().await?;
    let at = |admin: &str, words: &[&str]| ondol(&[&["handlers"], words, &["--admin", admin]].concat());
    // The port of the chat.
    at(server.address(), &["status"])?.expect_parts(1, &["does not answer as the admin API", "--admin"])?;
    at(server.address(), &["deploy", "--setting", "rooms.a=1"])?
        .expect_parts(1, &["does not answer as the admin API"])?;
    let digits = command(&server, &["rollback", "--version", "zz"])?;
    digits.expect_parts(1, &["ondol: to: expected the number of a release"])?;
    assert!(!digits.stderr.contains('{'), "{}", digits.stderr);
    // A host by its name.
    let named = server.admin_address()?.replace("127.0.0.1", "localhost");
    at(&named, &["status"])?.expect_parts(0, &["ready"])?;
    let module = server.root().join("module.wasm");
    fs::write(&module, b"\0asm\x01\0\0\0")?;
    let module = format!("events={}", module.display());
    command(&server, &["deploy", &module])?.expect_parts(1, &["core module", "wasm-tools component new"])
}

#[tokio::test]
async fn a_wrong_token_is_told_from_a_missing_one() -> TestResult {
    let server = TestServer::setup().admin().env("ONDOL_ADMIN_TOKEN", "right").start().await?;
    let wrong = server.root().join("token");
    fs::write(&wrong, "wrong")?;
    command(&server, &["status"])?.expect_parts(1, &["requires its token", "--token-file"])?;
    let wrong = command(&server, &["status", "--token-file", &wrong.display().to_string()])?;
    wrong.expect_parts(1, &["This is not the token", "--token-file"])
}

#[tokio::test]
async fn the_admin_api_listens_on_a_host_by_its_name() -> TestResult {
    let server = TestServer::setup().flag("--admin").flag("localhost:0").start().await?;
    command(&server, &["status"])?.expect_parts(0, &["ready"])?;
    Ok(())
}
