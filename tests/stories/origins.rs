//! Pages of other sites: they may neither open a WebSocket nor change anything.

use ondol_tests::{Request, TestResult, TestServer, User};

/// A post that would create a room, as a page of `origin` sends it.
fn create(server: &TestServer, origin: &str) -> Request {
    server.request("POST", "/chat/v1/create-room/").json("{}").header("Origin", origin)
}

fn door(name: &str) -> String {
    format!("/ws/chat/1/chat/?{}", User::named(name).query())
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_create_nor_say_nor_listen() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    for origin in ["https://evil.example", "null", "file://", "http://127.0.0.1:1", "https://127.0.0.1.evil.example"] {
        create(&server, origin).send().await?.expect_detail(403, "origin_not_allowed")?;
        let say = server.request("POST", "/chat/v1/message/").identity("ann").json(r#"{"room":1,"message":"hi"}"#);
        say.header("Origin", origin).send().await?.expect_detail(403, "origin_not_allowed")?;
        let answer = server.knock(&door("ann"), &[("Origin", origin)]).await?.refused()?;
        answer.expect_detail(403, "origin_not_allowed")?;
    }
    for site in ["cross-site", "same-site"] {
        let post = server.request("POST", "/chat/v1/create-room/").json("{}").header("Sec-Fetch-Site", site);
        post.send().await?.expect_detail(403, "origin_not_allowed")?;
    }
    let read = server.request("GET", "/chat/v1/rooms/").header("Origin", "https://evil.example").send().await?;
    read.expect(200)?;
    assert_eq!(read.header("access-control-allow-origin"), None, "the browser does not show it to the page");
    server.wait_for_log("would let it in").await?;
    assert_eq!(
        server.log().since(0).iter().filter(|line| line.contains("would let it in")).count(),
        1,
        "the log says it once"
    );
    Ok(())
}

#[tokio::test]
async fn the_servers_own_page_may_call() -> TestResult {
    let server = TestServer::start().await?;
    let own = format!("http://{}", server.address());
    create(&server, &own).send().await?.expect(201)?;
    server.knock(&door("ann"), &[("Origin", &own)]).await?.opened()?;
    let post = server.request("POST", "/chat/v1/create-room/").json("{}");
    post.header("Sec-Fetch-Site", "same-origin").send().await?.expect(201)?;
    let server = TestServer::setup().config(r#"public_url = "https://채팅.example.com""#).start().await?;
    let room = create(&server, "https://xn--ou6bo7j.example.com").send().await?.expect(201)?;
    assert_eq!(room["chat_url"], format!("xn--ou6bo7j.example.com/ws/chat/{}/chat/", room["id"]));
    create(&server, &own).send().await?.expect_detail(403, "origin_not_allowed")?;
    Ok(())
}

#[tokio::test]
async fn a_trusted_gateway_says_how_clients_address_the_server() -> TestResult {
    let forwarded = |server: &TestServer, origin: &str| {
        let post = create(server, origin).header("X-Forwarded-Host", "chat.example.com");
        post.header("X-Forwarded-Proto", "https")
    };
    let server = TestServer::start().await?;
    let room = forwarded(&server, "https://chat.example.com").send().await?.expect(201)?;
    assert_eq!(room["chat_url"], format!("chat.example.com/ws/chat/{}/chat/", room["id"]));
    forwarded(&server, "http://chat.example.com").send().await?.expect_detail(403, "origin_not_allowed")?;
    let server = TestServer::setup().flag("--identity").flag("trusted=192.0.2.1").start().await?;
    forwarded(&server, "https://chat.example.com").send().await?.expect_detail(403, "origin_not_allowed")?;
    Ok(())
}

#[tokio::test]
async fn a_listed_page_may_call_and_read_what_it_gets() -> TestResult {
    let origins = r#"origins = ["same-origin", "https://app.example.com:443", "null", "app://chat"]"#;
    let server = TestServer::setup().config(origins).start().await?;
    for origin in ["https://app.example.com", "null", "app://chat"] {
        let preflight = server.request("OPTIONS", "/chat/v1/create-room/").header("Origin", origin);
        let preflight = preflight.header("Access-Control-Request-Method", "POST").send().await?;
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin), "{preflight}");
        assert!(preflight.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
        assert!(preflight.header("access-control-allow-headers").is_some_and(|names| names.contains("content-type")));
        let post = create(&server, origin).send().await?;
        post.expect(201)?;
        assert_eq!(post.header("access-control-allow-origin"), Some(origin));
        assert_eq!(post.header("vary"), Some("origin"));
    }
    let preflight = server.request("OPTIONS", "/chat/v1/create-room/").header("Origin", "https://evil.example");
    let preflight = preflight.header("Access-Control-Request-Method", "POST").send().await?;
    assert_eq!(preflight.header("access-control-allow-origin"), None, "{preflight}");
    Ok(())
}

#[tokio::test]
async fn a_request_without_an_origin_is_refused_where_one_is_required() -> TestResult {
    let server = TestServer::setup().config("origins_required = true").start().await?;
    let post = server.request("POST", "/chat/v1/create-room/").json("{}");
    post.send().await?.expect_detail(403, "origin_not_allowed")?;
    create(&server, &format!("http://{}", server.address())).send().await?.expect(201)?;
    server.get("/chat/v1/rooms/").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn an_empty_post_needs_the_type_of_json() -> TestResult {
    let server = TestServer::start().await?;
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let post = server.request("POST", "/chat/v1/create-room/").body(kind, "");
        post.send().await?.expect_detail(415, "unsupported_media_type")?;
    }
    server.request("POST", "/chat/v1/create-room/").send().await?.expect_detail(415, "unsupported_media_type")?;
    server.request("POST", "/chat/v1/create-room/").json("").send().await?.expect(201)?;
    Ok(())
}
