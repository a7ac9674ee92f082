//! Metrics: exact numbers, bounded labels, and who may read them. `metrics/prometheus` has the tools of Prometheus.

mod prometheus;

use futures_util::future::try_join_all;
use ondol_tests::{Client, TestResult, TestServer, User, guest, ondol, prometheus::Metrics, until};
use serde_json::json;

/// Asks for metrics until `is_so`: what is counted after an answer may come a moment after it.
async fn metrics_where(
    server: &TestServer,
    what: &str,
    mut is_so: impl FnMut(&Metrics) -> bool,
) -> TestResult<Metrics> {
    until(format!("metrics with {what}"), async || Metrics::of(server).await.ok().filter(|metrics| is_so(metrics)))
        .await
}

/// Says something to a room of these members, and all hear it.
async fn say_to_all(members: &mut [Client], text: &str) -> TestResult {
    members[0].say(text).await?;
    for member in members {
        member.expect_message(text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn numbers_are_those_of_what_happened() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut members = Vec::new();
    for name in ["ann", "ben", "cid"] {
        members.push(server.join(room, name).await?);
    }
    for number in 0..40 {
        say_to_all(&mut members, &format!("{number}")).await?;
    }
    for _ in 0..7 {
        members[1].say("").await?;
        members[1].expect_error("blank").await?;
    }
    server.request("POST", "/chat/v1/message/").identity("ann").json(json!({"room": room}).to_string()).send().await?;

    let metrics = metrics_where(&server, "all deliveries", |metrics| {
        metrics.value("ondol_messages_delivered_total") == Some(120.0)
    })
    .await?;
    let values = [
        ("ondol_ready", 1.0),
        ("ondol_rooms", 1.0),
        ("ondol_room_members", 3.0),
        ("ondol_connections{kind=\"websocket\"}", 3.0),
        ("ondol_websockets_opened_total", 3.0),
        ("ondol_messages_accepted_total", 40.0),
        ("ondol_messages_stored_total", 40.0),
        ("ondol_commit_messages_sum", 40.0),
        ("ondol_messages_refused_total{code=\"blank\"}", 7.0),
        ("ondol_messages_refused_total{code=\"busy\"}", 0.0),
        ("ondol_outbox_bytes", 0.0),
        ("ondol_release", 1.0),
        ("ondol_commit_failures_total", 0.0),
    ];
    for (series, value) in values {
        assert_eq!(metrics.value(series), Some(value), "{series}");
    }
    // Frames and one body; an event for each message and refusal of a frame, and for three joins.
    let calls = |handler: &str| metrics.sum("ondol_handler_call_seconds_count", &format!("handler=\"{handler}\""));
    assert_eq!([calls("rooms"), calls("messages"), calls("events")], [1.0, 48.0, 40.0 + 7.0 + 3.0]);
    assert_eq!(metrics.sum("ondol_handler_faults_total", ""), 0.0);

    members.pop().expect("three").leave().await?;
    metrics_where(&server, "one who left", |metrics| {
        metrics.value("ondol_room_members") == Some(2.0)
            && metrics.value("ondol_websockets_closed_total{reason=\"client\"}") == Some(1.0)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn deliveries_of_a_large_room_count_once_each() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("hall").await?;
    let mut members = Vec::new();
    // In a room as large as this, speakers hear their own messages before the others do.
    for number in 0..150 {
        members.push(server.join(room, format!("member {number}").as_str()).await?);
    }
    for speaker in members.iter_mut().take(10) {
        for number in 0..20 {
            speaker.say(&format!("{number}")).await?;
        }
    }
    try_join_all(members.iter_mut().map(async |member| {
        for _ in 0..200 {
            member.next_message().await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    metrics_where(&server, "30,000 deliveries", |metrics| {
        metrics.value("ondol_messages_delivered_total") == Some(150.0 * 200.0)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_failing_version_is_told_from_the_one_that_answers_for_it() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let before = server.admin("GET", "/v1/status")?.send().await?.expect(200)?["handlers"]["events"]["version"].clone();
    let before = before.as_str().expect("a version")[..12].to_owned();
    server.upload("events", guest("trapping_events")).await?.expect(200)?;
    let failed = until("a rollback", async || {
        ann.say("trap").await.ok()?;
        ann.expect_message("trap").await.ok()?;
        let metrics = Metrics::of(&server).await.ok()?;
        (metrics.value("ondol_rollbacks_total{cause=\"probation\"}") == Some(1.0)).then_some(metrics)
    })
    .await?;
    let faults = failed.with("ondol_handler_faults_total", "handler=\"events\"");
    let failing: Vec<_> = faults.iter().filter(|(_, number)| *number > 0.0).collect();
    assert!(failing.len() == 1 && !failing[0].0.contains(&before), "{faults:?}");
    assert_eq!(failed.value("ondol_probations_total{outcome=\"failed\"}"), Some(1.0));
    assert_eq!(failed.value("ondol_versions_blocked"), Some(1.0));
    assert_eq!(failed.value("ondol_release"), Some(3.0));
    let active = format!("ondol_handler_version_info{{handler=\"events\",version=\"{before}\",role=\"active\"}}");
    assert_eq!(failed.value(&active), Some(1.0));
    Ok(())
}

#[tokio::test]
async fn the_number_of_series_is_bounded_whatever_is_deployed_and_refused() -> TestResult {
    let setup = TestServer::setup().admin().without_rate_limits().limit("probation_ms", 0);
    let server = setup.handler("messages", guest("inventive_messages")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for version in 0..20 {
        let settings = json!({ "text_length_max": 100 + version }).to_string();
        server.admin("PUT", "/v1/handlers/messages/settings")?.json(settings).send().await?.expect(200)?;
        for number in 0..5 {
            let code = format!("invented_{version}_{number}");
            ann.send(format!("refuse {code}")).await?;
            ann.expect_error(&code).await?;
        }
    }
    let metrics = Metrics::of(&server).await?;
    assert!(metrics.series() < 1_000, "{} series", metrics.series());
    let codes = metrics.with("ondol_messages_refused_total", "");
    assert_eq!(codes.len(), 5 + 32 + 1, "{codes:?}");
    assert_eq!(metrics.value("ondol_messages_refused_total{code=\"other\"}"), Some(100.0 - 32.0));
    let calls = metrics.with("ondol_handler_call_seconds_count", "handler=\"messages\"");
    assert_eq!(calls.len(), 8 + 2, "{calls:?}");
    assert_eq!(metrics.sum("ondol_handler_call_seconds_count", "handler=\"messages\""), 100.0);
    assert_eq!(metrics.sum("ondol_swaps_total", "trigger=\"deploy\""), 20.0);
    Ok(())
}

#[tokio::test]
async fn no_metric_says_who_talks_where() -> TestResult {
    let server = TestServer::setup().admin().handler("messages", guest("inventive_messages")).start().await?;
    let secret = User {
        id: "minji-id".to_owned(),
        nickname: "minji-name".to_owned(),
        email: "minji-mail@example.com".to_owned(),
        picture: None,
    };
    let room = server.create_room("minji-room").await?;
    let mut ann = server.join(room, secret).await?;
    ann.say("minji-text").await?;
    ann.expect_message("minji-text").await?;
    for code in ["minji-mail@example.com", "Minji", "minji code"] {
        ann.send(format!("refuse {code}")).await?;
        ann.expect_error(code).await?;
    }
    let metrics = Metrics::of(&server).await?;
    assert_eq!(metrics.value("ondol_messages_refused_total{code=\"other\"}"), Some(3.0));
    let text = metrics.text().to_lowercase();
    assert!(!text.contains("minji") && !text.contains("127.0.0.1") && !text.contains("example"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_asks_for_its_token() -> TestResult {
    let server = TestServer::setup().admin().env("ONDOL_ADMIN_TOKEN", "secret").start().await?;
    let ask = |token: &'static str| {
        let request = server.admin("GET", "/metrics")?;
        Ok::<_, anyhow::Error>(if token.is_empty() { request } else { request.header("Authorization", token) })
    };
    assert_eq!(ask("")?.send().await?.status, 401);
    assert_eq!(ask("Bearer wrong")?.send().await?.status, 401);
    let answer = ask("Bearer secret")?.send().await?;
    assert_eq!(Metrics::read(&answer)?.value("ondol_ready"), Some(1.0));
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let open = ask("Bearer secret")?.header("Accept", "application/openmetrics-text;version=1.0.0").send().await?;
    let kind = open.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0") && open.text().ends_with("# EOF\n"));
    assert_eq!(server.get("/metrics").await?.status, 404, "clients of the chat do not reach them");
    Ok(())
}

#[tokio::test]
async fn a_listener_of_its_own_answers_nothing_else() -> TestResult {
    let server = TestServer::setup().flag("--metrics").flag("127.0.0.1:0").start().await?;
    let address = server.startup().split("metrics=http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.expect("an address").to_owned();
    let ask = |method: &str, target: &str| ondol_tests::Request::new(&address, method, target);
    let answer = ask("GET", "/metrics").send().await?;
    assert_eq!(Metrics::read(&answer)?.value("ondol_ready"), Some(1.0));
    assert!(answer.header("access-control-allow-origin").is_none());
    assert_eq!(ask("HEAD", "/metrics").send().await?.body, b"");
    assert_eq!(ask("POST", "/metrics").json("{}").send().await?.status, 405);
    for target in ["/", "/v1/status", "/metrics/x", "/chat/v1/rooms/"] {
        assert_eq!(ask("GET", target).send().await?.status, 404, "{target}");
    }
    let page = [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")];
    for (name, value) in page {
        assert_eq!(ask("GET", "/metrics").header(name, value).send().await?.status, 403, "{name}");
    }
    let mut rebound = ondol_tests::RawSocket::connect(&address).await?;
    rebound.send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").await?;
    assert_eq!(rebound.read_answer("GET").await?.status, 403);
    ondol(&["serve", "--metrics", "nowhere"])?.expect_parts(2, &["--metrics", "127.0.0.1:8002"])?;
    Ok(())
}
