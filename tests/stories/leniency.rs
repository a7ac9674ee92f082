//! Requests as clients of all kinds write them: hosts, codings, numbers, odd JSON. What has one meaning is accepted, and the rest is
//! refused by name.

use ondol_tests::{TestResult, TestServer};

#[tokio::test]
async fn what_is_no_text_or_number_is_refused_by_the_name_of_its_field_and_ignored_where_nothing_needs_it() -> TestResult
{
    let server = TestServer::start().await?;
    let create = async |body: &str| server.request("POST", "/chat/v1/create-room/").json(body).send().await;
    create(r#"{"name":"\ud800"}"#).await?.expect_field("name")?;
    create(r#"{"post_id":1e400}"#).await?.expect_field("post_id")?;
    create(r#"{"x":1e400,"y":"\ud800"}"#).await?.expect(201)?;
    create("\u{feff}{}").await?.expect(201)?;
    let say = |body: &'static str| server.request("POST", "/chat/v1/message/").identity("ann").json(body).send();
    let mut client = server.join(1, "bob").await?;
    for (frame, body) in [
        (r#"{"type":"chat.message","message":"\ud83d"}"#, r#"{"room":1,"message":"\ud83d"}"#),
        ("{\"type\":\"chat.message\",\"message\":1e400}", "{\"room\":1,\"message\":1e400}"),
    ] {
        client.send(frame).await?;
        let on_the_socket = client.expect_error("invalid_json").await?;
        let over_rest = say(body).await?.expect_detail(400, "invalid_json")?;
        let cause = |text: &str| text.split(" at line").next().unwrap_or_default().to_owned();
        assert_eq!(cause(&over_rest), cause(on_the_socket["message"].as_str().unwrap_or_default()));
    }
    say(r#"{"room":1,"message":"hi","x":1e400}"#).await?.expect(201)?;
    client.expect_message("hi").await?;
    client.send(r#"{"type":"chat.message","message":"ho","x":1e400}"#).await?;
    client.expect_message("ho").await?;
    client.send("\u{feff}{\"type\":\"chat.message\",\"message\":\"bom\"}").await?;
    client.expect_message("bom").await?;
    Ok(())
}

#[tokio::test]
async fn whole_numbers_may_be_texts_or_doubles() -> TestResult {
    let server = TestServer::start().await?;
    for (number, body) in [(7, r#"{"post_id":"7"}"#), (8, r#"{"post_id":8.0}"#), (9, r#"{"post_id":9}"#)] {
        let room = server.request("POST", "/chat/v1/create-room/").json(body).send().await?.expect(201)?;
        assert_eq!(room["post_id"], number);
    }
    for body in [r#"{"post_id":7.5}"#, r#"{"post_id":"7x"}"#, r#"{"post_id":true}"#, r#"{"post_id":-1.0}"#] {
        server.request("POST", "/chat/v1/create-room/").json(body).send().await?.expect_field("post_id")?;
    }
    let say = |body: &'static str| server.request("POST", "/chat/v1/message/").identity("ann").json(body).send();
    say(r#"{"room":"1","message":"hi"}"#).await?.expect(201)?;
    let id = say(r#"{"room":1.0,"message":"hi"}"#).await?.expect(201)?["id"].clone();
    let answer = server.request("POST", "/chat/v1/message/").identity("ann");
    let answer = answer.json(format!(r#"{{"room":1,"message":"hi","parent":{id}.0}}"#)).send().await?.expect(201)?;
    assert_eq!(answer["parent"], id);
    say(r#"{"room":1.5,"message":"hi"}"#).await?.expect_field("room")?;
    Ok(())
}

#[tokio::test]
async fn an_encoded_body_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    for coding in ["gzip", "br", "identity, gzip"] {
        let post = server.request("POST", "/chat/v1/create-room/").json("{}").header("Content-Encoding", coding);
        let answer = post.send().await?;
        answer.expect_detail(415, "unsupported_media_type")?;
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    let post = server.request("POST", "/chat/v1/create-room/").json("{}").header("Content-Encoding", "identity");
    post.send().await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_request_of_http_1_1_names_one_host() -> TestResult {
    let server = TestServer::start().await?;
    for (head, status) in [
        ("GET /chat/v1/rooms/ HTTP/1.1\r\n\r\n", 400),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: a b\"<c>\r\n\r\n", 400),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: chat.example.com:8000\r\n\r\n", 200),
        ("GET /chat/v1/rooms/ HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
        ("GET http://chat.example.com/chat/v1/rooms/ HTTP/1.1\r\nHost: other\r\n\r\n", 200),
        ("GET /chat/v1/rooms/ HTTP/1.0\r\n\r\n", 200),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204),
    ] {
        let mut raw = server.raw().await?;
        raw.send(head).await?;
        assert_eq!(raw.read_answer("GET").await?.status, status, "{head}");
    }
    let mut raw = server.raw().await?;
    let head = "POST http://chat.example.com/chat/v1/create-room/ HTTP/1.1\r\nHost: other\r\n";
    raw.send(format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}")).await?;
    let room = raw.read_answer("POST").await?.expect(201)?;
    assert!(room["chat_url"].as_str().is_some_and(|url| url.starts_with("chat.example.com/")), "{room}");
    Ok(())
}

#[tokio::test]
async fn a_room_id_has_one_spelling() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    server.get("/chat/v1/room/1/").await?.expect(200)?;
    for id in ["+1", "01", "0001", "%31%20", "1.0", "-1", ""] {
        assert_eq!(server.get(&format!("/chat/v1/room/{id}/")).await?.status, 404, "{id}");
    }
    let head = server.request("HEAD", "/ws/chat/1/chat/?user_id=a&nickname=a&email=a@b").send().await?;
    assert_eq!(head.status, 426);
    Ok(())
}

#[tokio::test]
async fn a_refusal_waits_for_the_rest_of_the_body() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    for path in ["/chat/v1/message/", "/nowhere/", "/chat/v1/rooms/"] {
        let mut raw = server.raw().await?;
        let body = format!(r#"{{"room":1,"message":"{}"}}"#, "x".repeat(60_000));
        let (first, rest) = body.split_at(1_000);
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}");
        raw.send(format!("{head}\r\n\r\n{first}")).await?;
        for piece in rest.as_bytes().chunks(10_000) {
            raw.send(piece).await?;
        }
        assert!(matches!(raw.read_answer("POST").await?.status, 401 | 404 | 405), "{path}");
    }
    Ok(())
}
