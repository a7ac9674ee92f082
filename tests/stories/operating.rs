//! The surroundings of a server: a log without a reader, the environment of a cluster, files that other users must not
//! open.

use std::{fs, os::unix::fs::PermissionsExt};

use futures_util::future::try_join_all;
use ondol_tests::{TestResult, TestServer};

/// A server whose log is full: it has no reader, and more was logged than a pipe and the queue hold.
async fn with_a_full_log() -> TestResult<TestServer> {
    let setup = TestServer::setup().stalls_its_log().limit("log_queue_max", 10).limit("shutdown_grace_ms", 2_000);
    let server = setup.flag("--log").flag("debug").start().await?;
    for _ in 0..20 {
        try_join_all((0..50).map(async |_| {
            let mut rude = server.raw().await?;
            rude.send("nonsense\r\n\r\n").await?;
            rude.expect_end().await
        }))
        .await?;
    }
    Ok(server)
}

#[tokio::test]
async fn a_log_without_a_reader_stops_nothing() -> TestResult {
    let mut server = with_a_full_log().await?;
    server.get("/healthz").await?.expect(200)?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("still here").await?;
    ann.expect_message("still here").await?;
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_a_server_whose_log_has_no_reader() -> TestResult {
    let mut server = with_a_full_log().await?;
    let room = server.create_room("lobby").await?;
    let mut stubborn = server.raw().await?;
    stubborn.upgrade(room, "stubborn").await?;
    server.signal("TERM")?;
    stubborn.expect_close(1001).await?;
    server.signal("TERM")?;
    assert_ne!(server.exit().await?.code(), None);
    Ok(())
}

#[tokio::test]
async fn lines_that_were_dropped_are_counted_in_the_log() -> TestResult {
    let mut server = with_a_full_log().await?;
    server.read_stalled_log()?;
    let line = server.wait_for_log("log lines were dropped: the reader of stderr is too slow").await?;
    assert!(line.contains("WARN"), "{line}");
    Ok(())
}

#[tokio::test]
async fn variables_of_a_cluster_are_ignored() -> TestResult {
    let setup = TestServer::setup()
        .env("ONDOL_PORT", "tcp://10.0.0.1:8000")
        .env("ONDOL_PORT_8000_TCP", "tcp://10.0.0.1:8000")
        .env("ONDOL_PORT_8000_TCP_ADDR", "10.0.0.1")
        .env("ONDOL_SERVICE_HOST", "10.0.0.1")
        .env("ONDOL_SERVICE_PORT", "8000")
        .env("ONDOL_SERVICE_PORT_HTTP", "8000");
    let server = setup.start().await?;
    let line = server.wait_for_log("or a Docker link: ONDOL_PORT, ").await?;
    assert!(line.contains("ONDOL_PORT_8000_TCP_ADDR") && line.contains("ONDOL_SERVICE_PORT_HTTP"), "{line}");

    for (name, value) in [("ONDOL_PORT", "8000"), ("ONDOL_SERVICES_HOST", "x"), ("ONDOL_PORT_X_TCP", "x")] {
        let failed = TestServer::setup().env(name, value).start().await;
        let why = format!("{:#}", failed.expect_err("it started"));
        assert!(why.contains(name), "{why}");
    }
    Ok(())
}

#[tokio::test]
async fn files_of_the_server_are_closed_to_other_users() -> TestResult {
    let server = TestServer::setup().flag("--admin").flag("unix:ondol.sock").start().await?;
    server.create_room("lobby").await?;
    let data = server.data();
    let socket = data.parent().expect("a home").join("ondol.sock");
    for path in [&data, &server.database_file(), &data.join("ondol.db-wal"), &socket] {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has the mode {mode:o}", path.display());
    }
    let log = server.log().since(0).join("\n");
    assert!(!log.contains("the data directory"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_open_data_directory_is_reported_and_left_alone() -> TestResult {
    let mut server = TestServer::start().await?;
    let data = server.data();
    server.restart_after(|| Ok(fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?)).await?;
    server.wait_for_log("is open to other users (mode 0755)").await?;
    assert_eq!(fs::metadata(&data)?.permissions().mode() & 0o777, 0o755);
    Ok(())
}
