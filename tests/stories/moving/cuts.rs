//! Exports and imports that are cut off: by `kill -9`, by a signal, by a full disk. They go on where they were.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ondol_tests::{command, disk::Chance, until};
use rusqlite::{Connection, OpenFlags};

use super::*;

/// How many times each is killed at least, and for how long more at most.
const KILLS: usize = 5;
const TIME_MAX: Duration = Duration::from_secs(10);

fn start(words: &[&str], file: &Path, data: &Path) -> TestResult<Child> {
    let mut command = Command::new(command::binary());
    command.args(words).arg(file).arg("--data").arg(data);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// The bytes that a process has read, or written, so far. See proc_pid_io(5).
fn bytes(child: &Child, which: &str) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(": "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Sends a signal once so many bytes were read or written. True: the process had not ended by itself.
async fn cut(mut child: Child, which: &str, after: u64, signal: &str) -> TestResult<bool> {
    until("a part of the work", async || {
        let has_ended = child.try_wait().ok().flatten().is_some();
        (has_ended || bytes(&child, which) >= after).then_some(())
    })
    .await?;
    // It may have ended by now.
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).stderr(Stdio::null()).status();
    Ok(!child.wait()?.success())
}

#[tokio::test]
async fn an_export_that_is_killed_goes_on() -> TestResult {
    let (directory, data) = (TempDir::new()?, TempDir::new()?);
    let (foreign, mut chance) = (foreign_file(directory.path(), 9, 20_000)?, Chance::new(20));
    import(&foreign, data.path())?.expect(0)?;
    let whole = directory.path().join("whole.jsonl");
    export(data.path(), &whole)?.expect(0)?;
    let size = fs::metadata(&whole)?.len();
    let (file, partial) = (directory.path().join("cut.jsonl"), directory.path().join("cut.jsonl.partial"));
    let (mut kills, begun) = (0, Instant::now());
    while kills < KILLS || kills < 40 && begun.elapsed() < TIME_MAX {
        for _ in 0..=chance.below(3) {
            let child = start(&["export"], &file, data.path())?;
            kills += usize::from(cut(child, "wchar", chance.below(size), "KILL").await?);
            // What a power failure leaves of a line.
            if partial.exists() && chance.coin() {
                let written = fs::read(&partial)?;
                let left = written.len() - usize::try_from(chance.below(100))?.min(written.len());
                fs::write(&partial, [&written[..left], &[0; 50]].concat())?;
            }
        }
        if !file.exists() {
            export(data.path(), &file)?.expect_parts(0, &["9 rooms, 19998 messages"])?;
        }
        assert_eq!(lines(&whole)?, lines(&file)?);
        assert!(!partial.exists());
        fs::remove_file(&file)?;
    }
    eprintln!("{kills} kills");
    // An unfinished export of another database is not continued.
    let child = start(&["export"], &file, data.path())?;
    ensure!(cut(child, "wchar", size / 2, "TERM").await?, "it was not cut off");
    let other = TempDir::new()?;
    import(&foreign, other.path())?.expect(0)?;
    export(other.path(), &file)?.expect_parts(1, &["cut.jsonl.partial is from another database"])?;
    export(data.path(), &file)?.expect_parts(0, &[" of them by an earlier run)"])?;
    export(data.path(), &file)?.expect_parts(1, &["cut.jsonl exists, and an export overwrites nothing"])?;
    assert_eq!(lines(&whole)?, lines(&file)?);
    Ok(())
}

#[tokio::test]
async fn an_import_that_is_killed_goes_on() -> TestResult {
    let directory = TempDir::new()?;
    let (foreign, mut chance) = (foreign_file(directory.path(), 7, 30_000)?, Chance::new(21));
    let whole = TempDir::new()?;
    import(&foreign, whole.path())?.expect(0)?;
    let expected = directory.path().join("expected.jsonl");
    export(whole.path(), &expected)?.expect(0)?;
    // The file is checked and then read, and the database is read.
    let size = 3 * fs::metadata(&foreign)?.len();
    let (mut kills, mut halves, begun) = (0, 0, Instant::now());
    while kills < KILLS || halves == 0 || kills < 40 && begun.elapsed() < TIME_MAX {
        let data = TempDir::new()?;
        for _ in 0..=chance.below(3) {
            let child = start(&["import"], &foreign, data.path())?;
            let was_killed = cut(child, "rchar", chance.below(size), "KILL").await?;
            kills += usize::from(was_killed);
            halves += usize::from(imported(data.path()) > 0);
            if !was_killed {
                break;
            }
        }
        // Also if it was killed between its last commit and the line that says so.
        import(&foreign, data.path())?.expect_parts(0, &[": imported", "7 rooms, 29995 messages"])?;
        let file = data.path().join("again.jsonl");
        export(data.path(), &file)?.expect(0)?;
        assert_eq!(lines(&expected)?, lines(&file)?);
        verify(data.path())?;
    }
    eprintln!("{kills} kills, {halves} of them with a part of the messages in the database");
    Ok(())
}

/// The messages of an unfinished import.
fn imported(data: &Path) -> u64 {
    let count = || {
        let database = Connection::open_with_flags(data.join("ondol.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        database.query_row("SELECT messages FROM import_progress", [], |row| row.get::<_, i64>(0))
    };
    count().unwrap_or(0).unsigned_abs()
}

fn user_version(server: &TestServer) -> TestResult<i64> {
    Ok(Connection::open(server.database_file())?.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[test]
fn a_file_is_imported_once() -> TestResult {
    let (directory, data) = (TempDir::new()?, TempDir::new()?);
    let foreign = foreign_file(directory.path(), 2, 100)?;
    import(&foreign, data.path())?.expect_parts(0, &["imported, 2 rooms, 100 messages; the digests agree"])?;
    // As after a cut between the last commit and the line that says so.
    for _ in 0..2 {
        let already = "imported already, 2 rooms, 100 messages; nothing was written";
        import(&foreign, data.path())?.expect_parts(0, &[already])?;
    }
    let text = fs::read_to_string(&foreign)?;
    fs::write(&foreign, text.replacen("안녕", "안뇽", 1))?;
    import(&foreign, data.path())?
        .expect_parts(1, &["line 2: id: the database has a room 1", "nothing was imported"])?;
    verify(data.path()).map(drop)
}

/// A file that appears while an export is written.
#[tokio::test]
async fn an_export_never_takes_the_name_of_another_file() -> TestResult {
    let (directory, data) = (TempDir::new()?, TempDir::new()?);
    let foreign = foreign_file(directory.path(), 3, 60_000)?;
    import(&foreign, data.path())?.expect(0)?;
    let (file, partial) = (directory.path().join("own.jsonl"), directory.path().join("own.jsonl.partial"));
    let mut child = start(&["export"], &file, data.path())?;
    // It has looked for the file when it has begun to write, and is stopped long before it ends.
    until("a first line", async || fs::metadata(&partial).is_ok_and(|file| file.len() > 0).then_some(())).await?;
    let signal = |name: &str| Command::new("kill").arg(name).arg(child.id().to_string()).status();
    signal("-STOP")?;
    ensure!(partial.exists(), "the export had ended before it was stopped");
    fs::write(&file, "another")?;
    signal("-CONT")?;
    assert_eq!(child.wait()?.code(), Some(1));
    assert_eq!(fs::read_to_string(&file)?, "another");
    fs::remove_file(&file)?;
    export(data.path(), &file)?.expect_parts(0, &["3 rooms, 60000 messages"])
}

#[tokio::test]
async fn a_full_disk_leaves_an_import_that_goes_on_and_that_no_server_starts_on() -> TestResult {
    let directory = TempDir::new()?;
    let foreign = foreign_file(directory.path(), 3, 40_000)?;
    let mut server = TestServer::start().await?;
    server.signal("TERM")?;
    server.exit().await?;
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$@\"", "sh"]).arg(command::binary());
    let output = command::run(limited.arg("import").arg(&foreign).arg("--data").arg(server.data()))?;
    output.expect_parts(1, &["cannot write", "run the same command again to go on"])?;
    let before = imported(&server.data());
    ensure!((1..40_000).contains(&before), "{before} messages");

    let (status, log) = server.start_another().await?;
    assert_eq!(status, Some(1), "{log}");
    for part in ["an import into this database is not finished: finish it with `ondol import ", "foreign.jsonl"] {
        assert!(log.contains(part), "{log}");
    }
    // Servers that know nothing of imports take it for a database of a later one, and leave it as it is.
    ensure!(user_version(&server)? > 1_000_000, "an earlier server starts on it");
    verify(&server.data())?;
    let backup = directory.path().join("half.db");
    ondol(&["backup".as_ref(), backup.as_os_str(), "--data".as_ref(), server.data().as_os_str()])?.expect(0)?;
    let unfinished = "an import into this database is not finished: finish it with `ondol import ";
    export(&server.data(), &directory.path().join("half.jsonl"))?.expect_parts(1, &[unfinished])?;
    let (data, handlers) = (server.data(), server.handlers());
    let check = ["check".as_ref(), "--data".as_ref(), data.as_os_str(), "--handlers".as_ref(), handlers.as_os_str()];
    ondol(&check)?.expect_parts(1, &["wrong  database: ", unfinished])?;
    let other = directory.path().join("other.jsonl");
    fs::write(&other, "{\"type\":\"ondol.export\",\"format\":1}\n")?;
    import(&other, &server.data())?.expect_parts(1, &["is not the file whose import is unfinished"])?;

    import(&foreign, &server.data())?.expect_parts(0, &["by an earlier run)", "the digests agree"])?;
    verify(&server.data())?;
    ensure!(user_version(&server)? < 1_000, "no server starts on it");
    server.restart_after(|| Ok(())).await?;
    let room = server.get("/chat/v1/room/3/").await?.expect(200)?;
    assert_eq!(room["seq"], 13_333);
    Ok(())
}

#[tokio::test]
async fn a_signal_stops_in_order() -> TestResult {
    let (directory, data) = (TempDir::new()?, TempDir::new()?);
    let foreign = foreign_file(directory.path(), 3, 20_000)?;
    let size = fs::metadata(&foreign)?.len();
    let child = start(&["import"], &foreign, data.path())?;
    ensure!(cut(child, "rchar", size + size / 3, "INT").await?, "it was not cut off");
    import(&foreign, data.path())?.expect_parts(0, &["the digests agree"])
}
