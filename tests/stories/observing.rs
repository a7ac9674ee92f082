//! What an author sees of live handlers without a shell on the server: their lines and faults as they come, and calls to
//! make cases of.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use ondol_tests::{
    TestResult, TestServer,
    command::{self, Output},
    guest, ondol, standard,
};

fn handlers(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    ondol(&[&["handlers"], words, &["--admin", server.admin_address()?]].concat())
}

#[tokio::test]
async fn printed_lines_and_faults_are_followed() -> TestResult {
    let server = TestServer::setup().admin().handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    handlers(&server, &["logs"])?.expect(0)?;

    let mut following = Command::new(command::binary())
        .args(["handlers", "logs", "--follow", "--admin", server.admin_address()?])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = following.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        for line in BufReader::new(output).lines() {
            seen.push(line?);
            if seen.iter().any(|line| line.contains("FAULT   in ")) {
                break;
            }
        }
        TestResult::Ok(seen)
    });
    ann.say("it is a trap").await?;
    ann.expect_error("handler_fault").await?;
    let seen = reading.await??;
    following.kill()?;
    following.wait()?;
    for part in ["events", "FAULT failed, its sender gets an error: it panicked at", "the trap that was asked for"] {
        assert!(seen.iter().any(|line| line.contains(part)), "{part:?} is not in {seen:?}");
    }

    let earlier = handlers(&server, &["logs"])?;
    earlier.expect_parts(0, &["FAULT failed, its sender gets an error: it panicked at"])?;
    handlers(&server, &["logs", "--lines", "1"])?.expect_parts(0, &["FAULT   in "])
}

#[tokio::test]
async fn live_calls_become_cases_without_their_users() -> TestResult {
    let server = TestServer::setup().admin().setting("messages", "text_length_max", 20).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for (handler, texts) in [("messages", 3), ("events", 2)] {
        let home = tempfile::tempdir()?;
        let table = home.path().join("cases.toml");
        let (address, file) = (server.admin_address()?.to_owned(), table.display().to_string());
        let recording = tokio::task::spawn_blocking(move || {
            let calls = if handler == "messages" { "3" } else { "2" };
            ondol(&["handlers", "record", "--handler", handler, "--calls", calls, "-o", &file, "--admin", &address])
        });
        server.wait_for_log(&format!("calls of {handler} are recorded")).await?;
        for number in 1..=texts {
            ann.say(&format!("message {number}")).await?;
            ann.expect_message(&format!("message {number}")).await?;
        }
        if handler == "messages" {
            ann.say("more than twenty characters").await?;
            ann.expect_error("too_long").await?;
        }
        recording.await??.expect_parts(0, &["calls of"])?;
        let cases = fs::read_to_string(&table)?;
        assert!(cases.contains("User 1") && !cases.contains("ann"), "{cases}");
        assert!(cases.contains("message 1"), "{cases}");
        let component = standard(handler).display().to_string();
        ondol(&["test", &component, "--cases", &table.display().to_string()])?.expect_parts(0, &[" 0 failed"])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_recording_without_calls_ends_with_a_sentence() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let home = tempfile::tempdir()?;
    let file = home.path().join("cases.toml").display().to_string();
    handlers(&server, &["record", "--seconds", "1", "-o", &file])?
        .expect_parts(1, &["no call of messages came within 1 s"])?;
    handlers(&server, &["record", "--handler", "doors", "-o", &file])?.expect_parts(1, &["handler"])?;
    assert!(!std::path::Path::new(&file).exists());
    Ok(())
}
