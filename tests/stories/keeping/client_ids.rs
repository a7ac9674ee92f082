//! A `client_id` is one message's in its room for as long as the message is kept, and free again after it.

use ondol_tests::{Client, TestResult, TestServer};
use serde_json::{Value, json};

use super::{delete, seqs};

fn frame(text: &str) -> String {
    json!({"type": "chat.message", "message": text, "client_id": "c-1"}).to_string()
}

/// Sends a message with the `client_id`, and returns its event.
async fn send(client: &mut Client, text: &str) -> TestResult<Value> {
    client.send(frame(text)).await?;
    client.next_message().await
}

/// The same by REST.
async fn post(server: &TestServer, room: u64, text: &str) -> TestResult<Value> {
    let body = json!({"room": room, "message": text, "client_id": "c-1"}).to_string();
    server.request("POST", "/chat/v1/message/").identity("ann").json(body).send().await?.expect(201)
}

#[tokio::test]
async fn a_client_id_is_one_message_over_connections_restarts_and_rest() -> TestResult {
    let mut server = TestServer::setup().admin().start().await?;
    let (room, other) = (server.create_room("lobby").await?, server.create_room("other").await?);
    let mut ann = server.join(room, "ann").await?;
    let first = send(&mut ann, "first").await?;
    let mut tab = server.open_tab(room, "ann").await?;
    assert_eq!(send(&mut tab, "again").await?, first, "another connection");
    let posted = post(&server, room, "by REST").await?;
    assert_eq!((&posted["id"], &posted["message"]), (&first["id"], &json!("first")));

    server.restart().await?;
    let mut ann = server.join(room, "ann").await?;
    assert_eq!(send(&mut ann, "after a restart").await?, first);
    assert_eq!(post(&server, room, "after a restart").await?, posted);
    assert_eq!(seqs(&server, room, "").await?, [1]);

    // Another user's, and another room's.
    let mut ben = server.open_tab(room, "ben").await?;
    assert_eq!(send(&mut ben, "by ben").await?["seq"], 2);
    assert_eq!(post(&server, other, "elsewhere").await?["seq"], 1);
    let mut ann = server.join(other, "ann").await?;
    assert_eq!(send(&mut ann, "elsewhere on a socket").await?["message"], "elsewhere", "first by REST");
    Ok(())
}

#[tokio::test]
async fn a_client_id_is_free_again_after_a_deletion() -> TestResult {
    let mut server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    send(&mut ann, "first").await?;
    delete(&server, room, 1).await?.expect(200)?;
    ann.expect_event("chat.message.deleted").await?;
    let second = send(&mut ann, "second").await?;
    assert_eq!((&second["seq"], &second["message"]), (&json!(2), &json!("second")));
    assert_eq!(post(&server, room, "third").await?["id"], second["id"]);

    server.admin("DELETE", "/v1/users/ann/messages")?.send().await?.expect(200)?;
    server.restart().await?;
    assert_eq!(post(&server, room, "third").await?["seq"], 3);
    Ok(())
}

#[tokio::test]
async fn a_client_id_is_free_again_after_its_message_was_removed() -> TestResult {
    let server = TestServer::setup().limit("messages_kept_max", 2).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let first = send(&mut ann, "first").await?;
    assert_eq!(send(&mut ann, "again").await?, first);
    for text in ["two", "three"] {
        ann.expect_nothing_before(text).await?;
    }
    ondol_tests::until("the first message's end", async || {
        (seqs(&server, room, "?after=0").await.ok()? == [2, 3]).then_some(())
    })
    .await?;
    assert_eq!(send(&mut ann, "four").await?["seq"], 4);
    Ok(())
}
