//! The unit and the socket of `deploy/systemd`, judged by systemd's own tools and by what the server calls. Needs
//! systemd-analyze and strace.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    Supervisor, TestResult, TestServer,
    command::{binary, is_installed},
    guest,
    handlers::workspace,
    ondol, until,
};
use tempfile::TempDir;

/// The highest exposure that is allowed, in tenths.
const EXPOSURE_MAX: u32 = 13;

/// What SQLite calls for root alone.
const OF_ROOT: [&str; 1] = ["fchown"];

/// Runs systemd-analyze on copies of the units whose program is the one that was built.
fn analyze(words: &[&str], units: &[&str]) -> TestResult<Output> {
    let directory = TempDir::new()?;
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(words).env("SYSTEMD_PAGER", "cat");
    for unit in ["ondol.service", "ondol.socket"] {
        let text = fs::read_to_string(workspace().join("deploy/systemd").join(unit))?;
        let program = fs::canonicalize(binary())?;
        fs::write(directory.path().join(unit), text.replace("/usr/bin/ondol", &program.display().to_string()))?;
    }
    analyze.args(units.iter().map(|unit| directory.path().join(unit)));
    Ok(analyze.output()?)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> TestResult {
    if !is_installed("systemd-analyze")? {
        return Ok(());
    }
    let output = analyze(&["verify"], &["ondol.service", "ondol.socket"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

#[test]
fn the_exposure_of_the_service_is_the_one_that_the_page_names() -> TestResult {
    if !is_installed("systemd-analyze")? {
        return Ok(());
    }
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let output = analyze(&["security", "--offline=true", &threshold, "--no-pager"], &["ondol.service"])?;
    let table = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{table}");
    let line = table.lines().find(|line| line.contains("Overall exposure level")).context("no level")?;
    let level = line.split("ondol.service: ").nth(1).and_then(|rest| rest.split(' ').next()).context("no level")?;
    let page = fs::read_to_string(workspace().join("docs/installing.md"))?;
    ensure!(page.contains(&format!("exposure of {level}")), "the page does not name the exposure of {level}");
    Ok(())
}

/// The calls of a set of systemd's, with those of the sets in it.
fn calls_of(set: &str) -> TestResult<BTreeSet<String>> {
    let output = Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", set]).output()?;
    ensure!(output.status.success(), "{set}: {}", String::from_utf8_lossy(&output.stderr));
    let mut calls = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().map(str::trim).skip(1) {
        match line {
            "" => {}
            line if line.starts_with('#') => {}
            inner if inner.starts_with('@') => calls.extend(calls_of(inner)?),
            call => drop(calls.insert(call.to_owned())),
        }
    }
    Ok(calls)
}

/// The calls that the unit allows.
fn allowed() -> TestResult<BTreeSet<String>> {
    let unit = fs::read_to_string(workspace().join("deploy/systemd/ondol.service"))?;
    let mut allowed = BTreeSet::new();
    for sets in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        match sets.strip_prefix('~') {
            None => sets.split(' ').try_for_each(|set| calls_of(set).map(|calls| allowed.extend(calls)))?,
            Some(sets) => sets.split(' ').try_for_each(|set| {
                let denied = calls_of(set)?;
                allowed.retain(|call| !denied.contains(call));
                TestResult::Ok(())
            })?,
        }
    }
    Ok(allowed)
}

/// The names of the calls in a trace, and the families of its sockets.
fn calls_in(trace: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut calls, mut families) = (BTreeSet::new(), BTreeSet::new());
    for line in trace.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.trim_start()) {
        let Some((call, arguments)) = line.split_once('(') else { continue };
        if call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            calls.insert(call.to_owned());
            if call == "socket" {
                families.extend(arguments.split(',').next().map(str::to_owned));
            }
        }
    }
    (calls, families)
}

/// Lets a server under strace do what servers do, from a start without compiled code to the end.
async fn traced() -> TestResult<String> {
    let supervisor = Supervisor::start()?;
    let cache = TempDir::new()?;
    let trace: PathBuf = cache.path().join("trace");
    let file = trace.display().to_string();
    let strace = ["strace", "-D", "-f", "-s", "0", "-o", &file];
    let setup = supervisor.of(TestServer::setup()).admin().run_by(&strace).env("WATCHDOG_USEC", 2_000_000);
    let setup = setup.env("ONDOL_CACHE", cache.path().join("code").display()).limit("messages_kept_max", 5);
    let mut server = setup.limit("drain_ms", 200).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..20 {
        ann.say(&format!("{number}")).await?;
        ann.expect_message(&format!("{number}")).await?;
    }
    server.get(&format!("/chat/v1/room/{room}/messages/?after=0")).await?.expect(200)?;
    // A compiler at idle priority.
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.deploy("events", guest("twentieth_events")).await?;
    let data = server.data().display().to_string();
    ondol(&["backup", &cache.path().join("copy.db").display().to_string(), "--data", &data])?.expect(0)?;
    server.signal("HUP")?;
    supervisor.expect("RELOADING=1").await?;
    supervisor.expect("WATCHDOG=1").await?;
    server.signal("TERM")?;
    server.exit().await?;
    let pid = server.pid().to_string();
    let ended = |line: &str| line.starts_with(&pid) && line.contains("+++ exited");
    until("the end of the trace", async || fs::read_to_string(&trace).ok().filter(|text| text.lines().any(ended))).await
}

#[tokio::test]
async fn the_unit_allows_every_system_call_of_the_server() -> TestResult {
    if !is_installed("systemd-analyze")? || !is_installed("strace")? {
        return Ok(());
    }
    let (calls, families) = calls_in(&traced().await?);
    ensure!(calls.contains("sched_setscheduler") && calls.contains("accept4") && calls.len() > 50, "{calls:?}");
    let mut allowed = allowed()?;
    ensure!(!allowed.contains("mount") && !allowed.contains("setuid"), "too much is allowed");
    allowed.extend(OF_ROOT.map(str::to_owned));
    let denied: Vec<_> = calls.difference(&allowed).collect();
    ensure!(denied.is_empty(), "the unit denies what the server calls: {denied:?}");
    let unit = fs::read_to_string(workspace().join("deploy/systemd/ondol.service"))?;
    let line = unit.lines().find_map(|line| line.strip_prefix("RestrictAddressFamilies=")).context("no families")?;
    let known: BTreeSet<_> = line.split(' ').map(str::to_owned).collect();
    ensure!(families.is_subset(&known), "{families:?} are not all in {known:?}");
    Ok(())
}
