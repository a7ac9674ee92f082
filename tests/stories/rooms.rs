//! `GET rooms/` and `GET room/{id}/`: what a client sees before it joins, by every form of the URLs.

use ondol_tests::{Answer, TestResult, TestServer, User};
use serde_json::{Value, json};

#[tokio::test]
async fn there_are_no_rooms_at_first() -> TestResult {
    let server = TestServer::start().await?;
    let answer = server.get("/chat/v1/rooms/").await?;
    answer.expect(200)?;
    assert_eq!((answer.text().as_str(), answer.header("link")), ("[]", None));
    Ok(())
}

#[tokio::test]
async fn every_form_of_a_url_gets_the_same_answer() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    for prefix in ["/chat/v1", "/api/chat"] {
        for slash in ["", "/"] {
            let rooms = server.get(&format!("{prefix}/rooms{slash}")).await?.expect(200)?;
            assert_eq!(rooms[0]["name"], "lobby");
            assert_eq!(server.get(&format!("{prefix}/room/{room}{slash}")).await?.expect(200)?["name"], "lobby");
            assert_eq!(server.get(&format!("{prefix}/room/{room}/messages{slash}")).await?.expect(200)?, json!([]));
            server.post(&format!("{prefix}/create-room{slash}"), &json!({"post_id": 1})).await?;
            let said = server.request("POST", &format!("{prefix}/message{slash}")).identity("ann");
            said.json(json!({"room": 2, "message": "hi"}).to_string()).send().await?.expect(201)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_page_lists_a_hundred_rooms_oldest_first() -> TestResult {
    let server = TestServer::start().await?;
    for number in 1..=101 {
        server.create_room(&format!("room {number}")).await?;
    }
    let first = server.get("/chat/v1/rooms/").await?;
    assert_eq!(ids(&first), (1..=100).collect::<Vec<_>>());

    let rest = server.get(&next(&first)).await?;
    assert_eq!((ids(&rest), rest.header("link")), (vec![101], None));
    Ok(())
}

#[tokio::test]
async fn the_links_lead_through_every_room_once() -> TestResult {
    let server = TestServer::start().await?;
    for number in 1..=7 {
        server.create_room(&format!("room {number}")).await?;
    }
    let mut page = server.get("/api/chat/rooms?limit=3").await?;
    let mut seen = ids(&page);
    while page.header("link").is_some() {
        page = server.get(&next(&page)).await?;
        seen.extend(ids(&page));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ids(&server.get("/chat/v1/rooms/?after=5").await?), [6, 7]);
    assert_eq!(ids(&server.get("/chat/v1/rooms/?after=99").await?), [0; 0]);
    Ok(())
}

#[tokio::test]
async fn a_page_size_out_of_range_is_refused() -> TestResult {
    let server = TestServer::start().await?;
    for limit in ["0", "1001", "-1", "ten", "", "99999999999999999999"] {
        server.get(&format!("/chat/v1/rooms/?limit={limit}")).await?.expect_field("limit")?;
    }
    server.get("/chat/v1/rooms/?limit=1000").await?.expect(200)?;
    server.get("/chat/v1/rooms/?after=x").await?.expect_field("after")?;
    Ok(())
}

#[tokio::test]
async fn a_room_shows_its_latest_fifty_messages_oldest_first() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("ann").pictured("/media/ann.jpg")).await?;
    for number in 1..=53 {
        ann.say(&format!("message {number}")).await?;
    }
    for number in 1..=53 {
        ann.expect_message(&format!("message {number}")).await?;
    }
    let shown = server.get("/chat/v1/room/1/").await?.expect(200)?;
    let messages = shown["chat_messages"].as_array().unwrap();
    assert_eq!(messages.len(), 50);
    assert_eq!((&messages[0]["seq"], &messages[49]["seq"]), (&json!(4), &json!(53)));
    assert_eq!(messages[0]["message"], "message 4");
    Ok(())
}

#[tokio::test]
async fn a_room_and_its_messages_have_the_documented_fields() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("ann").pictured("/media/ann.jpg")).await?;
    ann.say("hi").await?;
    ann.expect_message("hi").await?;

    let shown = server.get("/chat/v1/room/1/").await?.expect(200)?;
    let fields = ["chat_messages", "chat_url", "created_at", "epoch", "id", "name", "owner", "post_id", "seq"];
    assert_eq!(keys(&shown), fields);
    let message = &shown["chat_messages"][0];
    assert_eq!(
        keys(message),
        [
            "client_id",
            "created_at",
            "id",
            "message",
            "nickname",
            "parent",
            "profile_picture_url",
            "room",
            "sender",
            "seq",
            "user_id"
        ]
    );
    assert_eq!((&message["sender"], &message["nickname"]), (&json!("ann@example.com"), &json!("ann")));
    assert_eq!((&message["user_id"], &message["profile_picture_url"]), (&json!("ann"), &json!("/media/ann.jpg")));
    Ok(())
}

#[tokio::test]
async fn listed_rooms_come_without_their_messages() -> TestResult {
    let server = TestServer::start().await?;
    server.create_room("lobby").await?;
    let rooms = server.get("/chat/v1/rooms/").await?.expect(200)?;
    assert_eq!(keys(&rooms[0]), ["chat_url", "created_at", "id", "name", "owner", "post_id"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_room_is_not_found() -> TestResult {
    let server = TestServer::start().await?;
    for id in ["1", "0", "-1", "abc", "1.0", "99999999999999999999", "%31%00", "１"] {
        for path in [format!("/chat/v1/room/{id}/"), format!("/chat/v1/room/{id}/messages/")] {
            let answer = server.get(&ondol_tests::http::ascii(&path)).await?;
            assert_eq!(answer.expect_detail(404, "not_found")?, "Not found.", "{path}");
        }
    }
    Ok(())
}

fn ids(answer: &Answer) -> Vec<u64> {
    answer
        .json()
        .as_array()
        .unwrap_or_else(|| panic!("no array: {answer}"))
        .iter()
        .map(|room| room["id"].as_u64().unwrap())
        .collect()
}

/// The target of the link to the next page.
fn next(answer: &Answer) -> String {
    let link = answer.header("link").expect("no link");
    assert!(link.contains(r#"rel="next""#), "{link}");
    let url = link.trim_start_matches('<').split('>').next().unwrap();
    let path = url.find("/api").or_else(|| url.find("/chat")).unwrap();
    url[path..].replace("&amp;", "&")
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}
