//! Shutdown: in order, in time, and at once after a second signal.

use ondol_tests::{NEVER_MS, TestResult, TestServer, until};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_signal_closes_every_socket_with_1001_and_the_exit_status_is_0() -> TestResult {
    for signal in ["TERM", "INT"] {
        let mut server = TestServer::setup().limit("shutdown_grace_ms", NEVER_MS).start().await?;
        let room = server.create_room("lobby").await?;
        let mut ann = server.join(room, "ann").await?;
        let mut ben = server.join(room, "ben").await?;

        server.signal(signal)?;

        ann.expect_close(1001).await?;
        ben.expect_close(1001).await?;
        assert_eq!(server.exit().await?.code(), Some(0), "{signal}");
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_server_ends_at_once() -> TestResult {
    let mut server = TestServer::setup().limit("shutdown_grace_ms", NEVER_MS).start().await?;
    let _idle = server.raw().await?;
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_ending_accepts_no_connection() -> TestResult {
    let mut server =
        TestServer::setup().limit("close_ms_max", NEVER_MS).limit("shutdown_grace_ms", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    let mut stubborn = server.raw().await?;
    stubborn.upgrade(room, "stubborn").await?;
    server.signal("TERM")?;
    stubborn.expect_close(1001).await?;
    until("a closed door", async || TcpStream::connect(server.address()).await.is_err().then_some(())).await?;
    drop(stubborn);
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_client_that_stays_is_cut_off_after_the_grace_time() -> TestResult {
    let mut server =
        TestServer::setup().limit("close_ms_max", NEVER_MS).limit("shutdown_grace_ms", 200).start().await?;
    let room = server.create_room("lobby").await?;
    let mut stubborn = server.raw().await?;
    stubborn.upgrade(room, "stubborn").await?;
    server.signal("TERM")?;
    stubborn.expect_close(1001).await?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> TestResult {
    let mut server =
        TestServer::setup().limit("close_ms_max", NEVER_MS).limit("shutdown_grace_ms", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    let mut stubborn = server.raw().await?;
    stubborn.upgrade(room, "stubborn").await?;
    server.signal("TERM")?;
    stubborn.expect_close(1001).await?;
    server.signal("TERM")?;
    assert_ne!(server.exit().await?.code(), Some(0), "a forced end must not look like a regular one");
    Ok(())
}

#[tokio::test]
async fn messages_received_before_the_end_are_stored() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..100 {
        ann.say(&format!("{number}")).await?;
    }
    ann.expect_message("0").await?;
    server.signal("TERM")?;
    let mut heard = 1;
    while ann.next_message().await.is_ok() {
        heard += 1;
    }
    server.exit().await?;
    let stored = server.stored()?.number("SELECT count(*) FROM message")?;
    assert!(stored >= heard, "{heard} were received and {stored} are stored");
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_can_be_started_again() -> TestResult {
    let mut server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    server.signal("TERM")?;
    server.exit().await?;
    server.restart().await?;
    server.join(room, "ann").await?;
    Ok(())
}
