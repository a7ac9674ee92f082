//! A server that is asked to stop by SIGTERM: not ready first, then no new connections, then one socket after another. The
//! stories of `shutdown` have no drain.

mod handover;

use futures_util::future::try_join_all;
use ondol_tests::{Client, Heard, NEVER_MS, Setup, TestResult, TestServer, until};
use serde_json::json;
use tokio::net::TcpStream;

/// A server that is not ready for so long that no story sees it close a socket.
async fn draining(setup: Setup) -> TestResult<TestServer> {
    let server = setup.limit("drain_ms", NEVER_MS).start().await?;
    server.create_room("lobby").await?;
    server.signal("TERM")?;
    until("not ready", async || server.get("/readyz").await.ok().filter(|answer| answer.status == 503)).await?;
    Ok(server)
}

/// The milliseconds after which a client is asked to come back.
fn retry_after_ms(reason: &str) -> TestResult<u64> {
    let ms = reason.split("retry_after_ms=").nth(1).ok_or_else(|| anyhow::anyhow!("no hint in {reason:?}"))?;
    Ok(ms.parse()?)
}

#[tokio::test]
async fn a_draining_server_is_not_ready_and_goes_on() -> TestResult {
    let server = draining(TestServer::setup().admin()).await?;
    let answer = server.get("/readyz").await?;
    answer.expect_detail(503, "not_ready")?;
    assert!(answer.to_string().contains("shutting down"), "{answer}");
    server.get("/healthz").await?.expect(200)?;
    server.admin("GET", "/readyz")?.send().await?.expect_detail(503, "not_ready")?;
    let mut ann = server.join(1, "ann").await?;
    ann.say("still here").await?;
    ann.expect_message("still here").await?;
    let body = json!({"room": 1, "message": "so am I"}).to_string();
    server.request("POST", "/chat/v1/message/").identity("ben").json(body).send().await?.expect(201)?;
    ann.expect_message("so am I").await?;
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_is_closed_after_the_next_answer() -> TestResult {
    let server = TestServer::setup().limit("drain_ms", NEVER_MS).start().await?;
    let mut kept = server.raw().await?;
    let question = server.request("GET", "/chat/v1/rooms/").bytes();
    kept.send(&question).await?;
    assert_eq!(kept.read_answer("GET").await?.header("connection"), None);
    server.signal("TERM")?;
    until("not ready", async || server.get("/readyz").await.ok().filter(|answer| answer.status == 503)).await?;
    kept.send(&question).await?;
    let answer = kept.read_answer("GET").await?;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer}");
    assert_eq!(kept.expect_end().await?, b"");
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() -> TestResult {
    let mut server = draining(TestServer::setup()).await?;
    server.signal("TERM")?;
    assert_eq!(server.exit().await?.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn an_interrupt_from_the_keyboard_waits_for_no_drain() -> TestResult {
    let mut server = TestServer::setup().limit("drain_ms", NEVER_MS).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.signal("INT")?;
    retry_after_ms(&ann.expect_close(1001).await?)?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn every_socket_is_told_when_to_come_back() -> TestResult {
    let mut server = TestServer::setup().limit("drain_ms", 600).start().await?;
    let room = server.create_room("lobby").await?;
    let opening = (0..60).map(async |number| server.open_tab(room, &*format!("u{number}")).await);
    let sockets = try_join_all(opening).await?;
    server.signal("TERM")?;
    let closing = sockets.into_iter().map(async |mut socket: Client| socket.expect_close(1001).await);
    let reasons = try_join_all(closing).await?;
    let refused = until("no new connections", async || TcpStream::connect(server.address()).await.err()).await?;
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut waits = reasons.iter().map(|reason| retry_after_ms(reason)).collect::<TestResult<Vec<_>>>()?;
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 5, "they are asked back together: {waits:?}");
    assert!(waits.iter().all(|wait| (200..2_000).contains(wait)), "{waits:?}");
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

/// Sends one message after another until the server closes. Returns its own among the messages that it received, and all of
/// them.
async fn chatter(mut member: Client) -> TestResult<(Vec<String>, Vec<u64>)> {
    let (name, mut said, mut own, mut seqs) = (member.name.clone(), 0, Vec::new(), Vec::new());
    loop {
        while said < own.len() + 4 {
            if member.say(&format!("{name} {said}")).await.is_err() {
                break;
            }
            said += 1;
        }
        match member.next().await? {
            Heard::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text)?;
                if let Some(seq) = frame["seq"].as_u64() {
                    seqs.push(seq);
                    if frame["nickname"] == *name {
                        own.push(frame["message"].as_str().unwrap_or_default().to_owned());
                    }
                }
            }
            Heard::Close(1001, reason) => {
                retry_after_ms(&reason)?;
                return Ok((own, seqs));
            }
            Heard::Ping | Heard::Pong(_) => {}
            other => panic!("{name} got {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_was_accepted_is_stored_and_told_before_each_close() -> TestResult {
    let setup = TestServer::setup().without_rate_limits().setting("events", "announce", "nothing");
    let mut server = setup.limit("drain_ms", 400).start().await?;
    let room = server.create_room("lobby").await?;
    let joining = (0..60).map(async |number| server.open_tab(room, &*format!("u{number}")).await);
    let members = try_join_all(joining).await?;
    let mut witness = server.open_tab(room, "witness").await?;
    let stop = async {
        while witness.next_message().await?["seq"].as_u64() < Some(100) {}
        server.signal("TERM")
    };
    let (stopped, heard) = tokio::join!(stop, try_join_all(members.into_iter().map(chatter)));
    stopped?;
    drop(witness);
    assert_eq!(server.exit().await?.code(), Some(0));
    let stored = server.stored()?.texts(room)?;
    for (number, (own, seqs)) in heard?.into_iter().enumerate() {
        let (name, all) = (format!("u{number} "), &stored);
        let stored: Vec<_> = all.iter().filter(|text| text.starts_with(&name)).collect();
        assert_eq!(own.iter().collect::<Vec<_>>(), stored, "what u{number} heard of its own is not what is stored");
        let first = seqs.first().copied().unwrap_or(1);
        assert!(seqs.iter().copied().eq(first..first + seqs.len() as u64), "u{number} missed a message: {seqs:?}");
    }
    Ok(())
}
