//! Versions that are tried over several hosts: probation, canaries, and deploys under load.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use ondol_tests::{Client, Hosts, Setup, TestResult, TestServer, guest, handlers, pause, standard, until};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::deploying::{deploy, history, operated};
use crate::trials::{active, asked};

/// A room with one member, whose home is that host.
async fn member(hosts: &Hosts, host: usize) -> TestResult<Client> {
    let room = hosts.server(host).create_room("lobby").await?;
    let member = hosts.server(host).join(room, "ann").await?;
    assert_eq!(hosts.home(room).await?, host);
    Ok(member)
}

/// Waits until this holds of the status of each host.
async fn until_all(hosts: &Hosts, what: &str, holds: impl Fn(&Value) -> bool) -> TestResult {
    for host in 0..hosts.count() {
        until(format!("{what} on {}", hosts.name(host)), async || {
            asked(hosts.server(host), "/v1/status").await.is_ok_and(|status| holds(&status)).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Says what the version that fails at every twentieth message fails at.
async fn say_to_sixty(member: &mut Client) -> TestResult {
    for number in [20, 40, 60] {
        member.say(&format!("secret {number}")).await?;
        member.expect_message(&format!("secret {number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_version_that_fails_in_a_room_of_another_host_is_taken_back_everywhere() -> TestResult {
    let Some(hosts) = Hosts::start_with(3, Setup::admin).await? else { return Ok(()) };
    let mut ann = member(&hosts, 1).await?;
    let before = active(hosts.server(0), "events").await?;
    let deployed = hosts.server(0).upload("events", guest("twentieth_events")).await?.expect(200)?;
    let bad = deployed["versions"]["events"].as_str().context("no version")?.to_owned();
    assert!(deployed["probation"].is_object(), "{deployed}");
    until_all(&hosts, "the probation", |status| status["probation"]["release"] == 2).await?;
    say_to_sixty(&mut ann).await?;
    let is_back =
        |status: &Value| status["handlers"]["events"]["version"] == before.as_str() && status["bad"][&bad].is_string();
    until_all(&hosts, "the version before, and the block", is_back).await?;
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 deploy rolled_back", "3 probation active"]);
    for host in 0..3 {
        let status = asked(hosts.server(host), "/v1/status").await?;
        let evidence = status["bad"][&bad].as_str().context("no evidence")?;
        assert!(evidence.starts_with("on host b: 3 of") && evidence.contains("one of twenty"), "{evidence}");
        assert!(status["probation"].is_null(), "{status}");
        let again = hosts.server(host).upload("events", guest("twentieth_events")).await?;
        again.expect_detail(409, "marked_bad")?;
    }
    Ok(())
}

#[tokio::test]
async fn two_hosts_that_see_a_version_fail_take_it_back_once() -> TestResult {
    let Some(hosts) = Hosts::start_with(3, Setup::admin).await? else { return Ok(()) };
    let mut members = Vec::new();
    for host in 0..3 {
        members.push(member(&hosts, host).await?);
    }
    hosts.server(0).upload("events", guest("twentieth_events")).await?.expect(200)?;
    try_join_all(members.iter_mut().map(say_to_sixty)).await?;
    until_all(&hosts, "the end of the probation", |status| status["probation"].is_null()).await?;
    until_all(&hosts, "the block", |status| status["bad"] != json!({})).await?;
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 deploy rolled_back", "3 probation active"]);
    Ok(())
}

#[tokio::test]
async fn a_deploy_that_is_forced_has_no_probation_on_any_host() -> TestResult {
    let Some(hosts) = Hosts::start_with(3, Setup::admin).await? else { return Ok(()) };
    let mut ann = member(&hosts, 2).await?;
    let wasm = handlers::read(&guest("twentieth_events"))?;
    let forced = hosts.server(0).admin("POST", "/v1/handlers/events?force=true")?;
    let forced = forced.body("application/wasm", wasm).send().await?.expect(200)?;
    assert_eq!((&forced["probation"], &forced["hosts"]), (&Value::Null, &json!(["a", "b", "c"])));
    for number in [20, 40, 60, 80] {
        ann.say(&format!("secret {number}")).await?;
        ann.expect_error("handler_fault").await?;
    }
    until_all(&hosts, "no probation", |status| status["probation"].is_null()).await?;
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 deploy active"]);
    Ok(())
}

/// Starts a canary in nearly all rooms.
async fn canary(server: &TestServer, events: &str) -> TestResult<Value> {
    let component = data_encoding::BASE64.encode(&handlers::read(&guest(events))?);
    let body = json!({ "events": { "component": component }, "percent": 99 });
    server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await?.expect(200)
}

/// How many of some rooms at a host hear the canary, of six.
async fn shouted(hosts: &Hosts, host: usize) -> TestResult<usize> {
    let mut count = 0;
    for _ in 0..6 {
        let mut member = member(hosts, host).await?;
        member.say("hi").await?;
        count += usize::from(member.next_message().await?["message"] == "HI");
    }
    Ok(count)
}

#[tokio::test]
async fn a_canary_begins_and_ends_on_all_hosts() -> TestResult {
    let Some(mut hosts) = operated().await? else { return Ok(()) };
    let has_canary = |status: &Value| status["canary"]["percent"] == 99;
    let has_none = |status: &Value| status["canary"].is_null();
    canary(hosts.server(0), "shouting_events").await?;
    until_all(&hosts, "the canary", has_canary).await?;
    // One that comes later has it as well.
    hosts.add().await?;
    until_all(&hosts, "the canary", has_canary).await?;
    for host in 0..4 {
        assert_ne!(shouted(&hosts, host).await?, 0, "no room of {}", hosts.name(host));
    }
    hosts.server(1).admin("DELETE", "/v1/canary")?.send().await?.expect(200)?;
    until_all(&hosts, "no canary", has_none).await?;
    assert_eq!(shouted(&hosts, 2).await?, 0);

    // One that fails ends on all.
    canary(hosts.server(2), "twentieth_events").await?;
    until_all(&hosts, "the canary", has_canary).await?;
    for _ in 0..6 {
        say_to_sixty(&mut member(&hosts, 3).await?).await?;
    }
    until_all(&hosts, "no canary, and the block", |status| has_none(status) && status["bad"] != json!({})).await?;

    canary(hosts.server(3), "shouting_events").await?;
    until_all(&hosts, "the canary", has_canary).await?;
    let answer = hosts.server(1).admin("POST", "/v1/canary/promote")?.send().await?.expect(200)?;
    assert_eq!((&answer["release"], &answer["hosts"]), (&json!(2), &json!(["a", "b", "c", "d"])));
    until_all(&hosts, "no canary", has_none).await?;
    assert_eq!(shouted(&hosts, 0).await?, 6);
    let events = "SELECT string_agg(what, ' ' ORDER BY id) FROM release_event";
    let each = ["canary_started canary_ended"; 3].join(" ");
    assert_eq!(hosts.database().sql(events)?, each, "each is told of once");
    Ok(())
}

/// A message as one client said and another heard it.
struct Heard {
    room: u64,
    text: String,
    /// The release that read it, by its mark.
    read_by: u64,
    is_shouted: bool,
    at: Instant,
}

/// Says one message after the other until it is stopped. Returns when each was said, and what was heard.
async fn talk(
    room: u64,
    mut client: Client,
    mut stopped: watch::Receiver<bool>,
) -> TestResult<(Vec<(String, Instant)>, Vec<Heard>)> {
    let (mut said, mut heard) = (Vec::new(), Vec::<Heard>::new());
    while !*stopped.borrow_and_update() {
        let text = format!("{}-{}", client.name, said.len());
        said.push((text.clone(), Instant::now()));
        client.say(&text).await?;
        while heard.last().is_none_or(|last| last.text != text) {
            let event = client.next_message().await?;
            let whole = event["message"].as_str().context("no text")?.to_lowercase();
            let (text, mark) = whole.split_once(' ').unwrap_or((&whole, "1"));
            let (text, read_by, at) = (text.to_owned(), mark.parse()?, Instant::now());
            heard.push(Heard { room, text, read_by, is_shouted: event["style"] == "shout", at });
        }
        pause(Duration::from_millis(20)).await;
    }
    Ok((said, heard))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_room_hears_an_older_release_again() -> TestResult {
    const RELEASES: u64 = 7;
    let furnish = |setup: Setup| setup.admin().limit("probation_ms", 0);
    let Some(hosts) = Hosts::start_with(3, furnish).await? else { return Ok(()) };
    let (stop, stopped) = watch::channel(false);
    let mut talks = Vec::new();
    for number in 0..3 {
        let room = hosts.server(number).create_room("lobby").await?;
        for host in 0..3 {
            let client = hosts.server(host).open_tab(room, format!("person{number}{host}").as_str()).await?;
            talks.push(talk(room, client, stopped.clone()));
        }
    }
    // Release n is read with the mark n, and written in capitals if n is even.
    let deploys = async {
        let mut answered = BTreeMap::new();
        for number in 2..=RELEASES {
            let events = if number % 2 == 0 { guest("shouting_events") } else { standard("events") };
            let messages = guest("marking_messages");
            let parts =
                [("events", &*events, json!({})), ("messages", &*messages, json!({ "mark": number.to_string() }))];
            let host = usize::try_from(number % 3)?;
            let answer = deploy(&hosts, host, &parts, Some(number - 1)).await?.expect(200)?;
            answered.insert(number, Instant::now());
            assert_eq!((&answer["release"], &answer["hosts"]), (&json!(number), &json!(["a", "b", "c"])));
            pause(Duration::from_millis(100)).await;
        }
        stop.send_replace(true);
        anyhow::Ok(answered)
    };
    let (talked, answered) = tokio::try_join!(try_join_all(talks), deploys)?;
    let said: BTreeMap<String, Instant> = talked.iter().flat_map(|(said, _)| said.iter().cloned()).collect();
    let all: Vec<&Heard> = talked.iter().flat_map(|(_, heard)| heard).collect();
    assert!(all.len() > 500, "{} messages", all.len());
    for heard in &all {
        let Heard { room, text, read_by, is_shouted, .. } = heard;
        assert_eq!(*is_shouted, read_by % 2 == 0, "{text} in {room} was read by release {read_by}");
        let at = *said.get(text).context("said by no one")?;
        let due = answered.iter().filter(|(_, answered)| **answered < at).map(|(number, _)| *number).max();
        assert!(due.is_none_or(|due| *read_by >= due), "{text} was said after the answer to {due:?}: {read_by}");
        let newer = all.iter().find(|other| other.room == *room && other.at < at && other.read_by > *read_by);
        assert!(newer.is_none(), "{text} of {read_by} was said after {:?}", newer.map(|newer| &newer.text));
    }
    assert_eq!(all.iter().map(|heard| heard.read_by).max(), Some(RELEASES));
    Ok(())
}
