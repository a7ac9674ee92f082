//! One conversation with WebSocket clients of other languages: Python's `websockets`, Node's `ws` and Java's own. The scripts
//! are in `tests/clients`; `.ci/run` installs the packages in `target/tools`. A client that is missing is skipped by name, but
//! not in CI.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    TestResult, TestServer, User,
    handlers::{target, workspace},
    log::Log,
};

/// A program that is ended with its story.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program with the packages of `target/tools`, and with UTF-8 whatever the user's locale.
fn program(name: &str) -> Command {
    let own = target().join("tools/bin").join(name);
    let mut command = if own.is_file() { Command::new(own) } else { Command::new(name) };
    command.env("NODE_PATH", target().join("tools/node_modules")).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null());
    command
}

/// Has the conversation, and checks what the client tells of it.
async fn converses(story: &str, name: &str, probe: &[&str], script: &str) -> TestResult {
    let probed = program(name).args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probed.is_ok_and(|status| status.success()) {
        ensure!(std::env::var_os("CI").is_none(), "{story}: no {name} with what it needs, and CI is set");
        eprintln!("skipped: {story}: no {name} with what it needs");
        return Ok(());
    }
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;

    let address =
        format!("ws://{}/ws/chat/{room}/chat/?{}", server.address(), User::named("u1").called("지우").query());
    let mut command = program(name);
    command.arg(workspace().join("tests/clients").join(script)).arg(address).stdout(Stdio::piped());
    let mut running = Running(command.spawn()?);
    let told = Log::follow(running.0.stdout.take().context("no standard output")?);

    ann.expect_join("지우").await?;
    let long = "가".repeat(2_000);
    for text in ["안녕하세요! ♨", &long, "조각난 말"] {
        let event = ann.expect_message(text).await?;
        ensure!(event["sender"] == "u1@example.com" && event["nickname"] == "지우", "{event}");
    }
    ann.say("어서 와요").await?;
    ann.expect_message("어서 와요").await?;
    ann.expect_leave("지우").await?;
    ann.expect_join("지우").await?;
    ann.leave().await?;
    told.line_since(0, &["leave ann"]).await.with_context(|| format!("{name} told {:?}", told.since(0)))?;
    server.signal("TERM")?;
    told.end().await?;
    let told: Vec<_> = told.since(0).iter().map(|line| line.replace(&long, "가 × 2000")).collect();
    ensure!(running.0.wait()?.success(), "{name} failed after {told:?}");
    let expected = [
        "chat.user.join 지우",
        "chat.message 안녕하세요! ♨",
        "chat.message 가 × 2000",
        "pong",
        "error binary",
        "chat.message 조각난 말",
        "chat.message 어서 와요",
        "closed 1000",
        "chat.user.join 지우",
        "chat.user.leave ann",
        "closed 1001",
    ];
    assert_eq!(told, expected);
    ensure!(server.exit().await?.success(), "the server did not end cleanly");
    Ok(())
}

#[tokio::test]
async fn websockets_of_python_converses() -> TestResult {
    converses("websockets_of_python_converses", "python3", &["-c", "import websockets.sync"], "conversation.py").await
}

#[tokio::test]
async fn ws_of_node_converses() -> TestResult {
    converses("ws_of_node_converses", "node", &["-e", "require('ws')"], "conversation.js").await
}

#[tokio::test]
async fn javas_own_client_converses() -> TestResult {
    converses("javas_own_client_converses", "java", &["--version"], "Conversation.java").await
}
