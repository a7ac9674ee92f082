//! The stories that hold on either store run a second time, on PostgreSQL: in a process of their own, beside the others.
//! One of them alone: `STORY_STORE=postgres cargo test … NAME`.

use std::{
    collections::BTreeSet,
    env,
    process::{Command, Stdio},
    thread::available_parallelism,
};

use anyhow::Context as _;
use ondol_tests::{Postgres, TestResult, setup::STORE};

/// Whose stories meet the store through the server: what is written, read back, deleted and counted, in which order it is
/// told, which releases are remembered, and what a restart finds. All others are about HTTP, the socket, handlers that
/// store nothing, the page, files, or SQLite.
const MODULES: [&str; 27] = [
    "absent",
    "admin",
    "answers",
    "canary",
    "create_room",
    "drain",
    "generated",
    "history",
    "identity",
    "keeping",
    "kills",
    "leniency",
    "membership",
    "messages",
    "metrics",
    "order",
    "post_message",
    "probation",
    "reloading",
    "resuming",
    "rollouts",
    "rooms",
    "shutdown",
    "swap",
    "versions",
    "watching",
    "writing",
];

/// Those among them that are about a file.
const ABOUT_FILES: [&str; 5] = [
    "answers::a_retry_on_a_second_socket_fails_with_the_first_attempt",
    "keeping::view::the_queries_of_the_documents_find_a_rooms_messages_by_the_index",
    "resuming::an_older_copy_that_is_put_back_has_another_epoch_and_no_client_drops_a_new_message",
    "versions::a_kill_while_a_deploy_waits_for_the_disk_leaves_a_whole_release",
    "versions::a_release_that_cannot_be_recorded_does_not_become_active",
];

/// The names of all stories in this binary.
fn all() -> TestResult<Vec<String>> {
    let output = Command::new(env::current_exe()?).args(["--list", "--format=terse"]).output()?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

#[test]
fn stories_hold_on_postgresql_too() -> TestResult {
    if !Postgres::is_installed()? {
        return Ok(());
    }
    let (all, known) = (all()?, BTreeSet::from(MODULES));
    let module = |name: &str| name.split("::").next().unwrap_or_default().to_owned();
    for listed in MODULES {
        assert!(all.iter().any(|name| module(name) == listed), "{listed} has no stories");
    }
    for listed in ABOUT_FILES {
        assert!(all.iter().any(|name| name == listed), "there is no story {listed}");
    }
    let told = all.iter().filter(|name| known.contains(&*module(name)) && !ABOUT_FILES.contains(&name.as_str()));
    let mut command = Command::new(env::current_exe()?);
    command.arg("--exact").args(told).env(STORE, "postgres");
    // Each waits for disks more than it computes, and the other stories run at the same time.
    command.env("RUST_TEST_THREADS", available_parallelism()?.to_string());
    let output = command.stdin(Stdio::null()).output()?;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result = out.lines().find(|line| line.starts_with("test result")).context("no result")?;
    eprintln!("on PostgreSQL: {result}");
    assert!(output.status.success(), "on PostgreSQL:\n{out}\n{errors}");
    Ok(())
}
