//! `GET room/{id}/messages/`: pages forward and backward.

use ondol_tests::{TestResult, TestServer};
use serde_json::{Value, json};

/// A server with one room of `count` messages.
async fn talked(count: u64) -> TestResult<TestServer> {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 1..=count {
        ann.say(&format!("{number}")).await?;
    }
    for number in 1..=count {
        ann.expect_message(&format!("{number}")).await?;
    }
    Ok(server)
}

async fn seqs(server: &TestServer, query: &str) -> TestResult<Vec<u64>> {
    let page = server.get(&format!("/chat/v1/room/1/messages/{query}")).await?.expect(200)?;
    Ok(page.as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect())
}

#[tokio::test]
async fn pages_go_forward_and_backward_oldest_first() -> TestResult {
    let server = talked(60).await?;
    assert_eq!(seqs(&server, "").await?, (11..=60).collect::<Vec<_>>());
    assert_eq!(seqs(&server, "?after=0&limit=3").await?, [1, 2, 3]);
    assert_eq!(seqs(&server, "?after=57").await?, [58, 59, 60]);
    assert_eq!(seqs(&server, "?after=60").await?, [0; 0]);
    assert_eq!(seqs(&server, "?before=11&limit=3").await?, [8, 9, 10]);
    assert_eq!(seqs(&server, "?before=1").await?, [0; 0]);
    assert_eq!(seqs(&server, "?limit=2").await?, [59, 60]);
    assert_eq!(seqs(&server, "?after=5").await?.len(), 50);
    Ok(())
}

#[tokio::test]
async fn a_page_holds_at_most_two_hundred() -> TestResult {
    let server = talked(201).await?;
    assert_eq!(seqs(&server, "?limit=200").await?, (2..=201).collect::<Vec<_>>());
    for limit in ["0", "201", "x"] {
        server.get(&format!("/chat/v1/room/1/messages/?limit={limit}")).await?.expect_field("limit")?;
    }
    Ok(())
}

#[tokio::test]
async fn invalid_page_requests_are_refused() -> TestResult {
    let server = talked(1).await?;
    server.get("/chat/v1/room/1/messages/?after=x").await?.expect_field("after")?;
    server.get("/chat/v1/room/1/messages/?before=-1").await?.expect_field("before")?;
    let both = server.get("/chat/v1/room/1/messages/?after=1&before=2").await?;
    assert_eq!(both.status, 400, "{both}");
    Ok(())
}

#[tokio::test]
async fn a_stored_message_equals_its_event() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("안녕 👩‍👩‍👧 \" \\ \n </script>").await?;
    let mut heard = ann.next_message().await?;

    heard.as_object_mut().unwrap().remove("type");
    let mut read = server.get("/chat/v1/room/1/messages/").await?.expect(200)?;
    assert_eq!(read[0].as_object_mut().unwrap().remove("user_id"), Some(json!("ann")));
    assert_eq!(read, json!([heard]));
    assert_eq!(heard["client_id"], Value::Null);
    Ok(())
}
