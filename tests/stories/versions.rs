//! Stored versions: rollbacks without a file, and the active release after a restart, a kill and a broken store.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use ondol_tests::{
    Request, TestResult, TestServer,
    disk::{Chance, Plan},
    guest, handlers, standard, until,
};
use serde_json::{Value, json};

use crate::power::on_test_disk;

async fn operated() -> TestResult<TestServer> {
    TestServer::setup().admin().start().await
}

async fn asked(server: &TestServer, target: &str) -> TestResult<Value> {
    server.admin("GET", target)?.send().await?.expect(200)
}

/// Rolls back, and returns what is active then.
async fn roll_back(server: &TestServer, to: &Value) -> TestResult<Value> {
    server.admin("POST", "/v1/rollback")?.json(json!({ "to": to }).to_string()).send().await?.expect(200)
}

/// The active version of a handler.
async fn active(server: &TestServer, handler: &str) -> TestResult<String> {
    let status = asked(server, "/v1/status").await?;
    Ok(status["handlers"][handler]["version"].as_str().unwrap().to_owned())
}

/// Whether the shouting events handler answers.
async fn shouts(server: &TestServer) -> TestResult<bool> {
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    Ok(ann.next_message().await?["message"] == "HI")
}

/// Sets `announce` of the events handler, which makes one more version of it.
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
async fn repeated_rollbacks_step_further_back() -> TestResult {
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
async fn a_rollback_to_a_version_leaves_the_other_handlers_alone() -> TestResult {
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
async fn a_restart_keeps_the_active_release() -> TestResult {
    let mut server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 2);
    // The rollback is still possible.
    roll_back(&server, &Value::Null).await?;
    server.restart().await?;
    assert!(!shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_start_needs_no_files_once_versions_are_stored() -> TestResult {
    let mut server = operated().await?;
    let before = server.startup().split(" rooms=").nth(1).unwrap().split(" admin=").next().unwrap().to_owned();
    fs::remove_dir_all(server.handlers())?;
    server.restart().await?;
    assert!(server.startup().contains(&before), "{}", server.startup());
    Ok(())
}

#[tokio::test]
async fn a_file_that_changed_while_the_server_was_down_is_deployed_at_its_start() -> TestResult {
    let mut server = operated().await?;
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let relaying = active(&server, "messages").await?;
    handlers::place(&server.handlers(), "events", b"half a file")?;
    server.restart().await?;
    server.wait_for_log("rejected, keeping").await?;
    fs::write(server.handlers().join("events.wasm"), handlers::read(&guest("shouting_events"))?)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    assert_eq!(active(&server, "messages").await?, relaying);
    let history = asked(&server, "/v1/releases?limit=1").await?;
    assert_eq!((&history[0]["who"], &history[0]["how"]), (&json!("directory"), &json!("directory")));
    Ok(())
}

#[tokio::test]
async fn a_sighup_does_not_undo_a_deploy() -> TestResult {
    let server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.signal("HUP")?;
    // The swap of another handler shows that the watcher has looked since.
    server.deploy("messages", guest("relaying_messages")).await?;
    assert!(shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn files_pass_the_admission_checks_and_appear_in_the_history() -> TestResult {
    let server = operated().await?;
    server.deploy("events", guest("shouting_events")).await?;
    server.deploy_rejected("messages", &handlers::read(&guest("needy"))?).await?;
    let history = asked(&server, "/v1/releases").await?;
    let rows: Vec<_> = history.as_array().unwrap().iter().map(|row| [&row["how"], &row["outcome"]]).collect();
    let named = |how: &str, outcome: &str| [json!(how), json!(outcome)];
    let expected = [named("directory", "refused"), named("directory", "active"), named("first", "replaced")];
    assert_eq!(json!(rows), json!(expected));
    assert!(history[0]["detail"].as_str().unwrap().contains("example:missing/one"), "{history}");
    Ok(())
}

#[tokio::test]
async fn only_the_latest_versions_are_kept() -> TestResult {
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

/// Damages the stored bytes of a version, as a failing disk would.
fn spoil(server: &TestServer, version: &str) -> TestResult {
    let this = format!("sha256 = (SELECT component FROM version WHERE id = '{version}')");
    server.meddle(&format!("UPDATE component SET wasm = substr(wasm, 1, 1000) WHERE {this}"))?;
    assert_eq!(server.stored()?.number(&format!("SELECT length(wasm) FROM component WHERE {this}"))?, 1_000);
    Ok(())
}

#[tokio::test]
async fn a_broken_version_falls_back_to_the_release_before_it() -> TestResult {
    let mut server = operated().await?;
    let first = active(&server, "events").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    spoil(&server, &active(&server, "events").await?)?;
    server.restart().await?;
    let line = server.wait_for_log("is broken, looking for an earlier one").await?;
    assert!(line.contains("release=2") && line.contains("events"), "{line}");
    assert_eq!(active(&server, "events").await?, first);
    let history = asked(&server, "/v1/releases").await?;
    assert_eq!((&history[0]["how"], &history[0]["back_to"]), (&json!("fallback"), &json!(1)));
    assert_eq!(history[1]["outcome"], "broken");
    // Another deploy of the same bytes repairs it.
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    server.restart().await?;
    assert!(shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_store_without_a_good_release_falls_back_to_the_files() -> TestResult {
    let mut server = operated().await?;
    spoil(&server, &active(&server, "events").await?)?;
    server.restart().await?;
    server.wait_for_log("is broken, looking for an earlier one").await?;
    assert!(!shouts(&server).await?);
    Ok(())
}

#[tokio::test]
async fn a_blocked_version_is_rejected_unless_forced() -> TestResult {
    let mut server = operated().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let shouting = active(&server, "events").await?;
    roll_back(&server, &Value::Null).await?;
    let sql = format!("INSERT INTO bad_version (id, evidence, marked_at) VALUES ('{shouting}', 'it trapped', 0)");
    server.meddle(&sql)?;
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

/// Two releases that differ in two handlers, which are deployed in turn.
struct Pair {
    /// How the startup line shows each.
    shown: Vec<String>,
    /// The request that deploys each.
    bodies: Vec<Value>,
    /// The duration of the second deploy.
    took: Duration,
}

impl Pair {
    /// Deploys one after the other.
    async fn deploy(server: &TestServer) -> TestResult<Self> {
        let mut pair = Self { shown: Vec::new(), bodies: Vec::new(), took: Duration::ZERO };
        let files =
            [(standard("messages"), standard("events")), (guest("relaying_messages"), guest("shouting_events"))];
        for (messages, events) in files {
            let encoded = |file| Ok::<_, anyhow::Error>(data_encoding::BASE64.encode(&handlers::read(file)?));
            let (messages, events) = (encoded(&messages)?, encoded(&events)?);
            pair.bodies.push(json!({"messages": {"component": messages}, "events": {"component": events}}));
            let begun = Instant::now();
            let answer = pair.request(server, pair.bodies.len() - 1, "the first time")?.send().await?.expect(200)?;
            pair.took = begun.elapsed();
            let short = |handler: &str| answer["versions"][handler].as_str().unwrap().get(..12).unwrap().to_owned();
            pair.shown.push(format!("messages={} events={}", short("messages"), short("events")));
        }
        Ok(pair)
    }

    /// The request that deploys one of the two.
    fn request(&self, server: &TestServer, which: usize, reason: &str) -> TestResult<Request> {
        let mut body = self.bodies[which].clone();
        body["reason"] = json!(reason);
        Ok(server.admin("POST", "/v1/releases")?.json(body.to_string()))
    }

    /// Which of the two is active after a kill and a start.
    async fn active_after_a_kill(&self, server: &mut TestServer) -> TestResult<usize> {
        server.restart().await?;
        let line = server.startup();
        let found = self.shown.iter().position(|shown| line.contains(shown.as_str()));
        assert_eq!(asked(server, "/v1/status").await?["ready"], true);
        Ok(found.unwrap_or_else(|| panic!("a mixture after a kill: {line}")))
    }
}

/// `KILL_ROUNDS=200 cargo test … a_kill_at_any_moment` for more rounds.
#[tokio::test]
async fn a_kill_at_any_moment_of_a_deploy_leaves_a_whole_release() -> TestResult {
    let rounds: u32 = env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(15);
    let mut server = operated().await?;
    let pair = Pair::deploy(&server).await?;
    let (mut chance, mut active, mut answered) = (Chance::new(11), 1, 0);
    for _ in 0..rounds {
        let next = 1 - active;
        let moment = pair.took.mul_f64(1.2 * chance.below(1_000) as f64 / 1_000.0);
        let deploy = pair.request(&server, next, "again")?.send();
        let heard = matches!(tokio::time::timeout(moment, deploy).await, Ok(Ok(answer)) if answer.status == 200);
        active = pair.active_after_a_kill(&mut server).await?;
        assert!(!heard || active == next, "the answer said otherwise");
        answered += u32::from(heard);
    }
    assert!(answered < rounds, "no kill came before the answer");
    Ok(())
}

#[tokio::test]
async fn a_kill_while_a_deploy_waits_for_the_disk_leaves_a_whole_release() -> TestResult {
    let slow = Plan::default().sync_us(100_000);
    let mut server = on_test_disk(&slow).start().await?;
    let pair = Pair::deploy(&server).await?;
    let log = server.database_file().with_extension("db-wal");
    let (mut active, mut waited, mut stored) = (1, 0, 0);
    for round in 0..40 {
        let (next, reason) = (1 - active, format!("round {round} of the deploys"));
        let written = until("the release in the log", async || {
            let log = fs::read(&log).ok()?;
            log.windows(reason.len()).any(|window| window == reason.as_bytes()).then_some(())
        });
        // On a busy machine the answer may come first.
        let answered = tokio::select! {
            answer = pair.request(&server, next, &reason)?.send() => answer?.expect(200).map(|_| true)?,
            written = written => written.map(|()| false)?,
        };
        active = pair.active_after_a_kill(&mut server).await?;
        assert!(!answered || active == next, "the answer said otherwise");
        waited += u32::from(!answered);
        stored += u32::from(!answered && active == next);
        if waited >= 4 && stored > 0 {
            return Ok(());
        }
    }
    panic!("{waited} kills came while a deploy waited, and {stored} of those found it stored");
}

#[tokio::test]
async fn a_release_that_cannot_be_recorded_does_not_become_active() -> TestResult {
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
async fn simultaneous_deploys_become_one_release_after_another() -> TestResult {
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
