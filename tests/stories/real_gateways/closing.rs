//! How a client learns that a socket is refused or closed.

use ondol_tests::{
    Frame, Heard, NEVER_MS, Setup, TestResult, TestServer, User,
    gateway::{Gateway, bearer, claims, socket},
    signing, until, within,
};

use super::Case;

/// Sends frames on a new socket, and holds with which code it is closed.
async fn expect_code(gateway: &Gateway, frames: &[Vec<u8>], code: u16) -> TestResult {
    let mut raw = gateway.upgrade(1, &User::named("ann")).await?;
    for frame in frames {
        raw.send(frame).await?;
    }
    within(code, raw.expect_close(gateway.kind().close_code(code))).await?.map(drop)
}

pub(super) async fn close_codes_arrive_as_sent(case: &Case) -> TestResult {
    let setup = TestServer::setup().limit("fragments_max", 4).limit("pong_ms_max", NEVER_MS);
    let Some((server, gateway)) = case.start(setup).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let mut reserved = Frame::saying("x");
    reserved.reserved = 1;
    let fragment = |opcode| Frame { fin: false, ..Frame::new(opcode, "x") }.bytes();
    let mut fragments = vec![fragment(Frame::TEXT)];
    fragments.extend((0..6).map(|_| fragment(Frame::CONTINUATION)));
    let closing = |code: u16| vec![Frame::new(Frame::CLOSE, code.to_be_bytes()).bytes()];
    for (frames, code) in [
        (closing(1_000), 1_000),
        (closing(4_321), 4_321),
        (vec![reserved.bytes()], 1_002),
        (vec![Frame::new(Frame::TEXT, [0xff]).bytes()], 1_007),
        (if case.kind.passes_fragments() { fragments } else { closing(1_008) }, 1_008),
        (vec![Frame::new(Frame::TEXT, vec![b'x'; 70_000]).bytes()], 1_009),
    ] {
        expect_code(&gateway, &frames, code).await.map_err(|why| why.context(code))?;
    }
    Ok(())
}

/// The token of a user whom the server refuses although the gateway vouches for them.
fn refused_by_the_server() -> TestResult<String> {
    Ok(format!("Bearer {}", signing::token("HS256", &claims(&User::named("ann").called("bell\u{7}")))?))
}

fn crowded() -> Setup {
    TestServer::setup().limit("connections_per_user_max", 1).limit("probe_ms_max", 0)
}

pub(super) async fn refusals_by_close_codes_arrive_as_sent(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(crowded().config(r#"refusal = "close""#)).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let ann = bearer(&User::named("ann"))?;
    let (own, other) = (socket(room), socket(999));
    let refused = refused_by_the_server()?;
    let _first = gateway.open(room, &User::named("ann")).await?;
    for (target, authorization, code) in [
        (own.clone(), &refused, 4_001),
        (other, &ann, 4_003),
        // Another id in the query is no way around the quota.
        (format!("{own}?user_id=eve"), &ann, 4_008),
    ] {
        let mut client = gateway.knock(&target, &[("Authorization", authorization)]).await?.opened()?;
        within(code, client.expect_close(gateway.kind().close_code(code))).await??;
    }
    Ok(())
}

pub(super) async fn refusals_by_status_arrive_as_sent(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(crowded()).await? else { return Ok(()) };
    let room = server.create_room("lobby").await?;
    let _first = gateway.open(room, &User::named("ann")).await?;
    let ann = bearer(&User::named("ann"))?;
    let bad = refused_by_the_server()?;
    let other_page: &[(&str, &str)] = &[("Authorization", &ann), ("Origin", "https://mallory.example")];
    for (target, headers, status) in [
        (socket(room), &[("Authorization", &*bad)][..], 401),
        (socket(room), other_page, 403),
        (socket(999), &[("Authorization", &ann)], 404),
        (socket(room), &[("Authorization", &ann)], 503),
    ] {
        let knock = gateway.knock(&target, headers).await?;
        if gateway.kind().shows_refusals() {
            assert_eq!(knock.refused()?.status, status, "{target}");
        } else {
            let mut client = knock.opened()?;
            assert!(matches!(client.next().await?, Heard::Close(..) | Heard::Gone), "{target}");
        }
    }
    Ok(())
}

pub(super) async fn a_shutdown_is_seen(case: &Case) -> TestResult {
    let Some((mut server, gateway)) = case.start(TestServer::setup().limit("drain_ms", 500)).await? else {
        return Ok(());
    };
    let room = server.create_room("lobby").await?;
    let mut client = gateway.open(room, &User::named("ann")).await?;
    client.expect_join("ann").await?;
    server.signal("TERM")?;
    let ready = async || gateway.request("GET", "/readyz").send().await.ok();
    let answer = until("not ready", async || ready().await.filter(|answer| answer.status == 503)).await?;
    assert!(answer.to_string().contains("shutting down"), "{answer}");
    let reason = client.expect_close(gateway.kind().close_code(1_001)).await?;
    assert!(reason.contains("; retry_after_ms="), "{reason}");
    assert_eq!(server.exit().await?.code(), Some(0));
    let answer = gateway.request("GET", "/chat/v1/rooms/").send().await?;
    assert!((502..=504).contains(&answer.status), "{answer}");
    Ok(())
}

pub(super) async fn a_body_as_large_as_the_server_takes_passes(case: &Case) -> TestResult {
    let Some((server, gateway)) = case.start(TestServer::setup()).await? else { return Ok(()) };
    server.create_room("lobby").await?;
    let ann = User::named("ann");
    for (bytes, status) in [(65_536, 201), (65_537, 413)] {
        let message = r#"{"room": 1, "message": "x"}"#;
        let body = " ".repeat(bytes - message.len()) + message;
        let answer = gateway.request_of(&ann, "POST", "/chat/v1/message/")?.json(body).send().await?;
        assert_eq!(answer.status, status, "{bytes} bytes: {answer}");
    }
    Ok(())
}
