//! Hosts on a real NATS server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use ondol_engines::{Access, Certificate, Nats};
use tokio::time::timeout;

use super::*;

/// The name of a chat in its database.
const CHAT: &str = "5f0c1c2e-8c0e-4f53-9d0b-6a8f3ed1b1a7";

const SOON: Duration = Duration::from_secs(20);

fn config(nats: &Nats, cluster: &str) -> BusConfig {
    BusConfig {
        url: nats.url(),
        credentials: None,
        cluster: cluster.to_owned(),
        authority: None,
        limits: BusLimits { beat_ms: 50, ..BusLimits::default() },
    }
}

/// What comes, without beats.
async fn next(incoming: &mut Incoming) -> Event {
    let heard = async {
        loop {
            match incoming.next().await {
                Event::Beat { .. } => {}
                event => return event,
            }
        }
    };
    timeout(SOON, heard).await.unwrap()
}

async fn record(incoming: &mut Incoming) -> (i32, String) {
    match next(incoming).await {
        Event::Record { from, record } => (from, String::from_utf8_lossy(&record).into_owned()),
        other => panic!("{other:?}"),
    }
}

async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn records_come_in_their_order_and_to_their_host_alone() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let config = config(&nats, "a");
    let (one, mut to_one) = Cluster::join(&config, CHAT, 1).await.unwrap();
    let (two, mut to_two) = Cluster::join(&config, CHAT, 2).await.unwrap();
    let (_three, mut to_three) = Cluster::join(&config, CHAT, 3).await.unwrap();
    for number in 0..1_000 {
        one.send(2, number.to_string().as_bytes()).unwrap();
    }
    two.send(1, b"back").unwrap();
    for number in 0..1_000 {
        assert_eq!(record(&mut to_two).await, (1, number.to_string()));
    }
    assert_eq!(record(&mut to_one).await, (2, "back".to_owned()));
    one.tell_all(b"all").unwrap();
    for incoming in [&mut to_two, &mut to_three] {
        let Event::ToAll { from: 1, record } = next(incoming).await else { panic!() };
        assert_eq!(record.as_ref(), b"all");
    }
    let figures = one.figures();
    assert!(figures.packets_sent < 1_000 && figures.records_sent == 1_000, "{figures:?}");
    assert!(one.is_echoing() && one.beat_age(2).is_some());
}

#[tokio::test]
async fn a_record_longer_than_nats_takes_arrives_whole() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let config = config(&nats, "a");
    let (one, _to_one) = Cluster::join(&config, CHAT, 1).await.unwrap();
    let (_two, mut to_two) = Cluster::join(&config, CHAT, 2).await.unwrap();
    let long = vec![b'x'; 5 << 20];
    one.send(2, &long).unwrap();
    one.send(2, b"after").unwrap();
    assert_eq!(record(&mut to_two).await.1.len(), long.len());
    assert_eq!(record(&mut to_two).await.1, "after");
}

#[tokio::test]
async fn what_was_sent_before_a_host_listened_is_missed_and_what_follows_comes() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let config = config(&nats, "a");
    let (one, _to_one) = Cluster::join(&config, CHAT, 1).await.unwrap();
    one.send(2, b"lost").unwrap();
    one.flush().await;
    let (_two, mut to_two) = Cluster::join(&config, CHAT, 2).await.unwrap();
    // It is known by the beats alone.
    let Event::Missed { host: 1 } = next(&mut to_two).await else { panic!() };
    one.send(2, b"heard").unwrap();
    assert_eq!(record(&mut to_two).await, (1, "heard".to_owned()));
}

#[tokio::test]
async fn a_server_that_starts_again_loses_records_and_the_hosts_know() {
    let Some(mut nats) = Nats::start().unwrap() else { return };
    let config = config(&nats, "a");
    let (one, mut to_one) = Cluster::join(&config, CHAT, 1).await.unwrap();
    let (_two, mut to_two) = Cluster::join(&config, CHAT, 2).await.unwrap();
    one.send(2, b"first").unwrap();
    assert_eq!(record(&mut to_two).await.1, "first");
    nats.kill().unwrap();
    let Event::Silent = next(&mut to_one).await else { panic!() };
    assert!(!one.is_echoing());
    one.send(2, b"may be lost").unwrap();
    nats.start_again().unwrap();
    let Event::Echo = next(&mut to_one).await else { panic!() };
    until("an echo", || one.is_echoing().then_some(())).await;
    one.send(2, b"last").unwrap();
    let mut heard = Vec::new();
    loop {
        match next(&mut to_two).await {
            Event::Record { record, .. } => heard.push(String::from_utf8_lossy(&record).into_owned()),
            Event::Missed { host: 1 } => heard.push("missed".to_owned()),
            _ => {}
        }
        if heard.last().is_some_and(|last| last == "last") {
            break;
        }
    }
    // What was on its way is either there or known to be missing.
    assert!(heard.iter().any(|heard| heard == "may be lost" || heard == "missed"), "{heard:?}");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_heard_again() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let (one, mut to_one) = Cluster::join(&config(&nats, "a"), CHAT, 1).await.unwrap();
    nats.freeze().unwrap();
    let Event::Silent = next(&mut to_one).await else { panic!() };
    nats.thaw().unwrap();
    let Event::Echo = next(&mut to_one).await else { panic!() };
    assert!(one.is_echoing());
}

#[tokio::test]
async fn two_chats_on_one_server_do_not_hear_each_other() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let another = CHAT.replace('5', "6");
    // Clusters of two names, and two chats whose clusters are called alike.
    for (cluster, others, chat) in [("a", "b", CHAT), ("c", "c", another.as_str())] {
        let (one, _to_one) = Cluster::join(&config(&nats, cluster), CHAT, 1).await.unwrap();
        let (_other, mut to_other) = Cluster::join(&config(&nats, others), chat, 2).await.unwrap();
        let (_two, mut to_two) = Cluster::join(&config(&nats, cluster), CHAT, 2).await.unwrap();
        one.send(2, b"here").unwrap();
        assert_eq!(record(&mut to_two).await, (1, "here".to_owned()));
        let (third, _to_third) = Cluster::join(&config(&nats, others), chat, 1).await.unwrap();
        third.send(2, b"there").unwrap();
        assert_eq!(record(&mut to_other).await, (1, "there".to_owned()), "nothing of the other chat came first");
    }
}

#[tokio::test]
async fn a_host_that_is_gone_is_not_heard_any_more() {
    let Some(nats) = Nats::start().unwrap() else { return };
    let config = config(&nats, "a");
    let (one, _to_one) = Cluster::join(&config, CHAT, 1).await.unwrap();
    let (two, mut to_two) = Cluster::join(&config, CHAT, 2).await.unwrap();
    let (three, _to_three) = Cluster::join(&config, CHAT, 3).await.unwrap();
    two.forget(1);
    one.send(2, b"ghost").unwrap();
    one.flush().await;
    three.send(2, b"alive").unwrap();
    assert_eq!(record(&mut to_two).await, (3, "alive".to_owned()));
}

#[tokio::test]
async fn credentials_and_authorities_are_checked() {
    let access = Access::Password("ondol".to_owned(), "four55".to_owned());
    let certificate = Certificate::new().unwrap();
    let Some(nats) = Nats::start_with(&access, Some(&certificate)).unwrap() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = BusConfig {
        url: nats.url(),
        authority: Some(nats.authority_file()),
        credentials: Some(file.path().to_owned()),
        ..config(&nats, "a")
    };
    std::fs::write(file.path(), "ondol:wrong55\n").unwrap();
    let error = Cluster::join(&config, CHAT, 1).await.err().unwrap().to_string();
    assert!(error.to_lowercase().contains("authorization") && !error.contains("wrong55"), "{error}");
    std::fs::write(file.path(), "nothing").unwrap();
    let error = Cluster::join(&config, CHAT, 1).await.err().unwrap().to_string();
    assert!(error.contains("bus_credentials_file") && !error.contains("nothing"), "{error}");
    std::fs::write(file.path(), "ondol:four55\n").unwrap();
    drop(Cluster::join(&config, CHAT, 1).await.unwrap());
    config.authority = None;
    assert!(Cluster::join(&config, CHAT, 1).await.is_err(), "an authority that this machine does not know");
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_an_error_at_once() {
    let config = BusConfig {
        url: "nats://127.0.0.1:1".to_owned(),
        credentials: None,
        cluster: "a".to_owned(),
        authority: None,
        limits: BusLimits::default(),
    };
    let error = Cluster::join(&config, CHAT, 1).await.err().unwrap().to_string();
    assert!(error.starts_with("NATS: ") && error.contains("refused"), "{error}");
}
