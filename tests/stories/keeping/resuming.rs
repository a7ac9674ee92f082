//! A client that comes back is told what was deleted while it was away.

use ondol_tests::{Client, TestResult, TestServer, User};
use serde_json::{Value, json};

use super::{delete, say_all};

/// Opens a socket that resumes, and returns the `seq` of what was deleted, and whether the room is recovered. All messages
/// after `after` have to come before.
async fn resume(server: &TestServer, after: u64, last: u64) -> TestResult<(Vec<u64>, Value)> {
    let target = format!("/ws/chat/1/chat/?{}&after={after}", User::named("ann").query());
    let mut client: Client = server.knock(&target, &[]).await?.opened()?;
    let sync = client.next_json().await?;
    let (mut seen, mut deleted) = (after, Vec::new());
    loop {
        let event = client.next_json().await?;
        match event["type"].as_str() {
            Some("chat.message") => seen = event["seq"].as_u64().unwrap(),
            Some("chat.message.deleted") => deleted.push(event["seq"].as_u64().unwrap()),
            _ => break,
        }
    }
    assert!(seen == last || sync["recovered"] == false, "{seen} is the last");
    client.leave().await?;
    Ok((deleted, sync["recovered"].clone()))
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_was_deleted() -> TestResult {
    let mut server = TestServer::setup().admin().limit("resume_messages_max", 3).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ben = server.join(room, "ben").await?;
    say_all(&mut ben, (1..=9).map(|number| number.to_string())).await?;
    delete(&server, room, 2).await?.expect(200)?;
    assert_eq!(resume(&server, 9, 9).await?, (vec![2], json!(true)));
    say_all(&mut ben, ["10".to_owned()]).await?;
    assert_eq!(resume(&server, 10, 10).await?, (vec![], json!(true)), "it was there");
    delete(&server, room, 7).await?.expect(200)?;
    say_all(&mut ben, ["11".to_owned()]).await?;

    server.restart().await?;
    assert_eq!(resume(&server, 10, 11).await?, (vec![7], json!(true)));
    assert_eq!(resume(&server, 9, 11).await?, (vec![2, 7], json!(true)));
    assert_eq!(resume(&server, 11, 11).await?, (vec![], json!(true)));
    for seq in [3, 4] {
        delete(&server, room, seq).await?.expect(200)?;
    }
    assert_eq!(resume(&server, 11, 11).await?, (vec![3, 4], json!(true)));
    assert_eq!(resume(&server, 9, 11).await?, (vec![], json!(false)), "more than resume_messages_max");
    Ok(())
}
