//! What an operator sees of several hosts and asks of them, through any of them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use ondol_tests::{
    Client, Hosts, NEVER_MS, Setup, TestResult, TestServer, User, command::Output, ondol, prometheus::Metrics, until,
};
use serde_json::{Value, json};

use super::post;

/// Runs `ondol cluster` with these words on the admin API of a server.
fn cluster(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    ondol(&[&["cluster"][..], words, &["--admin", server.admin_address()?]].concat())
}

/// The status of the hosts, as a server sees it.
async fn status(server: &TestServer) -> TestResult<Value> {
    server.admin("GET", "/v1/cluster")?.send().await?.expect(200)
}

/// Asks until the status is so.
async fn status_where(server: &TestServer, what: &str, is_so: impl Fn(&Value) -> bool) -> TestResult<Value> {
    until(format!("a status with {what}"), async || status(server).await.ok().filter(|status| is_so(status))).await
}

/// The row of a host.
fn row<'a>(status: &'a Value, name: &str) -> &'a Value {
    let rows = status["hosts"].as_array().into_iter().flatten();
    rows.into_iter().find(|row| row["name"] == name).unwrap_or(&Value::Null)
}

/// A client of a host in a room whose home is another one.
async fn ben_elsewhere(hosts: &Hosts) -> TestResult<(u64, Client, Client)> {
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = hosts.server(0).join(room, "ann").await?;
    assert_eq!(hosts.home(room).await?, 0);
    let ben = hosts.server(1).join(room, "ben").await?;
    ann.expect_join("ben").await?;
    Ok((room, ann, ben))
}

/// Waits until a host is attached to no room, because it is known that the bus is away.
async fn until_unattached(server: &TestServer) -> TestResult {
    let is_so = |metrics: &Metrics| metrics.value("ondol_cluster_rooms{role=\"unattached\"}") == Some(1.0);
    let metrics = async || Metrics::of(server).await.ok().filter(is_so);
    until("a room whose home cannot be reached", metrics).await.map(drop)
}

#[tokio::test]
async fn a_host_shows_what_each_says_of_itself_and_how_it_is_heard() -> TestResult {
    let Some(hosts) = Hosts::start_with(3, Setup::admin).await? else { return Ok(()) };
    let (room, _ann, mut ben) = ben_elsewhere(&hosts).await?;
    let _cid = hosts.server(1).open_tab(room, "cid").await?;
    ben.await_join("cid").await?;
    for asked in 0..3 {
        let seen = status_where(hosts.server(asked), "all figures", |status| {
            let expected = [("a", 1, 1), ("b", 0, 2), ("c", 0, 0)];
            expected.iter().all(|(name, rooms, connections)| {
                let row = row(status, name);
                row["rooms"] == *rooms && row["connections"] == *connections && !row["release"].is_null()
            })
        })
        .await?;
        assert_eq!((&seen["cluster"], &seen["host"]), (&json!("test"), &json!(hosts.name(asked))));
        assert_eq!([&seen["echo"], &seen["database_fault"]], [&json!(true), &json!(null)]);
        assert_eq!([&seen["missed"], &seen["repairs"], &seen["unsettled"]], [0, 0, 0].map(|it| json!(it)).each_ref());
        let own = row(&seen, hosts.name(asked));
        assert_eq!(own["no"], seen["no"]);
        for name in ["a", "b", "c"] {
            let row = row(&seen, name);
            assert_eq!((&row["state"], &row["proto"], &row["version"]), (&json!("live"), &json!(1), &own["version"]));
            assert!(row["beat_age_ms"].as_u64().is_some() && row["heard_age_ms"].as_u64().is_some(), "{row}");
            let attached = if asked == 0 && name == "b" { 1 } else { 0 };
            assert_eq!(row["attached"], attached, "{name} at {}", hosts.name(asked));
        }
    }
    let shown = cluster(hosts.server(2), &["status"])?.expect(0)?;
    assert!(shown.contains("cluster test, as c sees it"), "{shown}");
    assert!(shown.contains("packets missed 0 times, 0 repairs of rooms, 0 frames not settled"), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("b ")).context("no line of b")?;
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!((cells[1], cells[2], cells[cells.len() - 2]), ("2", "live", "2"), "{shown}");
    let json: Value = serde_json::from_str(&cluster(hosts.server(2), &["status", "--output", "json"])?.stdout)?;
    assert_eq!(row(&json, "a")["rooms"], 1);
    Ok(())
}

#[tokio::test]
async fn a_server_without_other_hosts_says_that_it_is_alone() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    for words in [&["status"][..], &["where", "1"], &["drain", "a"]] {
        cluster(&server, words)?.expect_parts(1, &["the only host of its chat", "`bus` is not set"])?;
    }
    server.admin("GET", "/v1/cluster")?.send().await?.expect_detail(404, "not_found")?;
    server.get("/readyz").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_home_of_a_room_is_named_through_any_host() -> TestResult {
    let Some(hosts) = Hosts::start_with(2, Setup::admin).await? else { return Ok(()) };
    let room = hosts.server(1).create_room("lobby").await?;
    let number = room.to_string();
    let find = |host: usize| cluster(hosts.server(host), &["where", &number]);
    find(0)?.expect_parts(0, &["has no home"])?;
    let _ann = hosts.server(1).join(room, "ann").await?;
    for asked in 0..2 {
        find(asked)?.expect_parts(0, &[format!("room {room}: its home is b (2)").as_str()])?;
        let answer = hosts.server(asked).admin("GET", &format!("/v1/cluster/rooms/{room}"))?.send().await?;
        assert_eq!(answer.expect(200)?, json!({"room": room, "no": 2, "host": "b"}));
    }
    cluster(hosts.server(0), &["where", "99"])?.expect_parts(1, &["there is no room 99"])
}

#[tokio::test]
async fn a_host_that_another_has_drained_closes_its_sockets_and_hands_its_rooms_over() -> TestResult {
    let furnish = |setup: Setup| setup.admin().limit("drain_ms", 6_000);
    let Some(mut hosts) = Hosts::start_with(3, furnish).await? else { return Ok(()) };
    let (room, mut ann, mut ben) = ben_elsewhere(&hosts).await?;
    cluster(hosts.server(2), &["drain", "nowhere"])?.expect_parts(1, &["no host nowhere", "the hosts are a, b, c"])?;

    let words = ["drain", "a", "--reason", "new kernel", "--actor", "minji"];
    cluster(hosts.server(2), &words)?.expect_parts(0, &["a drains", "not ready", "1001", "its process ends"])?;
    let logged = hosts.server(2).wait_for_log("has the host a drained").await?;
    assert!(logged.contains("minji") && logged.contains("new kernel"), "{logged}");
    assert_eq!(row(&status(hosts.server(2)).await?, "a")["state"], "draining");
    hosts.server(0).get("/readyz").await?.expect_detail(503, "not_ready")?;
    let reason = ann.expect_close(1001).await?;
    assert!(reason.contains("retry_after_ms="), "{reason}");
    assert_eq!(hosts.exit(0).await?, Some(0));
    assert_eq!(hosts.state_of(0)?, "gone");

    ben.say("we go on").await?;
    ben.expect_message("we go on").await?;
    assert_eq!(hosts.home(room).await?, 1);
    // The host that is asked can drain itself.
    cluster(hosts.server(1), &["drain", "b"])?.expect_parts(0, &["b drains"])?;
    ben.expect_close(1001).await?;
    assert_eq!(hosts.exit(1).await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn what_was_never_handed_to_a_home_is_answered_busy_and_is_not_stored() -> TestResult {
    let furnish = |setup: Setup| setup.admin().limit("bus_wait_ms", 1_500);
    let Some(mut hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    let (room, mut ann, mut ben) = ben_elsewhere(&hosts).await?;
    hosts.bus()?.stop()?;
    until_unattached(hosts.server(1)).await?;

    let named = json!({"type": "chat.message", "message": "lost", "client_id": "b-1"}).to_string();
    ben.send(named.as_str()).await?;
    assert_eq!(ben.expect_error("busy").await?["client_id"], "b-1");
    let posted = post(hosts.server(1), "ben", json!({"message": "lost", "room": room})).await?;
    posted.expect_detail(503, "busy")?;
    let target = format!("/ws/chat/{room}/chat/?{}", User::named("cid").query());
    hosts.server(1).knock(&target, &[]).await?.refused()?.expect_detail(503, "busy")?;
    // At its home the room goes on.
    ann.expect_nothing_before("I am at home").await?;
    ben.expect_message("I am at home").await?;

    hosts.bus()?.start_again()?;
    ben.say("again").await?;
    for member in [&mut ann, &mut ben] {
        assert_eq!(member.expect_message("again").await?["seq"], 2);
    }
    let texts: Vec<_> = hosts.stored()?.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["I am at home", "again"]);
    Ok(())
}

#[tokio::test]
async fn what_a_home_may_have_stored_is_answered_unknown_and_a_retry_stores_it_once() -> TestResult {
    let furnish = |setup: Setup| setup.admin().limit("bus_wait_ms", 1_500);
    let Some(mut hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    let (_, mut ann, mut ben) = ben_elsewhere(&hosts).await?;
    hosts.bus()?.freeze()?;
    let named = json!({"type": "chat.message", "message": "perhaps", "client_id": "b-1"}).to_string();
    ben.send(named.as_str()).await?;
    assert_eq!(ben.expect_error("unknown").await?["client_id"], "b-1");
    hosts.bus()?.thaw()?;
    ben.send(named.as_str()).await?;
    ben.expect_message("perhaps").await?;
    ann.expect_message("perhaps").await?;
    ann.say("once").await?;
    ann.expect_message("once").await?;
    let texts: Vec<_> = hosts.stored()?.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["perhaps", "once"]);
    Ok(())
}

#[tokio::test]
async fn two_chats_of_one_name_share_a_bus_and_do_not_hear_each_other() -> TestResult {
    let Some(ours) = Hosts::start_with(2, Setup::admin).await? else { return Ok(()) };
    let theirs = ours.start_beside(2).await?;
    let mut talks = BTreeMap::new();
    for (name, hosts) in [("ours", &ours), ("theirs", &theirs)] {
        talks.insert(name, ben_elsewhere(hosts).await?);
    }
    assert_eq!(talks["ours"].0, talks["theirs"].0, "rooms and hosts have the same numbers");
    for number in 0..20 {
        for (name, (_, ann, ben)) in &mut talks {
            let (here, there) = (format!("{name} {number}"), format!("{name} {number} too"));
            ann.say(&here).await?;
            ben.expect_message(&here).await?;
            ben.say(&there).await?;
            ben.expect_message(&there).await?;
            ann.expect_message(&here).await?;
            ann.expect_message(&there).await?;
        }
    }
    for hosts in [&ours, &theirs] {
        let seen = status(hosts.server(1)).await?;
        assert_eq!(seen["hosts"].as_array().map(Vec::len), Some(2));
        assert_eq!([&seen["missed"], &seen["repairs"], &seen["unsettled"]], [0, 0, 0].map(|it| json!(it)).each_ref());
        assert_eq!(hosts.stored()?.len(), 40);
    }
    Ok(())
}

#[tokio::test]
async fn metrics_tell_of_the_bus_and_of_rooms_whose_home_is_elsewhere() -> TestResult {
    let furnish = |setup: Setup| setup.admin().limit("bus_wait_ms", NEVER_MS);
    let Some(mut hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    let (_, mut ann, mut ben) = ben_elsewhere(&hosts).await?;
    ben.say("hello").await?;
    ann.expect_message("hello").await?;
    ben.expect_message("hello").await?;
    let metrics = Metrics::of(hosts.server(1)).await?;
    let values = [
        ("ondol_cluster_rooms{role=\"home\"}", 0.0),
        ("ondol_cluster_rooms{role=\"attached\"}", 1.0),
        ("ondol_cluster_rooms{role=\"unattached\"}", 0.0),
        ("ondol_unsettled_frames", 0.0),
        ("ondol_room_repairs_total", 0.0),
        ("ondol_bus_missed_total", 0.0),
    ];
    for (series, value) in values {
        assert_eq!(metrics.value(series), Some(value), "{series}");
    }
    let value = |series: &str| metrics.value(series).unwrap_or_default();
    assert!(value("ondol_bus_packets_sent_total") >= 2.0 && value("ondol_bus_packets_received_total") >= 2.0);
    assert!(metrics.value("ondol_bus_echo_age_seconds").is_some_and(|age| age < 1.0));

    hosts.bus()?.freeze()?;
    until_unattached(hosts.server(1)).await?;
    ben.say("I wait").await?;
    let waits = |metrics: &Metrics| {
        metrics.value("ondol_unsettled_frames") == Some(1.0)
            && metrics.value("ondol_bus_echo_age_seconds").is_some_and(|age| age >= 1.0)
            && metrics.value("ondol_room_repairs_total").is_some_and(|repairs| repairs >= 1.0)
    };
    until("a frame that waits", async || Metrics::of(hosts.server(1)).await.ok().filter(waits)).await?;
    let shown = cluster(hosts.server(1), &["status"])?.expect(0)?;
    assert!(
        shown.contains("THE BUS DOES NOT BRING ITS BEATS BACK") && shown.contains("1 frame not settled"),
        "{shown}"
    );
    let ready = hosts.server(1).get("/readyz").await?.expect_detail(503, "not_ready")?;
    assert_eq!(ready, "Not ready: the other hosts of the chat cannot be heard");
    hosts.bus()?.thaw()?;
    ann.expect_message("I wait").await?;
    Ok(())
}
