//! What clients send and receive, through a library: the frames of the API, and the errors that leave a socket open.

use ondol_tests::{Heard, TestResult, TestServer, User};
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_reaches_all_members_in_the_documented_form() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("u1").called("사용자명").pictured("/media/profile.jpg")).await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;

    ann.send(r#"{"type": "chat.message", "message": "안녕하세요!"}"#).await?;

    let heard = ann.next_text().await?;
    let at = serde_json::from_str::<Value>(&heard)?["created_at"].clone();
    let expected = format!(
        r#"{{"type":"chat.message","message":"안녕하세요!","sender":"u1@example.com","nickname":"사용자명","profile_picture_url":"/media/profile.jpg","id":1,"room":{room},"seq":1,"created_at":{at},"client_id":null,"parent":null}}"#
    );
    assert_eq!(heard, expected);
    ben.expect_exactly(&expected).await?;
    crate::create_room::assert_moment(&at);
    Ok(())
}

#[tokio::test]
async fn a_missing_picture_is_null() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    assert_eq!(ann.expect_message("hi").await?["profile_picture_url"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_text_is_trimmed_and_otherwise_unchanged() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for text in ["<b>hi</b>", "\"quoted\" \\ back", "two\nlines\tand a tab", "👩‍👩‍👧‍👦 가족", "e\u{301}", "\u{202e}right"]
    {
        ann.say(&format!("  {text} \n")).await?;
        ann.expect_message(text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_carries_its_client_id_and_its_parent() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("question").await?;
    let question = ann.expect_message("question").await?["id"].clone();
    ann.send(json!({"type": "chat.message", "message": "answer", "client_id": "c-1", "parent": question}).to_string())
        .await?;
    let answer = ann.expect_message("answer").await?;
    assert_eq!((&answer["client_id"], &answer["parent"]), (&json!("c-1"), &question));
    Ok(())
}

#[tokio::test]
async fn unknown_keys_are_ignored() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(r#"{"x":[1,{"y":null}],"message":"hi","type":"chat.message","sender":"mallory","seq":99}"#).await?;
    let heard = ann.expect_message("hi").await?;
    assert_eq!((&heard["sender"], &heard["seq"]), (&json!("ann@example.com"), &json!(1)));
    Ok(())
}

/// `handlers/messages/cases.toml` has every refusal.
#[tokio::test]
async fn a_refusal_is_sent_to_the_sender_alone() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;
    let cases = [
        ("", "invalid_json"),
        (r#"{"type":"chat.shout","message":"hi"}"#, "unknown_type"),
        (r#"{"type":"chat.message","message":"   "}"#, "blank"),
    ];
    for (frame, code) in cases {
        ann.send(frame).await?;
        assert_eq!(ann.expect_error(code).await?["error_type"], "invalid_request");
    }
    ann.expect_nothing_before("still here").await?;
    ben.expect_message("still here").await?;
    Ok(())
}

#[tokio::test]
async fn an_error_has_the_documented_form() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send("[]").await?;
    let text = ann.next_text().await?;
    assert!(text.starts_with(r#"{"type":"error","error_type":"invalid_request","message":""#), "{text}");
    assert!(text.ends_with(r#","code":"not_an_object"}"#), "{text}");
    ann.say(" ").await?;
    assert!(ann.next_text().await?.ends_with(r#","code":"blank","field":"message"}"#));
    Ok(())
}

#[tokio::test]
async fn a_binary_frame_is_refused_and_the_socket_stays_open() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send_binary(b"\x00\xff").await?;
    ann.expect_error("binary").await?;
    ann.send_binary(b"").await?;
    ann.expect_error("binary").await?;
    ann.expect_nothing_before("still here").await?;
    Ok(())
}

#[tokio::test]
async fn two_thousand_characters_of_any_length_fit() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for text in ["a".repeat(2_000), "가".repeat(2_000), "😀".repeat(2_000)] {
        ann.say(&text).await?;
        ann.expect_message(&text).await?;
        ann.say(&format!("{text}!")).await?;
        ann.expect_error("too_long").await?;
    }
    Ok(())
}

#[tokio::test]
async fn deep_and_huge_json_is_refused_or_ignored() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let digits = format!(r#"{{"type":"chat.message","message":"x","parent":{}}}"#, "9".repeat(60_000));
    for frame in ["[".repeat(60_000), digits] {
        ann.send(frame).await?;
        assert_eq!(ann.expect_event("error").await?["error_type"], "invalid_request");
    }
    // The value of an unknown key is not looked into.
    let nested = format!(r#"{{"type":"chat.message","message":"x","y":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    ann.send(nested).await?;
    ann.expect_message("x").await?;
    ann.expect_nothing_before("still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_pong_carries_the_bytes_of_its_ping() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.ping(b"are you there").await?;
    assert_eq!(ann.next().await?, Heard::Pong(b"are you there".to_vec()));
    Ok(())
}
