//! Several hosts that are one chat: a client sees the same through any of them.

mod alone;
mod deploying;
mod faults;
mod idle;
mod lies;
mod losing;
mod network;
mod operating;
mod partitions;
mod pauses;
mod presence;
mod rolling;
mod sabotage;
mod starting;

use std::collections::BTreeSet;

use anyhow::Context as _;
use ondol_tests::{Answer, Client, Crowd, History, Hosts, TestResult, TestServer, User, guest};
use serde_json::{Value, json};

/// Checks a history of clients, and that it was looked at as it came.
fn check(hosts: &Hosts, history: &History) -> TestResult {
    let found = hosts.check(history)?;
    assert!(found.is_empty(), "{}", found.iter().map(|found| format!("{found}\n")).collect::<String>());
    eprintln!("{} messages, {} of them looked for in the database", history.heard(), history.samples.len());
    assert!(!history.samples.is_empty(), "no message was looked for in the database");
    Ok(())
}

/// Posts a message by REST.
async fn post(server: &TestServer, user: &str, body: Value) -> TestResult<Answer> {
    server.request("POST", "/chat/v1/message/").identity(user).json(body.to_string()).send().await
}

/// Opens a socket that resumes after a message, and takes its first frame.
async fn resume(server: &TestServer, room: u64, user: &str, after: u64) -> TestResult<(Client, Value)> {
    let target = format!("/ws/chat/{room}/chat/?{}&after={after}", User::named(user).query());
    let mut client = server.knock(&target, &[]).await?.opened()?;
    let sync = client.next_json().await?;
    assert_eq!((sync["type"].as_str(), sync["room"].as_u64()), (Some("chat.sync"), Some(room)), "{sync}");
    Ok((client, sync))
}

/// The next message as it came. Joins and leaves are skipped.
async fn next_event(client: &mut Client) -> TestResult<String> {
    loop {
        let text = client.next_text().await?;
        let event: Value = serde_json::from_str(&text)?;
        match event["type"].as_str() {
            Some("chat.message") => return Ok(text),
            Some("chat.user.join" | "chat.user.leave") => {}
            _ => anyhow::bail!("{} expected a message, got {text}", client.name),
        }
    }
}

#[tokio::test]
async fn clients_on_three_hosts_see_the_same() -> TestResult {
    const EACH: usize = 20;
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let rooms = [hosts.server(0).create_room("one").await?, hosts.server(1).create_room("two").await?];
    // Nine people in each room, three to a host.
    let mut clients = Vec::new();
    for (number, room) in (0..9).flat_map(|number| rooms.map(|room| (number, room))) {
        let name = format!("person{number}");
        clients.push((room, hosts.server(number % 3).open_tab(room, name.as_str()).await?));
    }
    let talks = clients.into_iter().map(async |(room, mut client)| {
        let (mut heard, mut said) = (Vec::new(), 0);
        while heard.len() < 9 * EACH {
            if said < EACH {
                said += 1;
                client.say(&format!("{} says {said} in {room}", client.name)).await?;
            }
            heard.push(next_event(&mut client).await?);
        }
        anyhow::Ok((room, client.name, heard))
    });
    let heard = futures_util::future::try_join_all(talks).await?;
    for room in rooms {
        let mut of_room = heard.iter().filter(|(of, _, _)| *of == room);
        let (_, _, first) = of_room.next().context("no one is in the room")?;
        for (_, name, other) in of_room {
            assert_eq!(other, first, "{name} heard something else in room {room}");
        }
        let events = first.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<Value>, _>>()?;
        let seqs: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=9 * EACH as u64).collect::<Vec<_>>());
        let texts: BTreeSet<_> = events.iter().filter_map(|event| event["message"].as_str()).collect();
        let said =
            (0..9).flat_map(|person| (1..=EACH).map(move |number| format!("person{person} says {number} in {room}")));
        assert!(said.clone().all(|text| texts.contains(text.as_str())) && texts.len() == said.count());
    }
    Ok(())
}

#[tokio::test]
async fn a_crowd_that_wanders_between_hosts_misses_nothing() -> TestResult {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let rooms = [hosts.server(0).create_room("one").await?, hosts.server(1).create_room("two").await?];
    let mut crowd = Crowd::new(&hosts, &rooms, 12);
    crowd.talk(async |talk| talk.go_on(700, 60).await).await?;
    let wanderers = crowd.history().connections.iter().filter(|connection| connection.user == "person0").count();
    assert!(wanderers > 2, "person0 had {wanderers} connections");
    check(&hosts, &crowd.history())
}

#[tokio::test]
async fn only_the_sender_hears_a_refusal_and_an_error() -> TestResult {
    let furnish = |setup: ondol_tests::Setup| setup.handler("messages", guest("recursing_messages"));
    let Some(hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    let mut ben = hosts.server(1).join(room, "ben").await?;
    ann.expect_join("ben").await?;
    ben.send(json!({"type": "chat.message", "message": "", "client_id": "b-1"}).to_string()).await?;
    assert_eq!(ben.expect_error("blank").await?["client_id"], "b-1");
    ben.say("deep").await?;
    ben.expect_error("handler_fault").await?;
    ben.send("no json").await?;
    ben.expect_error("invalid_json").await?;
    ben.expect_nothing_before("after my mistakes").await?;
    ann.expect_nothing_before_but("after my mistakes", "and I heard none").await?;
    assert_eq!(ben.expect_message("and I heard none").await?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn a_retry_through_another_host_gets_the_first_ones_event() -> TestResult {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut clients = Vec::new();
    let frame = json!({"type": "chat.message", "message": "once", "client_id": "c-1"}).to_string();
    let mut first = None;
    for host in 0..3 {
        let mut ann = hosts.server(host).open_tab(room, "ann").await?;
        ann.send(frame.as_str()).await?;
        let event = ann.expect_message("once").await?;
        assert_eq!(first.get_or_insert(event.clone()), &event, "through host {}", hosts.name(host));
        clients.push(ann);
    }
    // A retry is no message to the others, and by REST it is the same one.
    let posted = post(hosts.server(1), "ann", json!({"message": "once", "room": room, "client_id": "c-1"})).await?;
    assert_eq!(posted.expect(201)?["id"], first.context("no event")?["id"]);
    // The same id of another user is another message.
    let other = post(hosts.server(2), "ben", json!({"message": "another", "room": room, "client_id": "c-1"})).await?;
    assert_eq!(other.expect(201)?["seq"], 2);
    for ann in &mut clients {
        assert_eq!(ann.expect_message("another").await?["seq"], 2);
    }
    Ok(())
}

#[tokio::test]
async fn rest_answers_through_any_host_as_at_the_rooms_home() -> TestResult {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    ann.expect_nothing_before("at home").await?;
    let mut shapes = BTreeSet::new();
    for host in 0..3 {
        let text = format!("through {}", hosts.name(host));
        let body = json!({"message": format!(" {text} "), "room": room, "client_id": text, "parent": null});
        let mut message = post(hosts.server(host), "벤", body).await?.expect(201)?;
        let mut heard = ann.expect_message(&text).await?;
        heard.as_object_mut().unwrap().remove("type");
        let keys = message.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(message.as_object_mut().unwrap().remove("user_id"), Some(json!("벤")));
        assert_eq!(heard, message);
        shapes.insert(keys);
        let refused = post(hosts.server(host), "ben", json!({"message": " ", "room": room})).await?;
        assert_eq!(refused.expect_field("message")?, "blank");
        let unknown = post(hosts.server(host), "ben", json!({"message": "hi", "room": 99})).await?;
        unknown.expect_detail(404, "not_found")?;
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    for target in ["rooms/", &format!("room/{room}/"), &format!("room/{room}/messages/?after=1&limit=2")] {
        let mut answers = BTreeSet::new();
        for host in 0..3 {
            let answer = hosts.server(host).get(&format!("/chat/v1/{target}")).await?;
            // The address of a room's sockets is that of the host that is asked.
            answers.insert(answer.expect(200)?.to_string().replace(hosts.server(host).address(), "HOST"));
        }
        assert_eq!(answers.len(), 1, "{target}: {answers:#?}");
    }
    let elsewhere = hosts.server(2).create_room("made at another host").await?;
    hosts.server(0).join(elsewhere, "ann").await?.expect_nothing_before("a new room").await?;
    Ok(())
}

#[tokio::test]
async fn messages_are_deleted_through_any_host() -> TestResult {
    let Some(hosts) = Hosts::start_with(3, ondol_tests::Setup::admin).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    let mut ben = hosts.server(1).join(room, "ben").await?;
    ann.expect_join("ben").await?;
    for text in ["one", "two", "three", "four"] {
        ann.expect_nothing_before(text).await?;
        ben.expect_message(text).await?;
    }
    for (host, seq) in [(0, 1), (1, 2), (2, 3)] {
        let target = format!("/v1/rooms/{room}/messages/{seq}");
        let answer = hosts.server(host).admin("DELETE", &target)?.send().await?;
        assert_eq!(answer.expect(200)?, json!({"deleted": 1}), "through {}", hosts.name(host));
        for member in [&mut ann, &mut ben] {
            assert_eq!(member.expect_event("chat.message.deleted").await?["seq"], seq);
        }
        let again = hosts.server(host).admin("DELETE", &target)?.send().await?;
        again.expect_detail(404, "not_found")?;
        for host in 0..3 {
            let page = hosts.server(host).get(&format!("/chat/v1/room/{room}/messages/?after=0")).await?.expect(200)?;
            assert_eq!(page[0]["seq"], seq + 1, "{}: {page}", hosts.name(host));
        }
    }
    let other = hosts.server(1).create_room("another").await?;
    let mut carl = hosts.server(1).join(other, "carl").await?;
    for text in ["five", "six"] {
        post(hosts.server(2), "ann", json!({"message": text, "room": other})).await?.expect(201)?;
        carl.expect_message(text).await?;
    }
    carl.expect_nothing_before("seven").await?;
    let answer = hosts.server(2).admin("DELETE", "/v1/users/ann/messages")?.send().await?;
    assert_eq!(answer.expect(200)?, json!({"deleted": 3}));
    for (member, seqs) in [(&mut ann, [4].as_slice()), (&mut ben, &[4]), (&mut carl, &[1, 2])] {
        for seq in seqs {
            assert_eq!(member.expect_event("chat.message.deleted").await?["seq"], *seq);
        }
    }
    assert_eq!(ben.expect_nothing_before("the numbers go on").await?["seq"], 5);
    Ok(())
}

#[tokio::test]
async fn a_user_with_tabs_on_two_hosts_joins_and_leaves_once() -> TestResult {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    let mut carl = hosts.server(1).join(room, "carl").await?;
    ann.expect_join("carl").await?;

    let first = hosts.server(1).join(room, "ben").await?;
    for member in [&mut ann, &mut carl] {
        member.expect_join("ben").await?;
    }
    let mut second = hosts.server(2).open_tab(room, "ben").await?;
    second.expect_nothing_before("from my other tab").await?;
    for member in [&mut ann, &mut carl] {
        member.expect_message("from my other tab").await?;
    }
    first.leave().await?;
    second.expect_nothing_before("one tab is left").await?;
    ann.expect_nothing_before_but("one tab is left", "I heard no leave").await?;
    carl.expect_message("one tab is left").await?;
    carl.expect_message("I heard no leave").await?;
    second.leave().await?;
    for member in [&mut ann, &mut carl] {
        member.expect_leave("ben").await?;
    }
    ann.leave().await?;
    carl.expect_leave("ann").await
}

#[tokio::test]
async fn a_client_resumes_on_another_host_with_what_it_missed() -> TestResult {
    let Some(hosts) = Hosts::start(3).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    let mut missed = Vec::new();
    for number in 1..=6 {
        ann.say(&format!("message {number}")).await?;
        missed.push(ann.next_text().await?);
    }
    let epoch = hosts.server(1).get(&format!("/chat/v1/room/{room}/")).await?.expect(200)?["epoch"].clone();
    for (host, after) in [(1, 2), (2, 4), (0, 0)] {
        let name = format!("returning{host}");
        let (mut client, sync) = resume(hosts.server(host), room, &name, after).await?;
        assert_eq!(
            sync,
            json!({"type": "chat.sync", "room": room, "epoch": epoch, "seq": missed.len(), "recovered": true})
        );
        for frame in &missed[usize::try_from(after)?..] {
            client.expect_exactly(frame).await?;
        }
        client.expect_join(&name).await?;
        ann.expect_join(&name).await?;
        ann.say(&format!("live for {name}")).await?;
        let live = ann.next_text().await?;
        client.expect_exactly(&live).await?;
        missed.push(live);
        client.leave().await?;
        ann.expect_leave(&name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_reaches_the_members_on_other_hosts() -> TestResult {
    let furnish = |setup: ondol_tests::Setup| setup.handler("messages", guest("relaying_messages"));
    let Some(hosts) = Hosts::start_with(3, furnish).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("lobby").await?;
    let mut members = Vec::new();
    for (host, name) in [(0, "ann"), (1, "ben"), (2, "carl")] {
        let member = hosts.server(host).join(room, name).await?;
        for earlier in &mut members {
            Client::expect_join(earlier, name).await?;
        }
        members.push(member);
    }
    for speaker in 0..3 {
        let name = members[speaker].name.clone();
        members[speaker].send(r#"{"type":"chat.typing"}"#).await?;
        for member in &mut members {
            member.expect_exactly(&format!(r#"{{"type":"chat.typing","username":"{name}"}}"#)).await?;
        }
    }
    Ok(())
}
