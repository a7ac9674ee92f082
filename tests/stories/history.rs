//! Stored messages as REST shows them: in the form of the host, or in the words of the `events` handler.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ondol_tests::{Client, Setup, TestResult, TestServer, User, guest, standard};
use serde_json::{Value, json};

use crate::trials::{asked, command};

const MESSAGES: &str = "/chat/v1/room/1/messages/";

/// The setup of a server whose history is in the words of the handler.
fn in_its_words() -> Setup {
    // A busy machine takes its time: no page is to end for that.
    TestServer::setup().config("history = \"events\"").limit("handler_deadline_ms", 20_000)
}

/// A member of the server's one room, and the events of what they said, as they came.
async fn said(server: &TestServer, texts: &[&str]) -> TestResult<(Client, Vec<String>)> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("ann").pictured("/ann.png")).await?;
    let mut heard = Vec::new();
    for text in texts {
        ann.say(text).await?;
        heard.push(ann.next_text().await?);
    }
    Ok((ann, heard))
}

/// The texts of a page.
async fn texts(server: &TestServer, target: &str) -> TestResult<Value> {
    let page = server.get(target).await?.expect(200)?;
    let messages = page.get("chat_messages").unwrap_or(&page).as_array().unwrap();
    Ok(messages.iter().map(|message| message["message"].clone()).collect())
}

#[tokio::test]
async fn the_hosts_form_has_the_id_of_the_sender() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let body = json!({"room": room, "message": "hi"}).to_string();
    let user = User { id: "u-1".to_owned(), ..User::named("ann") };
    let posted = server.request("POST", "/chat/v1/message/").identity(user).json(body).send().await?.expect(201)?;
    assert_eq!((&posted["user_id"], &posted["sender"]), (&json!("u-1"), &json!("ann@example.com")));
    assert_eq!(server.get(MESSAGES).await?.expect(200)?, json!([posted]));
    assert_eq!(server.get("/chat/v1/room/1/").await?.expect(200)?["chat_messages"], json!([posted]));
    Ok(())
}

#[tokio::test]
async fn history_in_the_words_of_the_handler_equals_the_live_events() -> TestResult {
    for events in [standard("events"), guest("shouting_events")] {
        let server = in_its_words().handler("events", events).start().await?;
        let (mut ann, mut heard) = said(&server, &["hi", "안녕 👩‍👩‍👧 \" \\ \n </script>"]).await?;
        ann.send(r#"{"type":"chat.message","message":"re","client_id":"c-1","parent":1}"#).await?;
        heard.push(ann.next_text().await?);
        let body = json!({"room": 1, "message": "posted", "client_id": "c-2"}).to_string();
        let post = async || {
            let request = server.request("POST", "/chat/v1/message/").identity("ben").json(body.clone());
            request.send().await
        };
        let posted = post().await?;
        posted.expect(201)?;
        heard.push(ann.next_text().await?);

        assert_eq!(posted.text(), heard[3]);
        assert_eq!(post().await?.text(), heard[3], "a repetition");
        let page = format!("[{}]", heard.join(","));
        assert_eq!(server.get(MESSAGES).await?.text(), page);
        let room = server.get("/chat/v1/room/1/").await?;
        room.expect(200)?;
        assert!(room.text().ends_with(&format!("\"chat_messages\":{page}}}")), "{room}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_in_the_words_of_the_handler_go_forward_and_backward() -> TestResult {
    let server = in_its_words().start().await?;
    let all: Vec<String> = (1..=60).map(|number| number.to_string()).collect();
    said(&server, &all.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for (query, expected) in [
        ("", &all[10..]),
        ("?after=0&limit=3", &all[..3]),
        ("?after=57", &all[57..]),
        ("?after=60", &[]),
        ("?before=11&limit=3", &all[7..10]),
        ("?before=1", &[]),
        ("?limit=2", &all[58..]),
    ] {
        assert_eq!(texts(&server, &format!("{MESSAGES}{query}")).await?, json!(expected), "{query}");
    }
    server.get(&format!("{MESSAGES}?limit=201")).await?.expect_field("limit")?;
    server.get("/chat/v1/room/9/messages/").await?.expect_detail(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn a_swap_changes_what_was_said_before() -> TestResult {
    let server = in_its_words().start().await?;
    let (_ann, heard) = said(&server, &["hi"]).await?;
    server.deploy("events", guest("shouting_events")).await?;
    assert_eq!(texts(&server, MESSAGES).await?, json!(["HI"]));
    server.deploy("events", standard("events")).await?;
    assert_eq!(server.get(MESSAGES).await?.text(), format!("[{}]", heard[0]));
    Ok(())
}

#[tokio::test]
async fn the_history_of_a_canarys_room_is_in_its_words() -> TestResult {
    let server = in_its_words().admin().start().await?;
    let canary = format!("events={}", guest("shouting_events").display());
    command(&server, &["deploy", &canary, "--percent", "50"])?.expect(0)?;
    let mut shouted = 0;
    for _ in 0..20 {
        let room = server.create_room("lobby").await?;
        let mut ann = server.join(room, "ann").await?;
        ann.say("hi").await?;
        let heard = ann.next_text().await?;
        shouted += usize::from(heard.contains("HI"));
        assert_eq!(server.get(&format!("/chat/v1/room/{room}/messages/")).await?.text(), format!("[{heard}]"));
    }
    assert!((1..20).contains(&shouted), "{shouted} of 20 rooms");
    Ok(())
}

/// A server where "hi", "trap" and "ho" were said, and whose events handler fails at the second from now on.
async fn trapping(setup: Setup) -> TestResult<TestServer> {
    let server = setup.start().await?;
    said(&server, &["hi", "trap", "ho"]).await?;
    server.deploy("events", guest("trapping_events")).await?;
    Ok(server)
}

#[tokio::test]
async fn a_page_ends_before_a_message_that_the_handler_fails_at() -> TestResult {
    let server = trapping(in_its_words().limit("probation_ms", 0)).await?;
    for (target, expected) in [
        ("/chat/v1/room/1/messages/?after=0", ["hi"]),
        ("/chat/v1/room/1/messages/?after=2", ["ho"]),
        ("/chat/v1/room/1/messages/?before=2", ["hi"]),
        ("/chat/v1/room/1/messages/", ["ho"]),
        ("/chat/v1/room/1/", ["ho"]),
    ] {
        assert_eq!(texts(&server, target).await?, json!(expected), "{target}");
    }
    for query in ["?after=1", "?before=3"] {
        let request = server.request("GET", &format!("{MESSAGES}{query}")).header("X-Request-ID", "r-1");
        let answer = request.send().await?;
        answer.expect_detail(503, "handler_fault")?;
        assert_eq!((&answer.json()["request_id"], answer.header("retry-after")), (&json!("r-1"), Some("1")));
    }
    let line = server.wait_for_log("request_id=r-1").await?;
    assert!(line.contains("failed in events.message, its reader does not get it"), "{line}");
    Ok(())
}

#[tokio::test]
async fn the_built_in_handler_writes_history_where_the_operator_wants_that() -> TestResult {
    let setup = in_its_words().limit("probation_ms", 0).flag("--failure").flag("events=default");
    let server = trapping(setup).await?;
    assert_eq!(texts(&server, MESSAGES).await?, json!(["hi", "trap", "ho"]));
    Ok(())
}

#[tokio::test]
async fn a_fault_in_history_counts_for_a_probation() -> TestResult {
    let server = trapping(in_its_words().admin().limit("probation_calls_min", 1_000)).await?;
    for _ in 0..3 {
        assert_eq!(texts(&server, MESSAGES).await?, json!(["hi", "trap", "ho"]), "the baseline answers");
    }
    server.wait_for_log("trigger=\"probation\"").await?;
    assert_ne!(asked(&server, "/v1/status").await?["bad"], json!({}));
    Ok(())
}

#[tokio::test]
async fn the_hosts_form_calls_no_handler() -> TestResult {
    let server = TestServer::setup().limit("probation_ms", 0).start().await?;
    let room = server.create_room("lobby").await?;
    let body = json!({"room": room, "message": "trap", "client_id": "c-1"}).to_string();
    let post = async || {
        let request = server.request("POST", "/chat/v1/message/").identity("ann").json(body.clone());
        request.send().await?.expect(201)
    };
    let first = post().await?;
    server.deploy("events", guest("trapping_events")).await?;
    assert_eq!(post().await?, first);
    assert_eq!(server.get(MESSAGES).await?.expect(200)?, json!([first]));
    Ok(())
}

#[tokio::test]
async fn slow_pages_hold_up_neither_the_chat_nor_other_pages() -> TestResult {
    let server = TestServer::setup().config("history = \"events\"").limit("probation_ms", 0);
    let server = server.limit("handler_deadline_ms", 60_000).start().await?;
    said(&server, &["spin"]).await?;
    server.deploy("events", guest("hostile_events")).await?;
    let room = server.create_room("quiet").await?;
    let mut ben = server.join(room, "ben").await?;

    let mut readers: FuturesUnordered<_> = (0..12).map(|_| server.get(MESSAGES)).collect();
    // Four calls may spin at once: the others are stopped early, and not by the deadline.
    for _ in 0..8 {
        readers.next().await.expect("eight are stopped")?.expect_detail(503, "handler_fault")?;
    }
    let quiet = async {
        for number in 1..=20 {
            ben.say(&number.to_string()).await?;
            ben.expect_message(&number.to_string()).await?;
            let page = texts(&server, &format!("/chat/v1/room/{room}/messages/?limit=1")).await?;
            assert_eq!(page, json!([number.to_string()]));
        }
        anyhow::Ok(())
    };
    tokio::select! {
        biased;
        done = quiet => done,
        answer = readers.next() => panic!("the other room waited for a deadline: {answer:?}"),
    }
}
