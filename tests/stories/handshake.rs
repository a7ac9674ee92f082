//! The handshake, byte by byte: which requests are accepted, and the answers to the others (RFC 6455, section 4).

use ondol_tests::{Answer, Frame, TestResult, TestServer, User, raw};

/// Sends a handshake with some of its lines replaced, and reads the answer.
async fn shake(server: &TestServer, edit: impl Fn(String) -> String) -> TestResult<Answer> {
    let mut socket = server.raw().await?;
    let handshake = edit(socket.handshake(1, "ann"));
    socket.send(handshake).await?;
    socket.read_answer("GET").await
}

/// A server with one room.
async fn lobby() -> TestResult<TestServer> {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    Ok(server)
}

#[tokio::test]
async fn a_handshake_is_answered_as_the_rfc_requires() -> TestResult {
    let server = lobby().await?;
    let answer = shake(&server, |lines| lines).await?;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(raw::ACCEPT)), "{answer}");
    assert_eq!(answer.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    // The client asked for none, so the server may choose none.
    assert_eq!((answer.header("sec-websocket-protocol"), answer.header("sec-websocket-extensions")), (None, None));
    Ok(())
}

#[tokio::test]
async fn header_names_and_tokens_match_in_any_case() -> TestResult {
    let server = lobby().await?;
    let answer = shake(&server, |lines| {
        lines
            .replace("Connection: Upgrade", "connection: keep-alive, upgrade")
            .replace("Upgrade: websocket", "UPGRADE: WebSocket")
    });
    assert_eq!(answer.await?.status, 101);
    Ok(())
}

#[tokio::test]
async fn another_websocket_version_is_answered_with_the_supported_one() -> TestResult {
    let server = lobby().await?;
    let twice = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8";
    for other in ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: x", "X-None: 0", twice] {
        let answer = shake(&server, |lines| lines.replace("Sec-WebSocket-Version: 13", other)).await?;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")), "{other}: {answer}");
        answer.expect(426)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_or_malformed_key_is_refused() -> TestResult {
    let server = lobby().await?;
    let key = format!("Sec-WebSocket-Key: {}", raw::KEY);
    for other in
        ["X-None: 0", "Sec-WebSocket-Key: ", "Sec-WebSocket-Key: short", "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="]
    {
        let answer = shake(&server, |lines| lines.replace(&key, other)).await?;
        assert_eq!(answer.status, 400, "{other}: {answer}");
        assert!(answer.expect(400)?["detail"].is_string(), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plain_get_is_asked_to_upgrade() -> TestResult {
    let server = lobby().await?;
    let answer = server.get(&format!("/ws/chat/1/chat/?{}", User::named("ann").query())).await?;
    answer.expect(426)?;
    assert_eq!(answer.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_trailing_slash_of_the_path_is_optional() -> TestResult {
    let server = lobby().await?;
    for path in ["/ws/chat/1/chat", "/ws/chat/1/chat/"] {
        let mut ann = server.knock(&format!("{path}?{}", User::named("ann").query()), &[]).await?.opened()?;
        ann.expect_join("ann").await?;
        ann.leave().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handshake_into_an_unknown_room_is_refused() -> TestResult {
    let server = lobby().await?;
    for room in ["2", "0", "abc", "-1", "99999999999999999999"] {
        let target = format!("/ws/chat/{room}/chat/?{}", User::named("ann").query());
        let answer = server.knock(&target, &[]).await?.refused()?;
        assert_eq!(answer.expect_detail(404, "not_found")?, "Not found.", "{room}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_handshake_leaves_the_connection_usable_or_closed() -> TestResult {
    let server = lobby().await?;
    let mut socket = server.raw().await?;
    let refused = socket.handshake(99, "ann");
    socket.send(refused).await?;
    let answer = socket.read_answer("GET").await?;
    assert_eq!(answer.status, 404);
    if answer.header("connection") != Some("close") {
        socket.upgrade(1, "ann").await?;
        socket.expect_text("chat.user.join").await?;
    }
    Ok(())
}

#[tokio::test]
async fn frames_in_the_packet_of_the_handshake_are_read() -> TestResult {
    let server = lobby().await?;
    let mut socket = server.raw().await?;
    let mut bytes = socket.handshake(1, "ann").into_bytes();
    bytes.extend(Frame::saying("early").bytes());
    bytes.extend(Frame::saying("bird").bytes());
    socket.send(bytes).await?;
    assert_eq!(socket.read_answer("GET").await?.status, 101);
    socket.expect_text(r#""message":"early""#).await?;
    socket.expect_text(r#""message":"bird""#).await?;
    Ok(())
}

#[tokio::test]
async fn half_a_handshake_times_out() -> TestResult {
    let server = TestServer::setup().limit("header_ms_max", 1_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    let whole = socket.handshake(room, "ann");
    socket.send(&whole[..whole.len() - 10]).await?;
    let last = socket.expect_end().await?;
    assert!(last.is_empty() || last.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&last));
    Ok(())
}

#[tokio::test]
async fn a_handshake_can_arrive_byte_by_byte() -> TestResult {
    let server = lobby().await?;
    let mut socket = server.raw().await?;
    for byte in socket.handshake(1, "ann").into_bytes() {
        socket.send([byte]).await?;
    }
    assert_eq!(socket.read_answer("GET").await?.status, 101);
    socket.expect_text("chat.user.join").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused() -> TestResult {
    let server = lobby().await?;
    let key = format!("Sec-WebSocket-Key: {}", raw::KEY);
    let answer = shake(&server, |lines| lines.replace(&key, &format!("{key}\r\n{key}"))).await?;
    assert_eq!(answer.status, 400, "{answer}");
    Ok(())
}

#[tokio::test]
async fn offered_extensions_and_protocols_are_declined() -> TestResult {
    let server = lobby().await?;
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    let answer = shake(&server, |lines| lines.replace("\r\n\r\n", offer)).await?;
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "{answer}");
    assert_eq!(answer.header("sec-websocket-protocol"), None, "{answer}");
    Ok(())
}
