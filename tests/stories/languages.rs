//! Handlers in other languages than Rust, as `make examples` builds them of the directory `examples`: they pass the portable
//! cases of the default handler, and go through their probation in a server under load.

use std::path::Path;

use anyhow::ensure;
use ondol_tests::handlers::example;
use ondol_tests::{TestResult, TestServer, ondol, standard};
use serde_json::Value;

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
