//! Handlers that are swapped during a chat.

use std::time::Duration;

use futures_util::future::try_join_all;
use ondol_tests::{Client, Heard, TestResult, TestServer, guest, standard, within};
use serde_json::Value;
use tokio::sync::watch;

#[tokio::test]
async fn open_sockets_survive_a_swap() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;

    server.deploy("events", guest("shouting_events")).await?;
    ann.say("hi").await?;

    ann.expect_message("HI").await?;
    Ok(())
}

#[tokio::test]
async fn the_stored_text_is_what_was_sent_and_not_the_payload() -> TestResult {
    let server = TestServer::setup().handler("events", guest("shouting_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    assert_eq!(server.get("/chat/v1/room/1/messages/").await?.json()[0]["message"], "hi");
    Ok(())
}

#[tokio::test]
async fn a_new_messages_handler_can_relay() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;
    ann.send(r#"{"type":"chat.typing"}"#).await?;
    ann.expect_error("unknown_type").await?;

    server.deploy("messages", guest("relaying_messages")).await?;
    ann.send(r#"{"type":"chat.typing"}"#).await?;

    for member in [&mut ann, &mut ben] {
        member.expect_exactly(r#"{"type":"chat.typing","username":"ann"}"#).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_is_not_stored_and_leaves_no_gap() -> TestResult {
    let server = TestServer::setup().handler("messages", guest("relaying_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for seq in 1..=3 {
        ann.send(r#"{"type":"chat.typing"}"#).await?;
        ann.say("hi").await?;
        ann.expect_exactly(r#"{"type":"chat.typing","username":"ann"}"#).await?;
        assert_eq!(ann.expect_event("chat.message").await?["seq"], seq);
    }
    let stored = server.get("/chat/v1/room/1/messages/").await?.json();
    assert_eq!(stored.as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn an_ignored_frame_reaches_no_member() -> TestResult {
    let server = TestServer::setup().handler("messages", guest("relaying_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send(r#"{"type":"chat.silence"}"#).await?;
    ann.expect_nothing_before("nothing came").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_people_chat_through_a_hundred_swaps() -> TestResult {
    let server = TestServer::start().await?;
    let (stop, stopped) = watch::channel(false);
    let mut talkers = Vec::new();
    for number in 0..5 {
        let room = server.create_room(&format!("room {number}")).await?;
        let mut members: Vec<Client> = Vec::new();
        for member in 0..10 {
            let name = format!("r{number}m{member}");
            let newcomer = server.join(room, &*name).await?;
            for other in &mut members {
                other.expect_join(&name).await?;
            }
            members.push(newcomer);
        }
        let talking = members.into_iter().map(|member| tokio::spawn(talk(member, stopped.clone())));
        talkers.push(talking.collect::<Vec<_>>());
    }

    for swap in 0..100 {
        let file = if swap % 2 == 0 { guest("shouting_events") } else { standard("events") };
        server.deploy("events", file).await?;
    }
    stop.send(true)?;

    let mut styles = [0, 0];
    for talking in talkers {
        let mut said = Vec::new();
        let (mut heard, mut present) = (Vec::new(), Vec::new());
        for talker in try_join_all(talking).await? {
            let (member, own, all) = talker?;
            // All stay until the last one is done.
            present.push(member);
            said.extend(own);
            heard.push(all);
        }
        finish(&said, &heard, &mut styles);
    }
    assert!(styles.iter().all(|count| *count > 0), "one of the two versions never answered: {styles:?}");
    Ok(())
}

/// Sends a message now and then until told to stop, and records everything it receives, up to its own last message.
async fn talk(mut member: Client, mut stopped: watch::Receiver<bool>) -> TestResult<(Client, Vec<String>, Vec<Value>)> {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    let mut last = None;
    loop {
        tokio::select! {
            _ = pace.tick(), if last.is_none() => {
                let text = format!("{} says {}.", member.name, said.len());
                member.say(&text).await?;
                said.push(text);
            }
            _ = stopped.changed(), if last.is_none() => {
                let text = format!("{} is done.", member.name);
                member.say(&text).await?;
                said.push(text);
                last = said.last().map(|text| text.to_lowercase());
            }
            frame = member.next() => {
                let Heard::Text(text) = frame? else { anyhow::bail!("{} was closed", member.name) };
                let frame: Value = serde_json::from_str(&text)?;
                anyhow::ensure!(frame["type"] == "chat.message", "{} heard {frame}", member.name);
                let own = frame["message"].as_str().map(str::to_lowercase) == last && last.is_some();
                heard.push(frame);
                if own {
                    return Ok((member, said, heard));
                }
            }
        }
    }
}

/// Checks that every member of a room received the same: each message once, in order, and in one format.
fn finish(said: &[String], heard: &[Vec<Value>], styles: &mut [u32; 2]) {
    let longest = heard.iter().max_by_key(|all| all.len()).cloned().unwrap_or_default();
    for all in heard.iter() {
        // The first to finish stopped reading; up to there all received the same.
        assert_eq!(all[..], longest[..all.len()], "two members heard different things");
    }
    for (index, frame) in longest.iter().enumerate() {
        assert_eq!(frame["seq"], index as u64 + 1, "a gap or a double at {frame}");
        let text = frame["message"].as_str().unwrap_or_default();
        let shouted = frame["style"] == "shout";
        let whole = if shouted { text.to_uppercase() } else { text.to_lowercase() };
        assert_eq!(text, whole.as_str(), "two formats in one: {frame}");
        assert!(shouted || frame.get("style").is_none(), "two formats in one: {frame}");
        styles[usize::from(shouted)] += 1;
    }
    let mut said: Vec<_> = said.iter().map(|text| text.to_lowercase()).collect();
    let mut words: Vec<_> =
        longest.iter().map(|frame| frame["message"].as_str().unwrap_or_default().to_lowercase()).collect();
    said.sort();
    words.sort();
    assert_eq!(said, words, "something was lost or doubled");
}

#[tokio::test]
async fn a_retry_after_a_swap_is_answered_by_the_new_version() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let frame = r#"{"type":"chat.message","message":"hi","client_id":"c-1"}"#;
    ann.send(frame).await?;
    let first = ann.expect_message("hi").await?;
    server.deploy("events", guest("shouting_events")).await?;
    ann.send(frame).await?;
    assert_eq!(ann.expect_message("HI").await?["id"], first["id"]);
    Ok(())
}

#[tokio::test]
async fn two_simultaneous_swaps_both_become_active() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let events = server.deploy("events", guest("shouting_events"));
    let messages = server.deploy("messages", guest("relaying_messages"));
    let (events, messages) = within("two swaps", async { tokio::join!(events, messages) }).await?;
    assert_ne!(events?, messages?);
    ann.send(r#"{"type":"chat.typing"}"#).await?;
    ann.expect_event("chat.typing").await?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    Ok(())
}
