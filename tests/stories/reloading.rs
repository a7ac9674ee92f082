//! Reading the configuration again: what changes while the server runs, what needs a restart, and what changes nothing.

use std::fs;

use ondol_tests::{NEVER_MS, TestResult, TestServer, command::Output, guest, ondol, prometheus::Metrics, until};
use serde_json::{Value, json};

/// Changes the config file.
fn write(server: &TestServer, config: &str) -> TestResult {
    Ok(fs::write(server.config_file(), config)?)
}

/// Changes the config file and has it read again.
async fn reload(server: &TestServer, config: &str) -> TestResult<Value> {
    write(server, config)?;
    server.admin("POST", "/v1/reload")?.send().await?.expect(200)
}

/// The same by the command.
fn command(server: &TestServer, config: &str) -> TestResult<Output> {
    write(server, config)?;
    ondol(&["handlers", "reload", "--admin", server.admin_address()?])
}

async fn status(server: &TestServer) -> TestResult<Value> {
    server.admin("GET", "/v1/status")?.send().await?.expect(200)
}

#[tokio::test]
async fn a_hang_up_changes_the_log() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    write(&server, "log = 'debug'\n[limits]\ndrain_ms = 0\n")?;
    server.signal("HUP")?;
    server.wait_for_log("configuration reloaded: changed log").await?;
    server
        .admin("PUT", "/v1/handlers/messages/settings")?
        .json(r#"{"text_length_max": 7}"#)
        .send()
        .await?
        .expect(200)?;
    server.wait_for_log("is being prepared").await?;
    Ok(())
}

#[tokio::test]
async fn settings_are_deployed_by_the_config_and_through_the_checks() -> TestResult {
    let server = TestServer::setup().admin().limit("probation_ms", 0).start().await?;
    let limits = "[limits]\ndrain_ms = 0\nprobation_ms = 0\n";
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let short = format!("{limits}[settings.messages]\ntext_length_max = 5\n");
    command(&server, &short)?.expect_parts(0, &["settings.messages.text_length_max: changed"])?;
    ann.say("too long").await?;
    ann.expect_error("too_long").await?;
    let history = server.admin("GET", "/v1/releases?limit=1")?.send().await?.expect(200)?;
    let shown = history.to_string();
    assert!(shown.contains("the config has changed") && shown.contains("\"directory\""), "{shown}");

    let wrong = format!("{limits}[settings.messages]\ntext_length_max = 'many'\n");
    for _ in 0..2 {
        command(&server, &wrong)?.expect_parts(1, &["settings.messages: rejected", "text_length_max"])?;
    }
    ann.say("short").await?;
    ann.expect_message("short").await?;
    command(&server, &short)?.expect_parts(0, &["nothing has changed"])?;
    command(&server, limits)?.expect_parts(0, &["settings.messages.text_length_max: changed"])?;
    ann.say("long enough").await?;
    ann.expect_message("long enough").await?;
    Ok(())
}

#[tokio::test]
async fn requests_and_sockets_from_then_on_have_the_new_values() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut before = server.join(room, "ann").await?;
    let config = "origins = ['https://chat.example.com']\nimg_src = ['self']\npublic_url = 'https://chat.example.com'\n\
                  [limits]\ndrain_ms = 0\nframe_bytes_max = '100B'\nheader_bytes_max = '8KiB'\nmessages_page_max = 1\n";
    let answer = reload(&server, config).await?;
    let live = ["frame_bytes_max", "header_bytes_max", "messages_page_max"].map(|name| format!("limits.{name}"));
    let live: Vec<_> =
        ["img_src".into()].into_iter().chain(live).chain(["origins".into(), "public_url".into()]).collect();
    assert_eq!(answer, json!({ "live": live, "restart": [], "rejected": {} }));

    let page = server.get("/").await?;
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("img-src 'self';"), "{policy}");
    let foreign = server.request("GET", "/chat/v1/rooms/").header("Origin", "https://chat.example.com").send().await?;
    assert_eq!(foreign.header("access-control-allow-origin"), Some("https://chat.example.com"));
    let url = foreign.expect(200)?[0]["chat_url"].to_string();
    assert!(url.contains("chat.example.com"), "{url}");
    let large = server.request("GET", "/chat/v1/rooms/").header("X-Large", "x".repeat(9_000)).send().await?;
    large.expect(431)?;
    server.get(&format!("/chat/v1/room/{room}/messages/?limit=2")).await?.expect(400)?;

    let text = "x".repeat(200);
    before.say(&text).await?;
    before.expect_message(&text).await?;
    let mut after = server.join(room, "ben").await?;
    after.say(&text).await?;
    after.expect_close(1009).await?;
    Ok(())
}

#[tokio::test]
async fn rates_begin_anew_when_they_change() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let get = async || -> TestResult<_> {
        let request = server.request("GET", "/chat/v1/rooms/").header("X-Forwarded-For", "192.0.2.7");
        request.send().await
    };
    let rate = "requests_per_address_per_min = 1\nrequests_per_address_burst = 1\n";
    reload(&server, &format!("[limits]\ndrain_ms = 0\n{rate}")).await?;
    get().await?.expect(200)?;
    get().await?.expect(429)?;
    // Another change leaves the buckets as they are.
    reload(&server, &format!("heartbeats = true\n[limits]\ndrain_ms = 0\n{rate}")).await?;
    get().await?.expect(429)?;
    reload(&server, "[limits]\ndrain_ms = 0\n").await?;
    get().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_counted_on() -> TestResult {
    let frames = "frames_per_connection";
    let setup = TestServer::setup().admin().limit(&format!("{frames}_per_min"), 1).limit(&format!("{frames}_burst"), 1);
    let server = setup.start().await?;
    let refused = async || {
        Metrics::of(&server).await.map(|metrics| {
            metrics.value(&format!("ondol_rate_limited_total{{rate=\"{frames}_per_min\"}}")).unwrap_or_default()
        })
    };
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("first").await?;
    ann.say("too fast").await?;
    ann.expect_error("rate_limited").await?;
    let first = refused().await?;
    assert!(first >= 1.0, "{first}");

    let faster = "[limits]\ndrain_ms = 0\n";
    reload(&server, faster).await?;
    assert!(refused().await? >= first, "a counter never falls");
    // A socket that is open has the bucket that it began with.
    ann.say("still too fast").await?;
    let more = until("one more", async || refused().await.ok().filter(|more| *more > first)).await?;
    reload(&server, &format!("{faster}{frames}_per_min = 0\n")).await?;
    assert!(refused().await? >= more, "not even when the rate is off");
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_has_the_new_limits() -> TestResult {
    let server = TestServer::setup().admin().limit("header_bytes_max", 8_192).start().await?;
    reload(&server, "[limits]\ndrain_ms = 0\nheader_bytes_max = '64KiB'\n").await?;
    server.admin("GET", "/v1/status")?.header("X-Large", "x".repeat(50_000)).send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_next_deploy_has_the_new_probation() -> TestResult {
    let server = TestServer::setup().admin().limit("probation_ms", 0).start().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!(status(&server).await?["probation"], Value::Null);
    reload(&server, "[limits]\ndrain_ms = 0\nprobation_ms = '1h'\n").await?;
    let session = server.admin("GET", "/console/session")?.header("Sec-Fetch-Site", "same-origin").send().await?;
    assert_eq!(session.expect(200)?["probation_ms"], 3_600_000, "what the console says before a deploy");
    let put = server.admin("PUT", "/v1/handlers/messages/settings")?.json(r#"{"text_length_max": 7}"#).send().await?;
    assert!(put.expect(200)?["probation"].is_object(), "it has no probation");
    Ok(())
}

#[tokio::test]
async fn the_end_has_the_new_times() -> TestResult {
    let setup = TestServer::setup().admin().limit("close_ms_max", NEVER_MS).limit("shutdown_grace_ms", NEVER_MS);
    let mut server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut stubborn = server.raw().await?;
    stubborn.upgrade(room, "stubborn").await?;
    let config = format!("[limits]\ndrain_ms = '2ms'\nclose_ms_max = {NEVER_MS}\nshutdown_grace_ms = '0.2s'\n");
    reload(&server, &config).await?;
    server.signal("TERM")?;
    server.wait_for_log("draining: not ready, and accepting connections for another 1 ms").await?;
    assert_eq!(server.exit().await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn what_needs_a_restart_is_named_each_time_and_no_secret_is_shown() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let config = "admin_token = 'four8fifteen'\nsynchronous = 'normal'\nidentity = { leeway_s = 9 }\n\
                  failure = { messages = 'default' }\n[limits]\ndrain_ms = 0\nroom_inbox_max = 7\n\
                  [limits.events]\nhandler_deadline_ms = '50ms'\n";
    let names = [
        "admin_token",
        "failure.messages",
        "identity.leeway_s",
        "limits.events.handler_deadline_ms",
        "limits.room_inbox_max",
        "synchronous",
    ];
    for _ in 0..2 {
        assert_eq!(reload(&server, config).await?, json!({ "live": [], "restart": names, "rejected": {} }));
    }
    for name in names {
        server.wait_for_log(&format!("configuration reloaded: {name}: needs a restart")).await?;
    }
    command(&server, config)?.expect_parts(0, &["admin_token: needs a restart\n", "synchronous: needs a restart\n"])?;
    let lines = server.log().since(0);
    assert!(!lines.iter().any(|line| line.contains("four8fifteen")), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_reload_that_fails_half_way_changes_nothing() -> TestResult {
    let server = TestServer::setup().admin().limit("probation_ms", 0).start().await?;
    let config = "img_src = ['self']\n[limits]\ndrain_ms = 0\nprobation_ms = '1h'\n";
    let policy = async || -> TestResult<_> {
        Ok(server.get("/").await?.header("content-security-policy").unwrap_or_default().to_owned())
    };
    let before = policy().await?;
    // The settings that the directory has brought cannot be read.
    server.meddle("ALTER TABLE directory RENAME TO elsewhere")?;
    write(&server, config)?;
    server.admin("POST", "/v1/reload")?.send().await?.expect_detail(422, "configuration")?;
    server.wait_for_log("nothing is changed").await?;
    server.meddle("ALTER TABLE elsewhere RENAME TO directory")?;
    assert_eq!(policy().await?, before);
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!(status(&server).await?["probation"], Value::Null);

    let live = json!(["img_src", "limits.probation_ms"]);
    assert_eq!(reload(&server, config).await?["live"], live);
    assert_ne!(policy().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_all_that_is_wrong() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let wrong = command(&server, "log = 'debug'\nlisten = 7\n[limits]\nframe_bytes_max = '64KB'\nunknown = 1\n")?;
    let problems = ["`listen` takes an address", "write \"64KiB\" or 64000", "unknown setting `limits.unknown`"];
    wrong.expect_parts(1, &problems)?;
    for problem in problems {
        server.wait_for_log(problem).await?;
    }
    command(&server, "log = ")?.expect_parts(1, &["not TOML"])?;
    // The running server listens here only, and trusts this machine: a part of a file must not change that by halves.
    let halves = "origins = ['*']\nidentity = { cookie = 'c', mode = 'jwt', jwks = 'keys.json' }\n";
    command(&server, halves)?.expect_parts(1, &["a page of any site could act as its visitor"])?;
    fs::remove_file(server.config_file())?;
    let gone = server.admin("POST", "/v1/reload")?.send().await?;
    assert!(gone.expect_detail(422, "configuration")?.contains("cannot read the file"), "{gone}");
    // SIGHUP still looks at the directory.
    server.signal("HUP")?;
    until("a line", async || server.log().since(0).iter().rfind(|line| line.contains("nothing is changed")).cloned())
        .await?;
    assert!(!server.log().since(0).iter().any(|line| line.contains("configuration reloaded")));
    Ok(())
}
