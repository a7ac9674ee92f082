//! The watchdog hears from a server that works, and from no other (sd_watchdog_enabled(3)).

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ondol_tests::{NEVER_MS, Setup, Supervisor, TestResult, TestServer, command::is_installed, until};
use serde_json::json;

/// How often the supervisor wants to hear at least.
const EVERY: Duration = Duration::from_millis(400);

/// Longer than a server that works is silent.
const SILENCE: Duration = Duration::from_secs(3);

async fn watched(setup: Setup) -> TestResult<(Supervisor, TestServer)> {
    let supervisor = Supervisor::start()?;
    let server = supervisor.of(setup).env("WATCHDOG_USEC", EVERY.as_micros()).start().await?;
    hear(&supervisor, 3).await?;
    Ok((supervisor, server))
}

async fn hear(supervisor: &Supervisor, times: usize) -> TestResult {
    for _ in 0..times {
        supervisor.expect("WATCHDOG=1").await?;
    }
    Ok(())
}

/// A program that holds system calls of a process up until it is dropped.
struct HoldUp(Child);

impl HoldUp {
    /// Holds up `calls` of these threads, or of all threads if there are none.
    fn start(server: &TestServer, threads: &[u32], calls: &str) -> TestResult<Self> {
        let mut strace = Command::new("strace");
        if threads.is_empty() {
            strace.args(["-f", "-p", &server.pid().to_string()]);
        }
        for thread in threads {
            strace.args(["-p", &thread.to_string()]);
        }
        strace.args(["-o", "/dev/null", "-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:delay_enter={}", NEVER_MS * 1_000)]);
        Ok(Self(strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for HoldUp {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The ids of the runtime's threads.
fn workers(server: &TestServer) -> TestResult<Vec<u32>> {
    let mut workers = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/task", server.pid()))? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("comm"))?.starts_with("tokio-r") {
            workers.push(entry.file_name().to_string_lossy().parse()?);
        }
    }
    Ok(workers)
}

#[tokio::test]
async fn a_server_that_is_stopped_is_not_heard() -> TestResult {
    let (supervisor, server) = watched(TestServer::setup()).await?;
    server.signal("STOP")?;
    supervisor.expect_silence(SILENCE).await?;
    server.signal("CONT")?;
    hear(&supervisor, 2).await
}

#[tokio::test]
async fn a_full_disk_is_no_reason_for_a_restart() -> TestResult {
    let (supervisor, server) = watched(TestServer::setup()).await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.fill_disk(true)?;
    ann.say("too much").await?;
    ann.expect_error("not_stored").await?;
    until("not ready", async || server.get("/readyz").await.ok().filter(|answer| answer.status == 503)).await?;
    hear(&supervisor, 5).await?;
    server.fill_disk(false)
}

#[tokio::test]
async fn workers_that_hang_are_not_heard() -> TestResult {
    if !is_installed("strace")? {
        return Ok(());
    }
    let (supervisor, server) = watched(TestServer::setup()).await?;
    let held = HoldUp::start(&server, &workers(&server)?, "epoll_wait,futex,sendto,read,write,recvfrom")?;
    supervisor.expect_silence(SILENCE).await?;
    drop(held);
    hear(&supervisor, 2).await
}

#[tokio::test]
async fn a_commit_that_hangs_is_not_heard() -> TestResult {
    if !is_installed("strace")? {
        return Ok(());
    }
    let (supervisor, server) = watched(TestServer::setup()).await?;
    let room = server.create_room("lobby").await?;
    let _held = HoldUp::start(&server, &[], "fdatasync,fsync")?;
    let body = json!({"room": room, "message": "never stored"}).to_string();
    // The first ones may come before strace does.
    let talk = async {
        loop {
            let post = server.request("POST", "/chat/v1/message/").identity("ann").json(body.clone());
            post.send().await?.expect(201)?;
        }
    };
    tokio::select! {
        talked = talk => talked,
        silent = supervisor.expect_silence(SILENCE) => silent,
    }?;
    server.wait_for_log("no sign of life for the watchdog: messages have waited").await?;
    server.get("/healthz").await?.expect(200)?;
    Ok(())
}
