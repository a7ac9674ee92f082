//! Messages that go: an operator deletes one, or all of a user; the oldest are removed. Numbers stay used, and the ids of
//! clients are free again.

mod client_ids;
mod pages;
mod resuming;
mod retention;
mod view;

use ondol_tests::{
    Answer, Client, Stored, TestResult, TestServer, User,
    command::{Output, ondol_with},
    ondol,
};
use serde_json::{Value, json};

/// Deletes a message by the admin API.
pub(crate) async fn delete(server: &TestServer, room: u64, seq: u64) -> TestResult<Answer> {
    server.admin("DELETE", &format!("/v1/rooms/{room}/messages/{seq}"))?.send().await
}

/// Runs `ondol messages delete` with these words on a server.
fn command(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    ondol(&[&["messages", "delete"], words, &["--admin", server.admin_address()?]].concat())
}

/// Checks the database by `ondol verify`.
fn verify(server: &TestServer) -> TestResult {
    if let Stored::Postgres(database) = server.stored()? {
        return ondol_with(&["verify"], &[("ONDOL_STORE", &database.url())])?.expect(0).map(drop);
    }
    ondol(&["verify", "--data", &server.data().display().to_string()])?.expect(0).map(drop)
}

/// The `seq` of each message on a page.
async fn seqs(server: &TestServer, room: u64, query: &str) -> TestResult<Vec<u64>> {
    let page = server.get(&format!("/chat/v1/room/{room}/messages/{query}")).await?.expect(200)?;
    Ok(page.as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect())
}

/// Says texts, and returns their events. What others say meanwhile is left out.
async fn say_all(client: &mut Client, texts: impl IntoIterator<Item = String>) -> TestResult<Vec<Value>> {
    let mut events = Vec::new();
    for text in texts {
        client.say(&text).await?;
        loop {
            let event = client.next_json().await?;
            if event["message"] == text.as_str() {
                events.push(event);
                break;
            }
        }
    }
    Ok(events)
}

#[tokio::test]
async fn a_deleted_message_vanishes_and_its_room_is_told() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let said = say_all(&mut ann, (1..=5).map(|number| number.to_string())).await?;
    let reply = |parent: &Value| json!({"type": "chat.message", "message": "re", "parent": parent}).to_string();
    ann.send(reply(&said[1]["id"])).await?;
    assert_eq!(ann.expect_message("re").await?["parent"], said[1]["id"]);

    assert_eq!(delete(&server, room, 2).await?.expect(200)?, json!({"deleted": 1}));
    let id = &said[1]["id"];
    let told = format!("{{\"type\":\"chat.message.deleted\",\"room\":{room},\"seq\":2,\"id\":{id}}}");
    ann.expect_exactly(&told).await?;
    assert_eq!(seqs(&server, room, "?after=0").await?, [1, 3, 4, 5, 6]);
    let page = server.get(&format!("/chat/v1/room/{room}/messages/")).await?.expect(200)?;
    assert_eq!(page[4]["parent"], *id, "a reply keeps the number");
    ann.send(reply(id)).await?;
    ann.expect_error("parent_not_found").await?;

    let answer = delete(&server, room, 2).await?;
    assert!(answer.expect_detail(404, "not_found")?.contains("there is no message 2 in room"), "{answer}");
    for path in ["/v1/rooms/9/messages/1", "/v1/rooms/x/messages/1", "/v1/rooms/1/messages/-1"] {
        assert_eq!(server.admin("DELETE", path)?.send().await?.status, 404, "{path}");
    }
    assert_eq!(server.admin("GET", "/v1/rooms/1/messages/1")?.send().await?.status, 405);
    delete(&server, room, 6).await?.expect(200)?;
    ann.expect_event("chat.message.deleted").await?;
    assert_eq!(say_all(&mut ann, ["after".to_owned()]).await?[0]["seq"], 7, "no number is used twice");
    server.wait_for_log(&format!("local deletes message 2 of room {room}")).await?;
    Ok(())
}

#[tokio::test]
async fn the_numbers_of_deleted_messages_stay_used_after_a_kill() -> TestResult {
    let mut server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let said = say_all(&mut ann, (1..=3).map(|number| number.to_string())).await?;
    delete(&server, room, 3).await?.expect(200)?;
    server.restart().await?;
    let mut ann = server.join(room, "ann").await?;
    let after = &say_all(&mut ann, ["after".to_owned()]).await?[0];
    assert_eq!(after["seq"], 4);
    assert!(after["id"].as_u64() > said[2]["id"].as_u64());
    assert_eq!(seqs(&server, room, "?after=0").await?, [1, 2, 4]);
    Ok(())
}

#[tokio::test]
async fn all_that_a_user_said_is_deleted_with_their_name_and_address() -> TestResult {
    let server = TestServer::setup().without_rate_limits().admin().start().await?;
    let rooms = [server.create_room("one").await?, server.create_room("two").await?];
    let ann_is = |nickname: &str| User { id: "앤 / 1".to_owned(), ..User::named("ann") }.called(nickname);
    let mut told = Vec::new();
    for room in rooms {
        let mut ben = server.join(room, "ben").await?;
        let mut ann = server.open_tab(room, ann_is("Ann")).await?;
        let mut anna = server.open_tab(room, ann_is("Anna")).await?;
        for number in 0..150 {
            say_all(if number % 3 == 0 { &mut ben } else { &mut ann }, [format!("{number}")]).await?;
        }
        say_all(&mut anna, ["as Anna".to_owned()]).await?;
        told.push(server.join(room, "carl").await?);
    }
    let all: Vec<&str> = vec!["--user", "앤 / 1"];
    command(&server, &[&all[..], &["--room", "9"]].concat())?.expect_parts(1, &["there is no room 9"])?;
    let output = command(&server, &[&all[..], &["--room", &rooms[0].to_string(), "--actor", "root"]].concat())?;
    assert_eq!(output.expect(0)?, "101 messages deleted\n");
    server.wait_for_log("root (local) deletes the messages of a user").await?;
    let output = command(&server, &[&all[..], &["--output", "json"]].concat())?;
    assert_eq!(serde_json::from_str::<Value>(&output.expect(0)?)?, json!({"deleted": 101}));
    assert_eq!(command(&server, &all)?.expect(0)?, "0 messages deleted\n");

    for (room, mut carl) in rooms.into_iter().zip(told) {
        assert_eq!(seqs(&server, room, "?after=0").await?, (1..=150).step_by(3).collect::<Vec<_>>());
        let mut deleted = 0;
        while deleted < 101 {
            deleted += usize::from(carl.next_json().await?["type"] == "chat.message.deleted");
        }
    }
    let senders = server.stored()?.number("SELECT count(*) FROM sender WHERE email LIKE 'ben%'")?;
    assert_eq!((senders, server.stored()?.number("SELECT count(*) FROM sender")?), (1, 1));
    verify(&server)
}

#[tokio::test]
async fn a_deletion_overtakes_no_message_under_load() -> TestResult {
    let server = TestServer::setup().without_rate_limits().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.open_tab(room, "ben").await?;
    let deleting = async {
        for seq in (10..200).step_by(10) {
            while delete(&server, room, seq).await?.status == 404 {}
        }
        anyhow::Ok(())
    };
    let talking = async {
        for number in 1..=300 {
            ann.say(&number.to_string()).await?;
        }
        anyhow::Ok(())
    };
    let listening = async {
        let (mut last, mut deleted) = (0, Vec::new());
        while last < 300 || deleted.len() < 19 {
            let event = ben.next_json().await?;
            let seq = event["seq"].as_u64().unwrap_or_default();
            match event["type"].as_str() {
                Some("chat.message") => {
                    assert_eq!(seq, last + 1);
                    last = seq;
                }
                Some("chat.message.deleted") => {
                    assert!(seq <= last, "{seq} is deleted before it was sent");
                    deleted.push(seq);
                }
                _ => {}
            }
        }
        assert_eq!(deleted, (10..200).step_by(10).collect::<Vec<_>>());
        anyhow::Ok(())
    };
    tokio::try_join!(deleting, talking, listening)?;
    let left = (1..=300).filter(|seq| seq % 10 > 0 || *seq >= 200).collect::<Vec<_>>();
    let found = [seqs(&server, room, "?after=0&limit=200").await?, seqs(&server, room, "?limit=100").await?].concat();
    let expected = [&left[..200], &left[left.len() - 100..]].concat();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn a_deletion_names_a_message_or_a_user() -> TestResult {
    for words in [&["--room", "1"][..], &["--seq", "1"], &["--user", "u", "--seq", "1"], &[]] {
        ondol(&[&["messages", "delete"], words].concat())?.expect(2)?;
    }
    Ok(())
}
