//! OpenTelemetry: spans of requests, frames, handler calls and commits reach a collector, and a collector that is gone, slow or
//! broken costs nothing.

use ondol_tests::{
    Client, Collector, Knock, Manner, Setup, TestResult, TestServer, User, collector::Seen, guest, ondol, until,
};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{CALLER}-0{}", u8::from(sampled))
}

/// A server whose spans go to this address.
fn tracing(address: &str) -> Setup {
    TestServer::setup().config(&format!("otlp = \"http://{address}\""))
}

/// Posts a message, with the header of a caller if there is one.
async fn post(server: &TestServer, room: u64, text: &str, traceparent: Option<String>) -> TestResult<u16> {
    let body = json!({"room": room, "message": text}).to_string();
    let request = server.request("POST", "/chat/v1/message/").identity("ann").json(body);
    let request = traceparent.iter().fold(request, |request, it| request.header("traceparent", it));
    Ok(request.send().await?.status)
}

async fn join_traced(server: &TestServer, room: u64, name: &str) -> TestResult<Client> {
    let target = format!("/ws/chat/{room}/chat/?{}", User::named(name).query());
    match server.knock(&target, &[("traceparent", &traceparent(true))]).await? {
        Knock::In(client) => Ok(*client),
        Knock::Out(answer) => anyhow::bail!("kept out: {answer}"),
    }
}

/// The parts of a span, by name, in the order of their beginnings.
fn parts(spans: &[Seen], of: &Seen) -> Vec<Seen> {
    let mut parts: Vec<_> = spans.iter().filter(|span| span.parent == of.id).cloned().collect();
    parts.sort_by_key(|span| span.times);
    parts
}

#[tokio::test]
async fn a_request_that_its_caller_exports_leaves_a_tree_of_spans() -> TestResult {
    let collector = Collector::start(Manner::Takes).await?;
    let server = tracing(collector.address()).start().await?;
    let room = server.create_room("lobby").await?;
    assert_eq!(post(&server, room, "hello", Some(traceparent(true))).await?, 201);
    let request = collector.span("the request", |span| span.name == "POST /chat/v1/message").await?;
    assert_eq!((request.trace.as_str(), request.parent.as_str(), request.is_server), (TRACE, CALLER, true));
    let field = |name: &str| request.fields.get(name).map(String::as_str);
    assert_eq!((field("http.route"), field("http.response.status_code")), (Some("/chat/v1/message"), Some("201")));
    assert_eq!(request.error, None);

    let spans = collector.spans()?;
    let parts = parts(&spans, &request);
    let names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["messages.receive", "events.message", "commit"]);
    for part in &parts {
        assert!(part.trace == TRACE && !part.is_server && part.times.0 <= part.times.1, "{part:?}");
        assert!(request.times.0 <= part.times.0 && part.times.1 <= request.times.1, "{part:?} in {request:?}");
    }
    let call = &parts[0].fields;
    assert_eq!((call["ondol.handler"].as_str(), call["ondol.outcome"].as_str()), ("messages", "answered"));
    assert_eq!((call["ondol.version"].len(), call["ondol.room"].as_str()), (12, "1"));
    assert!(collector.requests().iter().all(|(target, _)| target == "post /v1/traces http/1.1"));
    assert_eq!(spans.len(), 4, "only what its caller exports: {spans:?}");
    Ok(())
}

#[tokio::test]
async fn a_failed_and_a_refused_call_say_so() -> TestResult {
    let collector = Collector::start(Manner::Takes).await?;
    let server = tracing(collector.address()).handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    assert_eq!(post(&server, room, "trap", Some(traceparent(true))).await?, 503);
    assert_eq!(post(&server, room, "", Some(traceparent(true))).await?, 400);
    let failed = collector.span("the failed request", |span| span.error.is_some() && span.is_server).await?;
    assert_eq!(
        (failed.error.as_deref(), failed.fields["error.type"].as_str()),
        (Some("handler_fault"), "handler_fault")
    );
    let fault = collector.span("the fault", |span| span.name == "events.message").await?;
    assert_eq!((fault.parent, fault.fields["ondol.outcome"].as_str()), (failed.id, "fault"));
    assert_eq!(fault.error.as_deref(), Some("handler_fault"));
    let refused = |span: &Seen| span.fields.get("ondol.outcome").is_some_and(|outcome| outcome == "refused");
    let refused = collector.span("the refused call", refused).await?;
    assert_eq!((refused.name.as_str(), refused.error), ("messages.receive", None), "a refusal is an answer");
    Ok(())
}

#[tokio::test]
async fn each_frame_of_a_socket_is_a_trace_that_is_linked_to_its_handshake() -> TestResult {
    let collector = Collector::start(Manner::Takes).await?;
    let server = tracing(collector.address()).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = join_traced(&server, room, "ann").await?;
    for text in ["one", "two"] {
        ann.say(text).await?;
        ann.expect_message(text).await?;
    }
    let handshake = collector.span("the handshake", |span| span.name == "GET /ws/chat/{id}/chat").await?;
    assert_eq!((handshake.trace.as_str(), handshake.fields["http.response.status_code"].as_str()), (TRACE, "101"));
    let frames = until("the spans of both frames", async || {
        let frames: Vec<_> = collector.spans().ok()?.into_iter().filter(|span| span.name == "frame").collect();
        (frames.len() == 2).then_some(frames)
    });
    let frames = frames.await?;
    assert!(frames[0].trace != frames[1].trace && frames.iter().all(|frame| frame.trace != TRACE), "{frames:?}");
    for frame in frames {
        assert_eq!(frame.links, [(TRACE.to_owned(), handshake.id.clone())]);
        assert!(frame.parent.is_empty() && frame.is_server && frame.fields["ondol.room"] == "1", "{frame:?}");
        let names: Vec<_> = parts(&collector.spans()?, &frame).iter().map(|span| span.name.clone()).collect();
        assert_eq!(names, ["messages.receive", "events.message", "commit"]);
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_exported_unless_the_operator_and_the_caller_want_it() -> TestResult {
    let collector = Collector::start(Manner::Takes).await?;
    let off = TestServer::start().await?;
    let on = tracing(collector.address()).start().await?;
    for server in [&off, &on] {
        let room = server.create_room("lobby").await?;
        for traceparent in [None, Some(traceparent(false))] {
            assert_eq!(post(server, room, "hello", traceparent).await?, 201);
        }
    }
    post(&off, 1, "exported by its caller", Some(traceparent(true))).await?;
    for mut server in [off, on] {
        server.signal("INT")?;
        server.exit().await?;
    }
    assert_eq!(collector.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn a_share_of_requests_without_a_trace_is_exported_and_what_waits_is_sent_at_a_stop() -> TestResult {
    let collector = Collector::start(Manner::Takes).await?;
    let mut server = tracing(collector.address()).config("otlp_sample_percent = 100").start().await?;
    server.create_room("lobby").await?;
    assert_eq!(post(&server, 1, "not exported", Some(traceparent(false))).await?, 201);
    server.signal("INT")?;
    server.exit().await?;
    let spans = collector.spans()?;
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).map(|span| span.name.as_str()).collect();
    assert_eq!(roots, ["POST /chat/v1/create-room"]);
    assert!(spans.iter().all(|span| span.trace == spans[0].trace && span.trace != TRACE), "{spans:?}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_hangs_delays_no_delivery_and_no_stop() -> TestResult {
    let collector = Collector::start(Manner::Hangs).await?;
    let mut server = tracing(collector.address()).without_rate_limits().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = join_traced(&server, room, "ann").await?;
    // More spans than may wait: four for each message.
    for number in 0..1_500 {
        let text = number.to_string();
        ann.say(&text).await?;
        ann.expect_message(&text).await?;
    }
    until("a request to the collector", async || (!collector.requests().is_empty()).then_some(())).await?;
    server.signal("INT")?;
    assert!(server.exit().await?.success());
    server.wait_for_log("did not take the last spans").await?;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_fails_is_told_of_once_and_is_used_again_when_it_is_back() -> TestResult {
    let failing = Collector::start(Manner::Fails(500)).await?;
    let address = failing.address().to_owned();
    let server = tracing(&address).start().await?;
    let room = server.create_room("lobby").await?;
    post(&server, room, "one", Some(traceparent(true))).await?;
    let line = server.wait_for_log("did not reach the OpenTelemetry collector").await?;
    assert!(line.contains("it answers 500"), "{line}");
    drop(failing);
    for number in 0..3 {
        post(&server, room, &number.to_string(), Some(traceparent(true))).await?;
    }
    let back = until("the collector's port", async || Collector::at(&address, Manner::Takes).await.ok()).await?;
    until("a span after its return", async || {
        post(&server, room, "again", Some(traceparent(true))).await.ok()?;
        back.spans().ok().filter(|spans| !spans.is_empty())
    })
    .await?;
    let warnings = server.log().since(0).iter().filter(|line| line.contains("OpenTelemetry")).count();
    assert_eq!(warnings, 1, "one a minute");
    Ok(())
}

#[tokio::test]
async fn check_reads_the_collectors_address() -> TestResult {
    let home = tempfile::tempdir()?;
    let file = home.path().join("ondol.toml");
    let check = |line: &str| -> TestResult<_> {
        std::fs::write(&file, line)?;
        ondol(&[
            "check",
            "--config",
            &file.display().to_string(),
            "--handlers",
            "none",
            "--data",
            &home.path().display().to_string(),
        ])
    };
    check("otlp = 'http://127.0.0.1:4318'")?.expect_parts(1, &["fine   otlp: spans go to http://127.0.0.1:4318/"])?;
    for wrong in ["'127.0.0.1:4318'", "'http://user:secret@host'", "'http://host/?token=secret'", "'grpc://host'"] {
        check(&format!("otlp = {wrong}"))?.expect_parts(1, &["`otlp` takes the address of a collector"])?;
    }
    check("otlp_sample_percent = 101")?.expect_parts(1, &["`otlp_sample_percent` takes a whole number from 0 to 100"])
}
