//! HTTP/2: REST and the page over it, and its limits. Frames that no library would send are written byte by byte.

use ondol_tests::{
    NEVER_MS, Setup, TestResult, TestServer, tls,
    tls::{Authority, Http2},
    until, within,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::Method;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn started(setup: Setup) -> TestResult<(TestServer, Authority)> {
    let authority = Authority::new()?;
    let server = setup.tls().start_after(|home| tls::furnish(home, &authority)).await?;
    Ok((server, authority))
}

#[tokio::test]
async fn http_2_carries_rest_and_the_page() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    let room = client.send(Method::POST, "/chat/v1/create-room/", &[JSON], r#"{"name":"lobby"}"#).await?.expect(201)?;
    assert_eq!(room["chat_url"], format!("localhost/ws/chat/{}/chat/", room["id"]));
    let identity = [JSON, ("x-user-id", "u1"), ("x-nickname", "ann"), ("x-email", "ann@example.com")];
    let said = client.send(Method::POST, "/chat/v1/message/", &identity, r#"{"room":1,"message":"hi"}"#).await?;
    assert_eq!(said.expect(201)?["seq"], 1);
    let messages = client.send(Method::GET, "/chat/v1/room/1/messages/", &[], "").await?.expect(200)?;
    assert_eq!(messages[0]["message"], "hi", "{messages}");
    let page = client.send(Method::GET, "/", &[], "").await?;
    let head = client.send(Method::HEAD, "/", &[], "").await?;
    assert_eq!((page.status, head.status, head.body.len()), (200, 200, 0));
    assert_eq!(head.header("content-length"), Some(&*page.body.len().to_string()));
    let refused = client.send(Method::GET, "/chat/v1/nothing/", &[], "").await?;
    refused.expect_detail(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn the_authority_is_the_host_of_http_2() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    for (origin, status) in [("https://localhost", 201), ("http://localhost", 403), ("https://evil.example", 403)] {
        let answer = client.send(Method::POST, "/chat/v1/create-room/", &[JSON, ("origin", origin)], "{}").await?;
        assert_eq!(answer.status, status, "{origin}");
    }
    let other = client.send(Method::GET, "/chat/v1/rooms/", &[("host", "evil.example")], "").await?;
    other.expect_detail(400, "invalid_host")?;
    Ok(())
}

#[tokio::test]
async fn websockets_stay_on_http_1() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    client.send(Method::POST, "/chat/v1/create-room/", &[JSON], "{}").await?.expect(201)?;
    let target = "/ws/chat/1/chat/?user_id=u1&nickname=ann&email=ann%40example.com";
    let answer = client.send(Method::GET, target, &[("sec-websocket-version", "13")], "").await?;
    answer.expect_detail(426, "upgrade_required")?;
    assert!(!client.ready().await?.is_extended_connect_protocol_enabled());
    Ok(())
}

#[tokio::test]
async fn bodies_and_heads_keep_their_limits() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("body_bytes_max", 100)).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(100));
    let answer = client.send(Method::POST, "/chat/v1/create-room/", &[JSON], &body).await?;
    answer.expect_detail(413, "request_too_large")?;
    let long = "x".repeat(20_000);
    let answer = client.send(Method::GET, "/chat/v1/rooms/", &[("x-long", &long)], "").await?;
    assert_eq!(answer.status, 431, "{answer}");
    // The connection still serves.
    client.send(Method::GET, "/chat/v1/rooms/", &[], "").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("body_ms_max", 300)).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    assert_eq!(client.send_without_body("/chat/v1/create-room/").await?, 408);
    client.send(Method::GET, "/chat/v1/rooms/", &[], "").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("idle_ms_max", 300)).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    client.send(Method::GET, "/chat/v1/rooms/", &[], "").await?.expect(200)?;
    client.closed_by_server().await
}

#[tokio::test]
async fn a_shutdown_ends_http_2_at_once() -> TestResult {
    let setup = TestServer::setup().limit("shutdown_grace_ms", NEVER_MS).limit("close_ms_max", NEVER_MS);
    let (mut server, authority) = started(setup).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    client.send(Method::GET, "/chat/v1/rooms/", &[], "").await?.expect(200)?;
    server.signal("TERM")?;
    client.closed_by_server().await?;
    assert!(server.exit().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_draining_server_says_goodbye_and_answers_new_connections() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("drain_ms", NEVER_MS)).await?;
    let mut client = Http2::connect(&authority, server.address()).await?;
    client.send(Method::GET, "/readyz", &[], "").await?.expect(200)?;
    server.signal("TERM")?;
    client.closed_by_server().await?;
    let mut other = Http2::connect(&authority, server.address()).await?;
    for _ in 0..2 {
        other.send(Method::GET, "/readyz", &[], "").await?.expect_detail(503, "not_ready")?;
    }
    Ok(())
}

/// A connection whose frames the story writes and reads itself (RFC 9113, section 4).
struct RawHttp2(TlsStream<TcpStream>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /` and `POST /chat/v1/create-room/` of `localhost`, by the static table of HPACK (RFC 7541, appendix A).
const GET: &[u8] = b"\x82\x87\x84\x41\x09localhost";
const POST: &[u8] = b"\x83\x87\x44\x15/chat/v1/create-room/\x41\x09localhost\x5f\x10application/json";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

impl RawHttp2 {
    /// Connects, with this window for every answer.
    async fn connect(authority: &Authority, address: &str, window: u32) -> TestResult<Self> {
        let mut stream = authority.connect(address, "h2").await?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await?;
        Ok(Self(stream))
    }

    async fn send(&mut self, frames: &[u8]) -> TestResult {
        self.0.write_all(frames).await?;
        Ok(self.0.flush().await?)
    }

    /// The next frame: its kind, flags, stream and payload. None: the server has closed.
    async fn next(&mut self) -> TestResult<Option<(u8, u8, u32, Vec<u8>)>> {
        let mut head = [0; 9];
        if within("a frame", self.0.read_exact(&mut head)).await?.is_err() {
            return Ok(None);
        }
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if within("a payload", self.0.read_exact(&mut payload)).await?.is_err() {
            return Ok(None);
        }
        Ok(Some((kind, flags, u32::from_be_bytes([s, t, u, v]), payload)))
    }

    /// Waits until the server has read everything so far. False: it has ended the connection.
    async fn settle(&mut self) -> TestResult<bool> {
        if self.send(&frame(PING, 0, 0, b"settled?")).await.is_err() {
            return Ok(false);
        }
        loop {
            match self.next().await? {
                Some((PING, 1, _, payload)) if payload == b"settled?" => return Ok(true),
                Some((GOAWAY, ..)) | None => return Ok(false),
                Some(_) => {}
            }
        }
    }

    /// Reads to the end, and returns the kinds and streams of the frames.
    async fn ends(&mut self) -> TestResult<Vec<(u8, u32)>> {
        let mut kinds = Vec::new();
        while let Some((kind, _, stream, _)) = self.next().await? {
            kinds.push((kind, stream));
        }
        Ok(kinds)
    }
}

#[tokio::test]
async fn a_stream_beyond_the_limit_is_refused() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("http2_streams_max", 3)).await?;
    let mut client = RawHttp2::connect(&authority, server.address(), 65_535).await?;
    // Requests whose bodies do not end stay open.
    for stream in [1, 3, 5, 7] {
        client.send(&frame(HEADERS, END_HEADERS, stream, POST)).await?;
    }
    loop {
        match client.next().await?.expect("an open connection") {
            // REFUSED_STREAM
            (RST_STREAM, _, 7, payload) => {
                assert_eq!(payload, [0, 0, 0, 7]);
                return Ok(());
            }
            (RST_STREAM | GOAWAY, _, stream, _) => panic!("{stream} was reset"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mut client = RawHttp2::connect(&authority, server.address(), 65_535).await?;
    let mut flood = Vec::new();
    for stream in (1..2_001).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        flood.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let _ = client.send(&flood).await;
    let kinds = client.ends().await?;
    assert!(kinds.iter().filter(|(kind, _)| *kind == HEADERS).count() < 500, "{kinds:?}");
    assert_serves(&server, &authority).await
}

#[tokio::test]
async fn requests_that_are_reset_while_they_are_handled_end_the_connection() -> TestResult {
    let (server, authority) = started(TestServer::setup()).await?;
    let mut client = RawHttp2::connect(&authority, server.address(), 65_535).await?;
    let mut resets = 0;
    for stream in (1..2_001).step_by(2) {
        client.send(&frame(HEADERS, END_HEADERS, stream, POST)).await.ok();
        if !client.settle().await? {
            break;
        }
        client.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await.ok();
        resets += 1;
    }
    assert!((50..500).contains(&resets), "{resets}");
    assert_serves(&server, &authority).await
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_closed() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("answer_ms_max", 300)).await?;
    let mut client = RawHttp2::connect(&authority, server.address(), 0).await?;
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await?;
    let kinds = client.ends().await?;
    assert!(kinds.contains(&(HEADERS, 1)) && kinds.contains(&(GOAWAY, 0)), "{kinds:?}");
    assert!(!kinds.contains(&(DATA, 1)), "{kinds:?}");
    assert_serves(&server, &authority).await
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_is_dropped() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("header_ms_max", 500)).await?;
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
    for sent in [&b""[..], &head[..head.len() - 1]] {
        // The limit holds for the handshake as well, so on a busy machine it may take several.
        let client = async || RawHttp2::connect(&authority, server.address(), 65_535).await.ok();
        let mut client = until("a handshake within the limit", client).await?;
        client.send(sent).await?;
        let kinds = client.ends().await?;
        assert!(!kinds.iter().any(|(kind, _)| *kind == HEADERS), "{kinds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pings_and_half_a_head_do_not_keep_an_idle_connection() -> TestResult {
    let (server, authority) = started(TestServer::setup().limit("idle_ms_max", 300).limit("close_ms_max", 300)).await?;
    let mut client = RawHttp2::connect(&authority, server.address(), 65_535).await?;
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await?;
    until("the end of the connection", async || match client.settle().await {
        Ok(true) => None,
        ended => Some(ended),
    })
    .await??;
    client.ends().await?;
    assert_serves(&server, &authority).await
}

async fn assert_serves(server: &TestServer, authority: &Authority) -> TestResult {
    // A short limit may be over on a busy machine, so it may take several connections.
    until("an answer", async || {
        let mut client = Http2::connect(authority, server.address()).await.ok()?;
        let answer = client.send(Method::GET, "/chat/v1/rooms/", &[], "").await.ok()?;
        answer.expect(200).ok().map(drop)
    })
    .await
}
