//! The order of messages: numbers without gaps, the same for every member, and retries that store nothing twice.

use futures_util::future::{join_all, try_join_all};
use ondol_tests::{Client, TestResult, TestServer};
use serde_json::{Value, json};

/// `count` members of one room, who have received all joins.
async fn crowd(server: &TestServer, room: u64, count: usize) -> TestResult<Vec<Client>> {
    let mut members: Vec<Client> = Vec::new();
    for number in 0..count {
        let name = format!("user{number}");
        let newcomer = server.join(room, &*name).await?;
        for member in &mut members {
            member.expect_join(&name).await?;
        }
        members.push(newcomer);
    }
    Ok(members)
}

#[tokio::test]
async fn ten_senders_are_heard_in_the_same_order_by_all() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let members = crowd(&server, room, 10).await?;

    let heard = try_join_all(members.into_iter().map(async |mut member| {
        for number in 0..50 {
            member.say(&format!("{} {number}", member.name.clone())).await?;
        }
        let mut heard = Vec::new();
        for seq in 1..=500 {
            let frame = member.next_json().await?;
            assert_eq!(frame["seq"], seq, "{} heard {frame}", member.name);
            heard.push(frame["message"].as_str().unwrap_or_default().to_owned());
        }
        TestResult::Ok(heard)
    }))
    .await?;

    assert!(heard.iter().all(|one| *one == heard[0]), "members received different messages");
    for sender in 0..10 {
        let own: Vec<_> = heard[0].iter().filter(|text| text.starts_with(&format!("user{sender} "))).collect();
        let expected: Vec<_> = (0..50).map(|number| format!("user{sender} {number}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "not in the order in which they were said");
    }
    Ok(())
}

#[tokio::test]
async fn each_room_has_its_own_numbers_and_ids_are_unique() -> TestResult {
    let server = TestServer::start().await?;
    let mut ids = Vec::new();
    for name in ["here", "there"] {
        let room = server.create_room(name).await?;
        let mut ann = server.join(room, "ann").await?;
        for seq in 1..=3 {
            ann.say("hi").await?;
            let heard = ann.expect_message("hi").await?;
            assert_eq!((&heard["seq"], &heard["room"]), (&json!(seq), &json!(room)));
            ids.push(heard["id"].as_u64().unwrap());
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    Ok(())
}

#[tokio::test]
async fn sockets_and_posts_share_one_order() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let posts = (0..20).map(|number| {
        let body = json!({"room": room, "message": format!("post {number}")}).to_string();
        server.request("POST", "/chat/v1/message/").identity("ben").json(body).send()
    });
    let saying = async {
        for number in 0..20 {
            ann.say(&format!("socket {number}")).await?;
        }
        let mut seqs = Vec::new();
        for _ in 0..40 {
            seqs.push(ann.next_message().await?["seq"].as_u64().unwrap());
        }
        TestResult::Ok(seqs)
    };
    let (answers, seqs) = tokio::join!(join_all(posts), saying);
    for answer in answers {
        answer?.expect(201)?;
    }
    assert_eq!(seqs?, (1..=40).collect::<Vec<_>>());
    Ok(())
}

fn with_id(text: &str, client_id: &str) -> String {
    json!({"type": "chat.message", "message": text, "client_id": client_id}).to_string()
}

#[tokio::test]
async fn a_retry_stores_nothing_and_is_answered_with_the_first_event() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;
    ann.send(with_id("once", "c-1")).await?;
    let first = ann.next_text().await?;

    ann.send(with_id("another text", "c-1")).await?;

    ann.expect_exactly(&first).await?;
    ben.expect_exactly(&first).await?;
    assert_eq!(ben.expect_nothing_before("next").await?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn simultaneous_retries_are_one_message() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut one = server.join(room, "ann").await?;
    let mut other = server.open_tab(room, "ann").await?;
    other.expect_nothing_before("both are here").await?;
    one.expect_message("both are here").await?;
    for number in 0..20 {
        let frame = with_id("hi", &format!("c-{number}"));
        let (sent, also) = tokio::join!(one.send(frame.clone()), other.send(frame));
        sent?;
        also?;
    }
    let mut seqs = Vec::new();
    while seqs.last() != Some(&21) {
        seqs.push(one.next_message().await?["seq"].as_u64().unwrap());
    }
    // Answers to retries may come between: without them each message comes once and in order.
    let mut told = seqs.clone();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (2..=21).collect::<Vec<_>>());
    let stored = server.get("/chat/v1/room/1/messages/?limit=200").await?.json();
    assert_eq!(stored.as_array().map(Vec::len), Some(21));
    Ok(())
}

#[tokio::test]
async fn a_client_id_belongs_to_one_user_in_one_room() -> TestResult {
    let server = TestServer::start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let mut ann = server.join(here, "ann").await?;
    ann.send(with_id("by ann", "c-1")).await?;
    ann.expect_message("by ann").await?;
    let mut ben = server.join(here, "ben").await?;
    ben.send(with_id("by ben", "c-1")).await?;
    ben.expect_message("by ben").await?;
    let mut elsewhere = server.join(there, "ann").await?;
    elsewhere.send(with_id("over there", "c-1")).await?;
    elsewhere.expect_message("over there").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_id_has_one_to_sixty_four_characters() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(with_id("fits", &"가".repeat(64))).await?;
    ann.expect_message("fits").await?;
    ann.send(with_id("does not", &"가".repeat(65))).await?;
    ann.expect_error("invalid_client_id").await?;
    Ok(())
}

#[tokio::test]
async fn a_parent_must_be_in_the_same_room() -> TestResult {
    let server = TestServer::start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let mut elsewhere = server.join(there, "ann").await?;
    elsewhere.say("over there").await?;
    let foreign = elsewhere.expect_message("over there").await?["id"].clone();

    let mut ann = server.join(here, "ann").await?;
    for parent in [foreign, json!(4_000), json!(u64::MAX)] {
        ann.send(json!({"type": "chat.message", "message": "hi", "parent": parent}).to_string()).await?;
        let error = ann.next_json().await?;
        assert_eq!((&error["type"], &error["error_type"]), (&json!("error"), &json!("invalid_request")), "{parent}");
        assert_ne!(error["code"], Value::Null);
        assert!(parent == json!(u64::MAX) || error["code"] == "parent_not_found", "{parent}: {error}");
    }
    assert_eq!(ann.expect_nothing_before("no number was used up").await?["seq"], 1);
    Ok(())
}
