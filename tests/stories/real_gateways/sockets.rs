//! Sockets that stay open: idle ones, and many at once.

use std::{
    process::{self, Command},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use ondol_tests::{
    Frame, Heard, NEVER_MS, RawSocket, TestResult, TestServer, User,
    gateway::{Gateway, Timing},
};
use serde_json::json;

use super::Case;

/// Short enough to wait for, and far above the interval of the pings. A handshake has to be answered in it as well.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Pings until the read timeout has passed twice. None: there was a pause as long as the timeout, because the machine was
/// busy, so this says nothing.
async fn stays_open(gateway: &Gateway) -> TestResult<Option<()>> {
    let mut idle = gateway.open(1, &User::named("ann")).await?;
    let (begun, mut heard) = (Instant::now(), Instant::now());
    while begun.elapsed() < 2 * READ_TIMEOUT {
        match idle.next().await? {
            _ if heard.elapsed() > READ_TIMEOUT / 2 => return Ok(None),
            Heard::Ping | Heard::Text(_) => heard = Instant::now(),
            other => bail!("expected pings, got {other:?}"),
        }
    }
    idle.say("still here").await?;
    idle.expect_message("still here").await?;
    Ok(Some(()))
}

pub(super) async fn an_idle_socket_stays_open(case: &Case) -> TestResult {
    let setup = TestServer::setup().limit("ping_interval_ms", 100).limit("pong_ms_max", NEVER_MS);
    let timing = Timing { read_timeout: READ_TIMEOUT, ..Timing::default() };
    let Some((server, gateway)) = case.start_timed(setup, timing).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    for _ in 0..10 {
        if stays_open(&gateway).await?.is_some() {
            return Ok(());
        }
    }
    bail!("the pings came too late ten times")
}

pub(super) async fn a_silent_socket_is_closed_by_the_gateway(case: &Case) -> TestResult {
    let setup = TestServer::setup().limit("ping_interval_ms", NEVER_MS);
    let timing = Timing { read_timeout: READ_TIMEOUT, ..Timing::default() };
    let Some((server, gateway)) = case.start_timed(setup, timing).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let mut idle = gateway.open(room, &User::named("ann")).await?;
    idle.expect_join("ann").await?;
    // No close frame: the gateway does not speak the protocol.
    assert_eq!(idle.next().await?, Heard::Gone);
    Ok(())
}

pub(super) async fn a_silent_socket_outlives_the_timeouts(case: &Case) -> TestResult {
    // Silent until the first ping, for several times as long as the timeouts.
    let setup = TestServer::setup().limit("ping_interval_ms", 1_000).limit("pong_ms_max", NEVER_MS);
    let timing = Timing { read_timeout: Duration::from_millis(200), ..Timing::default() };
    let Some((server, gateway)) = case.start_timed(setup, timing).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let mut idle = gateway.open(room, &User::named("ann")).await?;
    idle.expect_join("ann").await?;
    assert_eq!(idle.next().await?, Heard::Ping);
    idle.say("still here").await?;
    idle.expect_message("still here").await?;
    Ok(())
}

pub(super) async fn a_thousand_sockets_hear_a_message(case: &Case) -> TestResult {
    // Twice as many pass through the gateway, which has the same limit as this process.
    let raise = Command::new("prlimit").args(["--pid", &process::id().to_string(), "--nofile=4096:"]).status()?;
    ensure!(raise.success(), "4096 open files are not allowed here");
    // The first ones wait for the last without an answer to a ping.
    let setup = TestServer::setup().setting("events", "announce", "nothing").limit("ping_interval_ms", NEVER_MS);
    let setup = setup.config("heartbeats = true");
    let Some((server, gateway)) = case.start(setup).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let users: Vec<_> = (0..20).map(|number| User::named(&format!("user-{number}"))).collect();
    // A gateway may answer the handshake before the server does, so each socket awaits an answer of the server itself.
    let open = async |number: usize| -> TestResult<RawSocket> {
        let mut socket = gateway.upgrade(room, &users[number % users.len()]).await?;
        socket.send_frame(&Frame::new(Frame::TEXT, "ping")).await?;
        socket.expect_text("pong").await?;
        Ok(socket)
    };
    let mut sockets: Vec<_> = stream::iter(0..1_000).map(open).buffer_unordered(20).try_collect().await?;

    let body = json!({"room": room, "message": "안녕하세요"}).to_string();
    let post = gateway.request_of(&users[0], "POST", "/chat/v1/message/")?;
    post.json(body).send().await?.expect(201)?;
    for socket in &mut sockets {
        socket.expect_text("안녕하세요").await?;
    }
    assert_eq!(sockets.len(), 1_000);
    Ok(())
}
