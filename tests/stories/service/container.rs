//! The Dockerfile, by a linter, and the server as the first process of its world, as it is in a container. No container engine
//! is needed.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};
use ondol_tests::{TestResult, TestServer, command::is_installed, guest, handlers::workspace, ondol, system, until};

#[test]
fn the_linter_has_nothing_to_say_about_the_dockerfile() -> TestResult {
    if !is_installed("hadolint")? {
        return Ok(());
    }
    let output = Command::new("hadolint").arg(workspace().join("deploy/docker/Dockerfile")).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn the_dockerfile_sets_what_the_server_knows() -> TestResult {
    let file = fs::read_to_string(workspace().join("deploy/docker/Dockerfile"))?;
    let mut check = Command::new(ondol_tests::command::binary());
    check.arg("check").env("ONDOL_IDENTITY_TRUSTED", "172.16.0.0/12");
    for word in file.split([' ', '\n']).filter(|word| word.starts_with("ONDOL_") && word.contains('=')) {
        let (name, value) = word.split_once('=').context("no value")?;
        check.env(name, value);
    }
    // Its directories are not here; its settings are right.
    let checked = ondol_tests::command::run(&mut check)?;
    ensure!(checked.status == 1, "{}{}", checked.stdout, checked.stderr);
    Ok(())
}

#[tokio::test]
async fn the_first_process_hears_signals_and_leaves_no_dead_children() -> TestResult {
    // Namespaces need root.
    let may = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        ensure!(std::env::var_os("CI").is_none(), "no namespaces, and CI is set");
        eprintln!("skipped: the_first_process_hears_signals_and_leaves_no_dead_children: it needs root");
        return Ok(());
    }
    let setup = TestServer::setup().run_by(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]).admin();
    let cache = tempfile::tempdir()?;
    let mut server = setup.env("ONDOL_CACHE", cache.path().join("code").display()).start().await?;
    let first = *system::children(server.pid())?.first().context("no first process")?;
    // Compilers come and go.
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    until("no children", async || system::children(first).ok().filter(Vec::is_empty)).await?;
    system::signal(first, "TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn health_says_whether_a_server_is_ready() -> TestResult {
    let mut server = TestServer::setup().admin().limit("drain_ms", ondol_tests::NEVER_MS).start().await?;
    let address = server.address().to_owned();
    let listen = ("ONDOL_LISTEN", address.as_str());
    let any = address.replace("127.0.0.1", "0.0.0.0");
    let any = [("ONDOL_LISTEN", any.as_str()), ("ONDOL_IDENTITY_TRUSTED", "172.16.0.0/12")];
    ondol_tests::command::ondol_with(&["health"], &[listen])?.expect_parts(0, &["ready"])?;
    ondol_tests::command::ondol_with(&["health"], &any)?.expect_parts(0, &["ready"])?;
    ondol(&["health", server.admin_address()?])?.expect_parts(0, &["ready"])?;
    server.signal("TERM")?;
    until("not ready", async || (ondol(&["health", &address]).ok()?.status == 1).then_some(())).await?;
    ondol(&["health", &address])?.expect_parts(1, &["shutting down"])?;
    ondol(&["health", "--live", &address])?.expect_parts(0, &["ok"])?;
    server.signal("TERM")?;
    server.exit().await?;
    ondol(&["health", &address])?.expect_parts(1, &["no answer of", "refused"])?;
    ondol(&["health", "nowhere"])?.expect_parts(2, &["expected HOST:PORT"])?;
    Ok(())
}
