//! `POST message/`: messages without a socket.

use ondol_tests::{Answer, TestResult, TestServer, User, guest};
use serde_json::{Value, json};

async fn say(server: &TestServer, user: impl Into<User>, body: Value) -> TestResult<Answer> {
    server.request("POST", "/chat/v1/message/").identity(user).json(body.to_string()).send().await
}

#[tokio::test]
async fn a_posted_message_reaches_the_sockets() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;

    let mut message = say(&server, "벤", json!({"message": " 안녕 ", "room": room})).await?.expect(201)?;

    let mut heard = ann.expect_message("안녕").await?;
    assert_eq!(heard["sender"], "벤@example.com");
    heard.as_object_mut().unwrap().remove("type");
    assert_eq!(message.as_object_mut().unwrap().remove("user_id"), Some(json!("벤")));
    assert_eq!(heard, message);
    Ok(())
}

#[tokio::test]
async fn a_post_without_an_identity_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let answer = server.post("/chat/v1/message/", &json!({"message": "hi", "room": room})).await?;
    answer.expect_detail(401, "not_authenticated")?;
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.text(), "[]");
    Ok(())
}

#[tokio::test]
async fn the_identity_can_be_given_in_the_query() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let target = format!("/api/chat/message?{}", User::named("ann").pictured("/a b.png").query());
    let message = server.post(&target, &json!({"message": "hi", "room": room})).await?.expect(201)?;
    assert_eq!((&message["sender"], &message["profile_picture_url"]), (&json!("ann@example.com"), &json!("/a b.png")));
    Ok(())
}

#[tokio::test]
async fn an_unknown_room_is_not_found() -> TestResult {
    let server = TestServer::start().await?;
    let answer = say(&server, "ann", json!({"message": "hi", "room": 12})).await?;
    answer.expect_detail(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn an_invalid_message_is_refused_by_field() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let long = "가".repeat(2_001);
    for (message, code) in
        [(json!(""), "blank"), (json!(" \n "), "blank"), (json!(long), "too_long"), (json!(5), "wrong_type")]
    {
        let answer = say(&server, "ann", json!({"message": message, "room": room})).await?;
        assert_eq!(answer.expect_field("message")?, code);
    }
    assert_eq!(say(&server, "ann", json!({"room": room})).await?.expect_field("message")?, "missing");
    say(&server, "ann", json!({"message": "가".repeat(2_000), "room": room})).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_room_that_is_not_a_number_is_refused_by_field() -> TestResult {
    let server = TestServer::start().await?;
    for body in
        [json!({"message": "hi"}), json!({"message": "hi", "room": "lobby"}), json!({"message": "hi", "room": null})]
    {
        say(&server, "ann", body).await?.expect_field("room")?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_id_makes_a_retry_safe() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let body = json!({"message": "hi", "room": room, "client_id": "c-1"});
    let first = say(&server, "ann", body.clone()).await?.expect(201)?;
    let again = say(&server, "ann", body).await?;
    assert_eq!(again.json(), first, "{again}");
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.json(), json!([first]));
    Ok(())
}

#[tokio::test]
async fn a_parent_of_another_room_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let parent = say(&server, "ann", json!({"message": "hi", "room": there})).await?.expect(201)?["id"].clone();
    let answer = say(&server, "ann", json!({"message": "hi", "room": here, "parent": parent})).await?;
    assert_eq!(answer.status, 400, "{answer}");
    assert_eq!(answer.json()["code"], "parent_not_found");
    Ok(())
}

#[tokio::test]
async fn a_trap_makes_a_post_unavailable() -> TestResult {
    let server = TestServer::setup().handler("messages", guest("recursing_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let answer = say(&server, "ann", json!({"message": "deep", "room": room})).await?;
    answer.expect_detail(503, "handler_fault")?;
    say(&server, "ann", json!({"message": "shallow", "room": room})).await?.expect(201)?;
    Ok(())
}
