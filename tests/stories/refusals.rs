//! HTTP requests that are refused: each with its status, its headers and a body that a program can read.

use ondol_tests::{NEVER_MS, RawSocket, TestResult, TestServer, User};
use serde_json::json;

#[tokio::test]
async fn an_unknown_path_is_not_found() -> TestResult {
    let server = TestServer::start().await?;
    for path in
        ["/chat/v1/", "/chat/v2/rooms/", "/chat/v1/rooms//", "/chat/v1/rooms/x/", "/api/rooms/", "/../etc", "/%"]
    {
        let answer = server.get(path).await?;
        assert_eq!(answer.expect_detail(404, "not_found")?, "Not found.", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_allowed_ones() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    for (method, path, allowed) in [
        ("POST", "/chat/v1/rooms/".to_owned(), "GET"),
        ("DELETE", format!("/chat/v1/room/{room}/"), "GET"),
        ("PUT", format!("/api/chat/room/{room}/messages"), "GET"),
        ("GET", "/chat/v1/create-room/".to_owned(), "POST"),
        ("PATCH", "/api/chat/message".to_owned(), "POST"),
        ("POST", format!("/ws/chat/{room}/chat/?{}", User::named("ann").query()), "GET"),
    ] {
        let answer = server.request(method, &path).header("Content-Length", "0").send().await?;
        answer.expect_detail(405, "method_not_allowed")?;
        let allow = answer.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|one| one.trim() == allowed), "{method} {path}: {answer}");
        assert!(!allow.contains(method), "{method} {path}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    let full = server.get("/chat/v1/rooms/").await?;
    let head = server.request("HEAD", "/chat/v1/rooms/").send().await?;
    assert_eq!((head.status, head.header("content-type")), (200, full.header("content-type")));
    assert_eq!(head.header("content-length"), full.header("content-length"));
    assert_eq!(server.request("HEAD", "/chat/v1/room/99/").send().await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn options_list_the_allowed_methods() -> TestResult {
    let server = TestServer::start().await?;
    for (path, allowed) in [("/chat/v1/rooms/", "GET"), ("/chat/v1/create-room/", "POST")] {
        let answer = server.request("OPTIONS", path).send().await?;
        assert!(matches!(answer.status, 200 | 204), "{answer}");
        assert!(answer.header("allow").unwrap_or_default().contains(allowed), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_parse_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    for body in [" ", "{", "{\"name\":}", "nonsense", "{} {}", "\u{feff}{"] {
        let answer = server.request("POST", "/chat/v1/create-room/").json(body).send().await?;
        answer.expect_detail(400, "parse_error")?;
    }
    let answer = server.request("POST", "/chat/v1/create-room/").json(b"{\"name\":\"\xff\"}".to_vec()).send().await?;
    answer.expect_detail(400, "parse_error")?;
    Ok(())
}

#[tokio::test]
async fn a_missing_body_counts_as_an_empty_one() -> TestResult {
    let server = TestServer::start().await?;
    let bare = server.request("POST", "/chat/v1/create-room/").json("").send().await?;
    assert_eq!(bare.expect(201)?["name"], "새로운 채팅방");
    Ok(())
}

#[tokio::test]
async fn a_body_that_nests_too_deep_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let answer = server.request("POST", "/chat/v1/create-room/").json(deep).send().await?;
    assert_eq!(answer.status, 400, "{answer}");
    server.create_room("lobby").await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    for body in ["[]", "null", "\"name\"", "5"] {
        let answer = server.request("POST", "/chat/v1/create-room/").json(body).send().await?;
        assert_eq!(answer.status, 400, "{body}: {answer}");
        assert!(answer.json()["code"].is_string(), "{body}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_duplicate_key_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let body = format!(r#"{{"room":{room},"message":"a","message":"b"}}"#);
    let answer = server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("duplicate_key")), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_body_of_another_content_type_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"] {
        let answer = server.request("POST", "/chat/v1/create-room/").body(kind, "{}").send().await?;
        answer.expect_detail(415, "unsupported_media_type")?;
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        server.request("POST", "/chat/v1/create-room/").body(kind, "{}").send().await?.expect(201)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() -> TestResult {
    let server = TestServer::setup().limit("body_bytes_max", 1_000).start().await?;
    let mut socket = server.raw().await?;
    socket.send(post_head(server.address(), "Content-Length: 1001\r\n")).await?;
    socket.read_answer("POST").await?.expect_detail(413, "request_too_large")?;

    let padded = format!("{{}}{}", " ".repeat(998));
    server.request("POST", "/chat/v1/create-room/").json(padded).send().await?.expect(201)?;
    Ok(())
}

/// A client that sends without reading meanwhile, and reads then.
#[tokio::test]
async fn a_refused_client_can_finish_its_body() -> TestResult {
    let server = TestServer::setup().limit("body_bytes_max", 1_000).env("ONDOL_ADMIN_TOKEN", "secret").admin().start();
    let server = server.await?;
    let admin = server.admin_address()?.trim_start_matches("http://").to_owned();
    let chat = server.address().to_owned();
    let post = |host: &str, target: &str, length: usize| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    for (address, target, status, code) in [
        (&chat, "/chat/v1/create-room/", 413, "request_too_large"),
        (&admin, "/v1/handlers/events", 401, "not_authenticated"),
        (&admin, "/v1/no-such-call", 401, "not_authenticated"),
    ] {
        let mut socket = RawSocket::connect(address).await?;
        socket.send(post(address, target, 300_000)).await?;
        let answer = socket.read_answer("POST").await?;
        answer.expect_detail(status, code)?;
        for _ in 0..300 {
            socket.send([b' '; 1_000]).await?;
        }
        if answer.header("connection") == Some("close") {
            socket.expect_end().await?;
        } else {
            socket.send(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n")).await?;
            socket.read_answer("GET").await?.expect(200)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_first() -> TestResult {
    let server = TestServer::setup().limit("body_bytes_max", 1_000).start().await?;
    let asking =
        |length: usize| post_head(server.address(), &format!("Content-Length: {length}\r\nExpect: 100-continue\r\n"));
    let mut socket = server.raw().await?;
    socket.send(asking(1_001)).await?;
    socket.read_answer("POST").await?.expect_detail(413, "request_too_large")?;
    let mut socket = server.raw().await?;
    socket.send(asking(2)).await?;
    assert_eq!(socket.read_answer("HEAD").await?.status, 100);
    socket.send("{}").await?;
    socket.read_answer("POST").await?.expect(201)?;
    let unknown = server.request("POST", "/chat/v1/create-room/").json("{}").header("Expect", "a miracle");
    unknown.send().await?.expect_detail(417, "expectation_failed")?;
    Ok(())
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_refused() -> TestResult {
    let server = TestServer::setup().limit("body_bytes_max", 1_000).start().await?;
    let mut socket = server.raw().await?;
    socket.send(post_head(server.address(), "Transfer-Encoding: chunked\r\n")).await?;
    for _ in 0..3 {
        socket.send(format!("190\r\n{}\r\n", " ".repeat(400))).await?;
    }
    socket.read_answer("POST").await?.expect_detail(413, "request_too_large")?;
    Ok(())
}

#[tokio::test]
async fn a_chunked_body_is_read() -> TestResult {
    let server = TestServer::start().await?;
    let mut socket = server.raw().await?;
    socket.send(post_head(server.address(), "Transfer-Encoding: chunked\r\n")).await?;
    socket.send("8\r\n{\"name\":\r\n").await?;
    socket.send("8\r\n\"lobby\"}\r\n0\r\n\r\n").await?;
    assert_eq!(socket.read_answer("POST").await?.expect(201)?["name"], "lobby");
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_come_times_out() -> TestResult {
    let server = TestServer::setup().limit("body_ms_max", 100).start().await?;
    let mut socket = server.raw().await?;
    socket.send(post_head(server.address(), "Content-Length: 20\r\n") + "{\"name\"").await?;
    let answer = socket.read_answer("POST").await?;
    answer.expect_detail(408, "timeout")?;
    assert_eq!(answer.header("connection"), Some("close"), "{answer}");
    socket.expect_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() -> TestResult {
    let server = TestServer::setup().limit("header_ms_max", 1_000).start().await?;
    let mut silent = server.raw().await?;
    let mut half = server.raw().await?;
    half.send("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: x\r\n").await?;
    silent.expect_end().await?;
    let last = half.expect_end().await?;
    assert!(last.is_empty() || last.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&last));
    Ok(())
}

#[tokio::test]
async fn a_url_that_is_too_long_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    let long = format!("/chat/v1/rooms/?x={}", "x".repeat(8_192));
    server.get(&long).await?.expect_detail(414, "uri_too_long")?;
    let longest = format!("/chat/v1/rooms/?x={}", "x".repeat(8_192 - "/chat/v1/rooms/?x=".len()));
    server.get(&longest).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() -> TestResult {
    let server = TestServer::start().await?;
    let large = server.request("GET", "/chat/v1/rooms/").header("X-Large", "x".repeat(17_000)).send().await?;
    large.expect_detail(431, "headers_too_large")?;
    let many =
        (0..400).fold(server.request("GET", "/chat/v1/rooms/"), |request, n| request.header(&format!("X-{n}"), "x"));
    assert_eq!(many.send().await?.status, 431);
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() -> TestResult {
    let server = TestServer::setup().limit("header_ms_max", NEVER_MS).start().await?;
    for nonsense in ["nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"] {
        let mut socket = server.raw().await?;
        socket.send(nonsense).await?;
        let last = socket.expect_end().await?;
        assert!(last.is_empty() || last.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&last));
    }
    server.get("/chat/v1/rooms/").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn one_connection_carries_many_requests() -> TestResult {
    let server = TestServer::start().await?;
    let mut socket = RawSocket::connect(server.address()).await?;
    let one = format!("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    socket.send(one.repeat(3)).await?;
    for _ in 0..3 {
        socket.read_answer("GET").await?.expect(200)?;
    }
    socket.send(&one).await?;
    socket.read_answer("GET").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn answers_have_a_content_type() -> TestResult {
    let server = TestServer::start().await?;
    let answer = server.get("/chat/v1/rooms/").await?;
    let kind = answer.header("content-type").unwrap_or_default().to_lowercase();
    assert!(kind == "application/json" || kind == "application/json; charset=utf-8", "{answer}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    Ok(())
}

#[tokio::test]
async fn the_page_is_at_the_root() -> TestResult {
    let server = TestServer::start().await?;
    let page = server.get("/").await?;
    assert_eq!(page.status, 200, "{page}");
    assert!(page.header("content-type").unwrap_or_default().starts_with("text/html"), "{page}");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    for (path, kind) in [("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let file = server.get(path).await?;
        assert_eq!(file.status, 200, "{path}: {file}");
        assert!(file.header("content-type").unwrap_or_default().starts_with(kind), "{file}");
    }
    Ok(())
}

/// The head of a request to create a room, with `more` headers.
fn post_head(host: &str, more: &str) -> String {
    format!("POST /chat/v1/create-room/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{more}\r\n")
}

#[tokio::test]
async fn http_1_0_is_answered() -> TestResult {
    let server = TestServer::start().await?;
    let mut socket = server.raw().await?;
    socket.send("GET /chat/v1/rooms/ HTTP/1.0\r\n\r\n").await?;
    socket.read_answer("GET").await?.expect(200)?;
    socket.expect_end().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_that_expects_100_continue_receives_it() -> TestResult {
    let server = TestServer::start().await?;
    let mut socket = server.raw().await?;
    socket.send(post_head(server.address(), "Expect: 100-continue\r\nContent-Length: 2\r\n")).await?;
    assert_eq!(socket.read_answer("POST").await?.status, 100);
    socket.send("{}").await?;
    socket.read_answer("POST").await?.expect(201)?;
    Ok(())
}
