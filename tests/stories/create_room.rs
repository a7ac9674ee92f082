//! `POST create-room/`: the name and the owner of a room, and one room for a post.

use ondol_tests::{TestResult, TestServer, User, guest};
use serde_json::{Value, json};

#[tokio::test]
async fn a_room_is_created_with_the_given_name_and_post() -> TestResult {
    let server = TestServer::start().await?;

    let room =
        server.post("/chat/v1/create-room/", &json!({"name": " 점심 모임 ", "post_id": 7})).await?.expect(201)?;

    assert_eq!((&room["id"], &room["name"], &room["post_id"]), (&json!(1), &json!("점심 모임"), &json!(7)));
    assert_eq!(room["owner"], Value::Null);
    assert_eq!(room["chat_url"], format!("{}/ws/chat/1/chat/", server.address()));
    assert_moment(&room["created_at"]);
    Ok(())
}

#[tokio::test]
async fn korean_is_sent_unescaped() -> TestResult {
    let server = TestServer::start().await?;
    let answer = server.post("/chat/v1/create-room/", &json!({"name": "온돌방"})).await?;
    assert!(answer.text().contains(r#""name":"온돌방""#), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_room_without_a_name_gets_the_default_one() -> TestResult {
    let server = TestServer::start().await?;
    for body in [json!({}), json!({"name": null}), json!({"name": null, "post_id": null})] {
        let room = server.post("/chat/v1/create-room/", &body).await?.expect(201)?;
        assert_eq!((&room["name"], &room["post_id"]), (&json!("새로운 채팅방"), &Value::Null), "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_post_keeps_its_room_and_its_name() -> TestResult {
    let server = TestServer::start().await?;
    let first = server.post("/chat/v1/create-room/", &json!({"name": "first", "post_id": 3})).await?.expect(201)?;

    let second = server.post("/chat/v1/create-room/", &json!({"name": "second", "post_id": 3})).await?.expect(200)?;

    assert_eq!(first, second);
    Ok(())
}

#[tokio::test]
async fn several_rooms_can_have_no_post() -> TestResult {
    let server = TestServer::start().await?;
    assert_eq!((server.create_room("a").await?, server.create_room("a").await?), (1, 2));
    Ok(())
}

#[tokio::test]
async fn the_creator_of_a_room_is_its_owner() -> TestResult {
    let server = TestServer::start().await?;
    let by_query = format!("/chat/v1/create-room/?{}", User::named("민지").query());
    assert_eq!(server.post(&by_query, &json!({})).await?.expect(201)?["owner"], "민지");

    let by_header = server.request("POST", "/chat/v1/create-room/").identity("ben").json("{}").send().await?;
    assert_eq!(by_header.expect(201)?["owner"], "ben");
    Ok(())
}

#[tokio::test]
async fn a_broken_identity_cannot_create_a_room() -> TestResult {
    let server = TestServer::start().await?;
    let answer = server.post("/chat/v1/create-room/?user_id=ann&user_id=ben", &json!({})).await?;
    answer.expect_detail(401, "not_authenticated")?;
    assert_eq!(server.get("/chat/v1/rooms/").await?.expect(200)?, json!([]));
    Ok(())
}

#[tokio::test]
async fn blank_and_invalid_names_are_refused() -> TestResult {
    let server = TestServer::start().await?;
    let long = "가".repeat(101);
    for (name, code) in [("", "blank"), (" \t ", "blank"), ("a\u{7}b", "invalid"), (&*long, "too_long")] {
        let answer = server.post("/chat/v1/create-room/", &json!({"name": name})).await?;
        assert_eq!(answer.expect_field("name")?, code, "{answer}");
    }
    server.post("/chat/v1/create-room/", &json!({"name": "가".repeat(100)})).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_refused_by_name() -> TestResult {
    let server = TestServer::start().await?;
    for (body, field) in [
        (json!({"name": 5}), "name"),
        (json!({"name": ["a"]}), "name"),
        (json!({"post_id": "three"}), "post_id"),
        (json!({"post_id": -1}), "post_id"),
        (json!({"post_id": 1.5}), "post_id"),
        (json!({"post_id": true}), "post_id"),
        (json!({"post_id": 10_000_000_000_000_000_000_u64}), "post_id"),
    ] {
        let answer = server.post("/chat/v1/create-room/", &body).await?;
        answer.expect_field(field)?;
    }
    Ok(())
}

#[tokio::test]
async fn two_simultaneous_requests_for_one_post_get_one_room() -> TestResult {
    let server = TestServer::start().await?;
    for post in 1..=100 {
        let body = json!({"post_id": post});
        let (one, other) =
            tokio::join!(server.post("/chat/v1/create-room/", &body), server.post("/api/chat/create-room/", &body));
        let (one, other) = (one?, other?);
        assert_eq!(one.json()["id"], other.json()["id"], "post {post}: {one} and {other}");
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "post {post}");
    }
    let rooms = server.get("/chat/v1/rooms/?limit=1000").await?.expect(200)?;
    assert_eq!(rooms.as_array().map(Vec::len), Some(100));
    Ok(())
}

#[tokio::test]
async fn a_setting_refuses_a_second_room_for_a_post() -> TestResult {
    let server = TestServer::setup().setting("rooms", "post_has_room", "refuse").start().await?;
    server.post("/chat/v1/create-room/", &json!({"post_id": 3})).await?.expect(201)?;
    let answer = server.post("/chat/v1/create-room/", &json!({"post_id": 3})).await?;
    assert_eq!(answer.expect_field("post_id")?, "post_has_room");
    Ok(())
}

#[tokio::test]
async fn the_chat_url_contains_the_host_of_the_request() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    let mut socket = server.raw().await?;
    socket.send("GET /chat/v1/room/1/ HTTP/1.1\r\nHost: chat.example.com\r\n\r\n").await?;
    let room = socket.read_answer("GET").await?.expect(200)?;
    assert_eq!(room["chat_url"], "chat.example.com/ws/chat/1/chat/");
    Ok(())
}

#[tokio::test]
async fn an_events_handler_in_place_of_the_rooms_handler_keeps_the_server_from_starting() -> TestResult {
    let failed = TestServer::setup().handler("rooms", guest("shouting_events")).start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("rooms") && why.contains("ondol:chat/rooms"), "{why}");
    Ok(())
}

/// Checks that a value is a time in UTC in the form of RFC 3339.
pub(crate) fn assert_moment(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z'), "{value} is no moment in UTC");
}
