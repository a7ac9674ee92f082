//! Versions that are kept: ways back without a file, and what is active after a restart, a kill and a broken store.

use std::{env, fs, time::Duration};

use ondol_tests::{TestResult, TestServer, guest, handlers, standard};
use rusqlite::Connection;
use serde_json::{Value, json};

async fn operated() -> TestResult<TestServer> {
    TestServer::setup().admin().start().await
}

async fn asked(server: &TestServer, target: &str) -> TestResult<Value> {
    server.admin("GET", target)?.send().await?.expect(200)
}

/// Goes back, and gives what is active then.
async fn roll_back(server: &TestServer, to: &Value) -> TestResult<Value> {
    server.admin("POST", "/v1/rollback")?.json(json!({ "to": to }).to_string()).send().await?.expect(200)
}

/// The version of a handler that answers.
async fn active(server: &TestServer, handler: &str) -> TestResult<String> {
    let status = asked(server, "/v1/status").await?;
    Ok(status["handlers"][handler]["version"].as_str().unwrap().to_owned())
}

/// Whether events are shouted.
async fn shouts(server: &TestServer) -> TestResult<bool> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    Ok(ann.next_message().await?["message"] == "HI")
}

/// Sets the events handler's `announce`, which makes one more version of it.
async fn announce(server: &TestServer, what: &str) -> TestResult<Value> {
    let body = json!({ "announce": what }).to_string();
    server.admin("PUT", "/v1/handlers/events/settings")?.json(body).send().await?.expect(200)
}

#[tokio::test]
async fn a_rollback_needs_no_file() -> TestResult {
    let server = operated().await?;
    let first = active(&server, "events").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    assert!(shouts(&server).await?);
    for handler in handlers::HANDLERS {
        fs::remove_file(server.handlers().join(format!("{handler}.wasm")))?;
    }
    let back = roll_back(&server, &Value::Null).await?;
    assert_eq!((&back["release"], &back["versions"]["events"]), (&json!(3), &json!(first)));
    assert!(!shouts(&server).await?);
    let history = asked(&server, "/v1/releases").await?;
    assert_eq!((&history[0]["back_to"], &history[1]["outcome"]), (&json!(1), &json!("rolled_back")));
    Ok(())
}

#[tokio::test]
async fn one_step_after_another_leads_further_back() -> TestResult {
    let server = operated().await?;
    let mut versions = vec![active(&server, "events").await?];
    for what in ["nothing", "joins_and_leaves"] {
        announce(&server, what).await?;
        versions.push(active(&server, "events").await?);
    }
    roll_back(&server, &Value::Null).await?;
    assert_eq!(active(&server, "events").await?, versions[1]);
    roll_back(&server, &Value::Null).await?;
    assert_eq!(active(&server, "events").await?, versions[0]);
    let answer = server.admin("POST", "/v1/rollback")?.send().await?;
    answer.expect_detail(404, "not_found")?;
    roll_back(&server, &json!(3)).await?;
    assert_eq!(active(&server, "events").await?, versions[2]);
    Ok(())
}

#[tokio::test]
async fn a_named_version_comes_back_alone() -> TestResult {
    let server = operated().await?;
    let first = active(&server, "events").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let relaying = active(&server, "messages").await?;
    roll_back(&server, &json!(first.get(..10))).await?;
    assert_eq!((active(&server, "events").await?, active(&server, "messages").await?), (first, relaying));
    Ok(())
}

#[tokio::test]
async fn a_restart_keeps_what_an_operator_made_active() -> TestResult {
    let mut server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 2);
    // And the way back is still there.
    roll_back(&server, &Value::Null).await?;
    server.restart().await?;
    assert!(!shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_start_needs_no_files_once_it_has_versions() -> TestResult {
    let mut server = operated().await?;
    let before = server.startup().split(" rooms=").nth(1).unwrap().split(" admin=").next().unwrap().to_owned();
    fs::remove_dir_all(server.handlers())?;
    server.restart().await?;
    assert!(server.startup().contains(&before), "{}", server.startup());
    Ok(())
}

#[tokio::test]
async fn a_file_that_changed_while_the_server_was_down_is_offered_at_its_start() -> TestResult {
    let mut server = operated().await?;
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let relaying = active(&server, "messages").await?;
    handlers::place(&server.handlers(), "events", b"half a file")?;
    server.restart().await?;
    server.wait_for_log("handler was not taken").await?;
    fs::write(server.handlers().join("events.wasm"), handlers::read(&guest("shouting_events"))?)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    assert_eq!(active(&server, "messages").await?, relaying);
    let history = asked(&server, "/v1/releases?limit=1").await?;
    assert_eq!((&history[0]["who"], &history[0]["how"]), (&json!("directory"), &json!("directory")));
    Ok(())
}

#[tokio::test]
async fn a_sighup_does_not_undo_what_an_operator_deployed() -> TestResult {
    let server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.signal("HUP")?;
    // Another handler's swap shows that the watcher has come this far.
    server.deploy("messages", guest("relaying_messages")).await?;
    assert!(shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn the_directory_goes_through_the_gate_and_into_the_history() -> TestResult {
    let server = operated().await?;
    server.deploy("events", guest("shouting_events")).await?;
    server.deploy_in_vain("messages", &handlers::read(&guest("needy"))?).await?;
    let history = asked(&server, "/v1/releases").await?;
    let rows: Vec<_> = history.as_array().unwrap().iter().map(|row| [&row["how"], &row["outcome"]]).collect();
    let named = |how: &str, outcome: &str| [json!(how), json!(outcome)];
    let expected = [named("directory", "refused"), named("directory", "active"), named("first", "replaced")];
    assert_eq!(json!(rows), json!(expected));
    assert!(history[0]["detail"].as_str().unwrap().contains("example:missing/one"), "{history}");
    Ok(())
}

#[tokio::test]
async fn the_last_versions_are_kept_and_the_oldest_are_not() -> TestResult {
    let server = TestServer::setup().admin().limit("versions_kept_max", 3).start().await?;
    let first = active(&server, "messages").await?;
    for length in 1..=4 {
        let body = json!({ "text_length_max": length }).to_string();
        server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect(200)?;
    }
    let kept = asked(&server, "/v1/handlers").await?;
    assert_eq!(kept["messages"].as_array().unwrap().len(), 3);
    assert_eq!(kept["rooms"].as_array().unwrap().len(), 1);
    let gone = server.admin("POST", "/v1/rollback")?.json(json!({ "to": first }).to_string()).send().await?;
    gone.expect_detail(404, "not_found")?;
    let gone = server.admin("POST", "/v1/rollback")?.json(json!({ "to": 1 }).to_string()).send().await?;
    assert!(gone.expect_detail(409, "broken")?.contains("not kept"));
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 5);
    Ok(())
}

/// Spoils the stored bytes of a version, as a failing disk would.
fn spoil(server: &TestServer, version: &str) -> TestResult {
    let database = Connection::open(server.database_file())?;
    let sql = "UPDATE component SET wasm = substr(wasm, 1, 1000) WHERE sha256 = (SELECT component FROM version WHERE id = ?1)";
    assert_eq!(database.execute(sql, [version])?, 1);
    Ok(())
}

#[tokio::test]
async fn a_broken_version_gives_way_to_the_release_before_it_and_says_so() -> TestResult {
    let mut server = operated().await?;
    let first = active(&server, "events").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    spoil(&server, &active(&server, "events").await?)?;
    server.restart().await?;
    let line = server.wait_for_log("the active release is broken").await?;
    assert!(line.contains("release=2") && line.contains("events"), "{line}");
    assert_eq!(active(&server, "events").await?, first);
    let history = asked(&server, "/v1/releases").await?;
    assert_eq!((&history[0]["how"], &history[0]["back_to"]), (&json!("fallback"), &json!(1)));
    assert_eq!(history[1]["outcome"], "broken");
    // Deploying the same bytes again mends it.
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_store_without_one_good_release_leaves_it_to_the_files() -> TestResult {
    let mut server = operated().await?;
    spoil(&server, &active(&server, "events").await?)?;
    server.restart().await?;
    server.wait_for_log("the active release is broken").await?;
    assert!(!shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_version_that_is_marked_as_bad_is_refused_until_somebody_insists() -> TestResult {
    let mut server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let shouting = active(&server, "events").await?;
    roll_back(&server, &Value::Null).await?;
    let sql = "INSERT INTO bad_version (id, evidence, marked_at) VALUES (?1, 'it trapped', 0)";
    Connection::open(server.database_file())?.execute(sql, [&shouting])?;
    server.restart().await?;
    let answer = server.upload("events", guest("shouting_events")).await?;
    assert!(answer.expect_detail(409, "marked_bad")?.contains("it trapped"));
    let bytes = handlers::read(&guest("shouting_events"))?;
    let forced = server.admin("POST", "/v1/handlers/events?force=1")?.body("application/wasm", bytes);
    forced.send().await?.expect(200)?;
    let kept = asked(&server, "/v1/handlers").await?;
    assert!(kept["events"].as_array().unwrap().iter().all(|row| row["bad"].is_null()), "{kept}");
    Ok(())
}

/// A moment within a deploy, from the clock's last digits.
fn some_moment() -> Duration {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Duration::from_micros(u64::from(clock.subsec_nanos() / 10) % 9_000)
}

/// `KILL_ROUNDS=200 cargo test … a_kill_at_any_moment` for more rounds.
#[tokio::test]
async fn a_kill_at_any_moment_of_a_deploy_leaves_a_whole_release() -> TestResult {
    let rounds: u32 = env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    let mut server = operated().await?;
    let pairs = [(standard("messages"), standard("events")), (guest("relaying_messages"), guest("shouting_events"))];
    let mut bodies = Vec::new();
    let mut releases = Vec::new();
    for (messages, events) in pairs {
        let encoded = |file| Ok::<_, anyhow::Error>(data_encoding::BASE64.encode(&handlers::read(file)?));
        let body = json!({
            "messages": {"component": encoded(&messages)?},
            "events": {"component": encoded(&events)?},
        });
        let answer = server.admin("POST", "/v1/releases")?.json(body.to_string()).send().await?.expect(200)?;
        let short = |handler: &str| answer["versions"][handler].as_str().unwrap().get(..12).unwrap().to_owned();
        releases.push(format!("messages={} events={}", short("messages"), short("events")));
        bodies.push(body.to_string());
    }
    let (mut answered, mut unanswered_and_new) = (0, 0);
    let mut standing = 1;
    for _ in 0..rounds {
        let next = 1 - standing;
        let deploy = server.admin("POST", "/v1/releases")?.json(bodies[next].clone()).send();
        let heard = matches!(tokio::time::timeout(some_moment(), deploy).await, Ok(Ok(answer)) if answer.status == 200);
        server.restart().await?;
        let line = server.startup().to_owned();
        let found = releases.iter().position(|release| line.contains(release.as_str()));
        let found = found.unwrap_or_else(|| panic!("a mixture after a kill: {line}"));
        assert!(!heard || found == next, "what was told to be active is not: {line}");
        assert_eq!(asked(&server, "/v1/status").await?["ready"], true);
        answered += u32::from(heard);
        unanswered_and_new += u32::from(!heard && found == next);
        standing = found;
    }
    println!("{rounds} kills: {answered} after the answer, {unanswered_and_new} between the disk and the answer");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_become_active() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.fill_disk(true)?;
    let answer = server.admin("POST", "/v1/rollback")?.send().await?;
    answer.expect_detail(503, "unavailable")?;
    server.fill_disk(false)?;
    assert!(shouts(&server).await?);
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 2);
    roll_back(&server, &Value::Null).await?;
    assert!(!shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn deploys_at_once_come_one_after_another_and_none_is_lost() -> TestResult {
    let server = operated().await?;
    let set = async |length: u32| {
        let body = json!({ "text_length_max": length }).to_string();
        server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect(200)
    };
    let both = futures_util::future::try_join_all((11..=18).map(set));
    let (sets, shouting) = tokio::try_join!(both, server.upload("events", guest("shouting_events")))?;
    shouting.expect(200)?;
    let mut numbers: Vec<_> = sets.iter().map(|answer| answer["release"].as_u64().unwrap()).collect();
    numbers.push(shouting.json()["release"].as_u64().unwrap());
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=10).collect::<Vec<_>>());
    assert!(shouts(&server).await?);
    Ok(())
}
