//! A disk that fills up during a chat and is freed again, and one that is too full for a copy of the database, on each of
//! the usual file systems. Needs root, loop devices
//! and the tools that make the file systems; skipped by name where they are missing, but not in CI.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use ondol_tests::{Client, Heard, Ledger, TestResult, TestServer, ondol, until};
use serde_json::Value;

/// The size of a file system.
const MIB: u64 = 256;

/// A file system of its own, until dropped.
struct Mounted {
    at: PathBuf,
    _directory: tempfile::TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

fn run(command: &mut Command) -> TestResult {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Makes a file system of this kind in a file, or in memory, and mounts it.
fn mount(kind: &str) -> TestResult<Mounted> {
    let directory = tempfile::TempDir::with_prefix("ondol-disk-")?;
    let (image, at) = (directory.path().join("image"), directory.path().join("at"));
    fs::create_dir(&at)?;
    if kind == "tmpfs" {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={MIB}M"), "ondol"]).arg(&at))?;
    } else {
        // XFS requires at least 300 MB.
        File::create(&image)?.set_len((if kind == "xfs" { 320 } else { MIB }) << 20)?;
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))?;
    }
    Ok(Mounted { at, _directory: directory })
}

/// Writes until nothing more fits.
fn fill(at: &Path) -> TestResult<PathBuf> {
    let path = at.join("fill");
    let mut file = File::create(&path)?;
    for piece in [1 << 20, 1 << 16, 512, 1] {
        while file.write_all(&vec![7; piece]).is_ok() {}
    }
    // Space that is free only until delayed allocation happens is used as well.
    let _ = file.sync_all();
    while file.write_all(&[7]).is_ok() {}
    Ok(path)
}

/// Sends a message. True: it was stored; false: it was refused or the connection ended.
async fn say(ann: &mut Client, ledger: &mut Ledger, text: &str) -> TestResult<bool> {
    if ann.say(text).await.is_err() {
        return Ok(false);
    }
    loop {
        match ann.next().await? {
            Heard::Text(heard) => {
                let event: Value = serde_json::from_str(&heard)?;
                match event["type"].as_str() {
                    Some("chat.message") => return ledger.message(&event).map(|()| true),
                    Some("error") => return Ok(false),
                    _ => {}
                }
            }
            Heard::Close(..) | Heard::Gone => return Ok(false),
            _ => {}
        }
    }
}

/// The same, if this machine can. None: it was skipped.
fn mount_or_skip(kind: &str) -> TestResult<Option<Mounted>> {
    match mount(kind) {
        Ok(mounted) => Ok(Some(mounted)),
        Err(error) if std::env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            eprintln!("skipped: a full {kind}: {error}");
            Ok(None)
        }
    }
}

/// Backups to a full disk, and a restore on it, leave everything as it was.
async fn copies_do_not_fit(kind: &str) -> TestResult {
    let Some(mounted) = mount_or_skip(kind)? else { return Ok(()) };
    let mut server = TestServer::setup().without_rate_limits().under(&mounted.at).start().await?;
    let room = server.create_room("lobby").await?;
    let (mut ann, mut ledger) = (server.join(room, "ann").await?, Ledger::default());
    for number in 0..200 {
        ensure!(say(&mut ann, &mut ledger, &format!("{number} {}", "x".repeat(1_900))).await?, "not stored");
    }
    let elsewhere = tempfile::tempdir()?;
    let (fits, data) = (elsewhere.path().join("fits.db").display().to_string(), server.data().display().to_string());
    ondol(&["backup", &fits, "--data", &data])?.expect(0)?;
    let copy = mounted.at.join("copy.db").display().to_string();
    let filled = fill(&mounted.at)?;
    ondol(&["backup", &copy, "--data", &data])?.expect_parts(1, &["copy.db"])?;
    fs::remove_file(&filled)?;
    server.signal("TERM")?;
    server.exit().await?;
    let (before, filled) = (fs::read(server.database_file())?, fill(&mounted.at)?);
    let why = ondol(&["restore", &fits, "--data", &data])?.expect(1)?;
    ensure!(why.contains("disk is full") || why.contains("No space left"), "{why}");
    fs::remove_file(&filled)?;
    for directory in [&mounted.at, &server.data()] {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<TestResult<Vec<_>>>()?;
        ensure!(!names.iter().any(|name| name.contains("copy.db") || name.contains("partial")), "{names:?}");
    }
    assert!(fs::read(server.database_file())? == before, "a restore that does not fit changes the database");
    ondol(&["backup", &copy, "--data", &data])?.expect(0)?;
    server.restart_after(|| ondol(&["restore", &copy, "--data", &data])?.expect(0).map(drop)).await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    drop(server);
    Ok(())
}

async fn fills_up_and_is_freed(kind: &str) -> TestResult {
    let Some(mounted) = mount_or_skip(kind)? else { return Ok(()) };
    let mut server = TestServer::setup().without_rate_limits().under(&mounted.at).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ledger = Ledger::default();
    ledger.room(room);
    let mut ann = server.join(room, "ann").await?;
    for number in 0..20 {
        ensure!(say(&mut ann, &mut ledger, &format!("before {number}")).await?, "not stored on a disk with room");
    }
    let filled = fill(&mounted.at)?;
    // Long messages, so that the log has to grow.
    let long = "x".repeat(1_900);
    let mut refused = 0;
    for number in 0..40 {
        refused += usize::from(!say(&mut ann, &mut ledger, &format!("amid {number} {long}")).await?);
    }
    ensure!(refused > 0, "the disk was not full");
    ensure!(server.get("/healthz").await.is_ok(), "the server has ended");
    fs::remove_file(filled)?;
    until("a message to be stored", async || match say(&mut ann, &mut ledger, "after").await {
        Ok(true) => Some(()),
        _ => None,
    })
    .await?;
    until("readiness", async || (server.get("/readyz").await.ok()?.status == 200).then_some(())).await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    server.restart().await?;
    assert_eq!(ledger.differences(&server.stored()?)?, []);
    let mut ann = server.join(room, "ann").await?;
    ensure!(say(&mut ann, &mut ledger, "in the end").await?, "nothing is stored after a restart");
    drop(server);
    Ok(())
}

#[tokio::test]
async fn ext4() -> TestResult {
    fills_up_and_is_freed("ext4").await
}

#[tokio::test]
async fn xfs() -> TestResult {
    fills_up_and_is_freed("xfs").await
}

#[tokio::test]
async fn btrfs() -> TestResult {
    fills_up_and_is_freed("btrfs").await
}

#[tokio::test]
async fn tmpfs() -> TestResult {
    fills_up_and_is_freed("tmpfs").await
}

#[tokio::test]
async fn a_backup_that_does_not_fit() -> TestResult {
    for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
        copies_do_not_fit(kind).await.with_context(|| kind.to_owned())?;
    }
    Ok(())
}
