//! The log: two forms of a line, one line for a request that went wrong, and the trace that a caller hands over.

use ondol_tests::{Answer, Client, Knock, Setup, TestResult, TestServer, User, guest, ondol, until};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The header of a caller that does not export its spans.
fn traceparent() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-00")
}

fn json_log(setup: Setup) -> Setup {
    setup.config("log_format = \"json\"")
}

/// The lines of the log as JSON, each of which is an object.
fn lines(server: &TestServer) -> TestResult<Vec<Value>> {
    server.log().since(0).iter().map(|line| Ok(serde_json::from_str::<Value>(line)?)).collect()
}

/// The lines about this request.
fn about<'a>(lines: &'a [Value], id: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["request_id"] == id).collect()
}

/// Waits until the server has written what it had to say so far. It logs at `debug`.
async fn settled(server: &TestServer) -> TestResult {
    server.request("GET", "/nowhere").header("X-Request-ID", "the-last-one").send().await?;
    server.wait_for_log("the-last-one").await?;
    Ok(())
}

#[tokio::test]
async fn each_line_is_a_json_object_whatever_a_handler_prints() -> TestResult {
    let server = json_log(TestServer::setup()).handler("events", guest("trapping_events")).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("print \"\\ 방").await?;
    ann.next_message().await?;
    ann.say("print and trap").await?;
    ann.expect_error("handler_fault").await?;
    server.wait_for_log("the trap that was asked for").await?;
    let lines = lines(&server)?;
    for line in &lines {
        let keys: Vec<_> = line.as_object().unwrap().keys().take(4).map(String::as_str).collect();
        assert_eq!(keys.len(), 4, "{line}");
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.len() == 27 && timestamp.ends_with('Z') && &timestamp[10..11] == "T", "{timestamp}");
    }
    let printed = lines.iter().find(|line| line["message"].to_string().contains("a line for stdout")).unwrap();
    assert_eq!((&printed["level"], &printed["handler"]), (&json!("INFO"), &json!("events")));
    let fault = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!((&fault["room"], &fault["function"]), (&json!(room), &json!("events.message")));
    Ok(())
}

#[tokio::test]
async fn lines_that_are_dropped_are_counted_in_json_too() -> TestResult {
    let setup = json_log(TestServer::setup().stalls_its_log()).limit("log_queue_max", 8).flag("--log").flag("debug");
    let mut server = setup.start().await?;
    for _ in 0..2_000 {
        server.get(&format!("/{}", "x".repeat(60))).await?.expect(404)?;
    }
    server.read_stalled_log()?;
    let line = server.wait_for_log("log lines were dropped").await?;
    let line: Value = serde_json::from_str(&line)?;
    assert!(line["dropped"].as_u64() > Some(0) && line["level"] == "WARN", "{line}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_went_wrong_has_one_line() -> TestResult {
    let setup = json_log(TestServer::setup()).handler("events", guest("trapping_events")).limit("body_ms_max", 300);
    let server = setup.flag("--log").flag("debug").start().await?;
    let room = server.create_room("lobby").await?;
    let post = |id: &str, body: &Value| {
        let request = server.request("POST", "/chat/v1/message/?secret=query").identity("ann").json(body.to_string());
        request.header("X-Request-ID", id).header("traceparent", traceparent())
    };
    post("fault", &json!({"room": room, "message": "trap"})).send().await?.expect(503)?;
    post("refused", &json!({"room": room, "message": ""})).send().await?.expect(400)?;
    post("stored", &json!({"room": room, "message": "fine"})).send().await?.expect(201)?;
    let unknown = server.request("BREW", "/chat/v1/room/17/messages/").header("X-Request-ID", "unknown");
    unknown.send().await?.expect(405)?;
    let mut slow = server.raw().await?;
    slow.send("POST /chat/v1/message/ HTTP/1.1\r\nHost: x\r\nX-Request-ID: slow\r\nContent-Length: 9\r\n\r\n").await?;
    slow.read_answer("POST").await?.expect(408)?;
    settled(&server).await?;

    let lines = lines(&server)?;
    let fault = about(&lines, "fault");
    let levels: Vec<_> = fault.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["ERROR", "WARN"], "the handler's fault, and the request: {fault:?}");
    let line = fault[1];
    let expected = json!({
        "method": "POST", "route": "/chat/v1/message", "status": 503, "code": "handler_fault", "trace_id": TRACE
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&line[field], value, "{field} in {line}");
    }
    assert!(line["duration_ms"].is_u64() && !line.to_string().contains("secret"), "{line}");

    let refused = about(&lines, "refused");
    assert_eq!((refused.len(), &refused[0]["level"], &refused[0]["status"]), (1, &json!("DEBUG"), &json!(400)));
    assert!(about(&lines, "stored").is_empty(), "nothing went wrong");
    let [unknown] = about(&lines, "unknown")[..] else { panic!("{lines:?}") };
    let (route, method) = (&unknown["route"], &unknown["method"]);
    assert_eq!((route, method), (&json!("/chat/v1/room/{id}/messages"), &json!("_OTHER")));
    assert_eq!(unknown["room"], 17);
    let [slow] = about(&lines, "slow")[..] else { panic!("{lines:?}") };
    assert_eq!((&slow["level"], &slow["code"]), (&json!("DEBUG"), &json!("timeout")));
    Ok(())
}

#[tokio::test]
async fn a_refused_websocket_has_one_line_in_either_style() -> TestResult {
    for style in ["http", "close"] {
        let setup = json_log(TestServer::setup()).limit("connections_per_user_max", 1).limit("probe_ms_max", 0);
        let server = setup.flag("--log").flag("debug").flag("--refusal").flag(style).start().await?;
        let room = server.create_room("lobby").await?;
        let _ann = server.join(room, "ann").await?;
        let target = format!("/ws/chat/{room}/chat/?{}", User::named("ann").query());
        for (id, target) in [("full", target.as_str()), ("nobody", "/ws/chat/1/chat/")] {
            server.knock(target, &[("X-Request-ID", id)]).await?;
        }
        settled(&server).await?;
        let lines = lines(&server)?;
        let [full] = about(&lines, "full")[..] else { panic!("{lines:?}") };
        assert_eq!((&full["level"], &full["status"], &full["room"]), (&json!("DEBUG"), &json!(503), &json!(room)));
        assert_eq!(full["close_code"], if style == "close" { json!(4008) } else { Value::Null });
        let [nobody] = about(&lines, "nobody")[..] else { panic!("{lines:?}") };
        let (level, status, code) = (&nobody["level"], &nobody["status"], &nobody["code"]);
        assert_eq!((level, status, code), (&json!("DEBUG"), &json!(401), &json!("not_authenticated")));
    }
    Ok(())
}

/// The status of the events handler's last fault, and the last line of the handlers' log.
async fn last_fault(server: &TestServer) -> TestResult<(Value, Value)> {
    let get = async |target: &str| -> TestResult<Answer> { server.admin("GET", target)?.send().await };
    let status = get("/v1/status").await?.expect(200)?;
    let logs = get("/v1/logs?lines=1000").await?.expect(200)?;
    let printed = logs["lines"]
        .as_array()
        .and_then(|lines| lines.iter().rfind(|line| line["text"].to_string().contains("a line for stdout")).cloned());
    Ok((status["handlers"]["events"]["faults"]["last"][0].clone(), printed.unwrap_or_default()))
}

#[tokio::test]
async fn a_trace_is_named_by_every_line_of_its_requests_and_frames() -> TestResult {
    for format in ["text", "json"] {
        let setup = TestServer::setup().admin().handler("events", guest("trapping_events"));
        let server = setup.flag("--log-format").flag(format).start().await?;
        let room = server.create_room("lobby").await?;
        let target = format!("/ws/chat/{room}/chat/?{}", User::named("ann").query());
        let mut bob = server.join(room, "bob").await?;
        let Knock::In(mut ann) = server.knock(&target, &[("traceparent", &traceparent())]).await? else {
            anyhow::bail!("kept out")
        };
        // Both speak at once, so that one carries on what the other said.
        let speak = async |client: &mut Client| -> TestResult {
            for _ in 0..50 {
                client.say("print and trap").await?;
            }
            for _ in 0..50 {
                until_fault(client).await?;
            }
            Ok(())
        };
        tokio::try_join!(speak(&mut ann), speak(&mut bob))?;
        let faults = until("all faults in the log", async || {
            let log = server.log().since(0);
            let faults: Vec<_> = log.iter().filter(|line| line.contains("failed in events.message")).cloned().collect();
            (faults.len() == 100).then_some(faults)
        });
        assert_eq!(faults.await?.iter().filter(|line| line.contains(TRACE)).count(), 50, "in {format}");

        let body = json!({"room": room, "message": "print and trap"}).to_string();
        let post = server.request("POST", "/chat/v1/message/").identity("ann").json(body);
        post.header("traceparent", traceparent()).send().await?.expect(503)?;
        let (fault, printed) = last_fault(&server).await?;
        assert_eq!((&fault["trace_id"], &printed["trace_id"]), (&json!(TRACE), &json!(TRACE)), "{fault} {printed}");
        for command in ["status", "logs"] {
            let shown = ondol(&["handlers", command, "--admin", server.admin_address()?])?;
            shown.expect_parts(0, &[&format!("trace {TRACE}")])?;
        }
    }
    Ok(())
}

/// Skips what others say.
async fn until_fault(client: &mut Client) -> TestResult {
    while client.next_json().await?["code"] != "handler_fault" {}
    Ok(())
}

#[tokio::test]
async fn a_traceparent_that_is_invalid_or_comes_twice_is_ignored() -> TestResult {
    let server = json_log(TestServer::setup()).flag("--log").flag("debug").start().await?;
    let span = "00f067aa0ba902b7";
    let upper = TRACE.to_uppercase();
    let invalid = [
        format!("ff-{TRACE}-{span}-01"),
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{upper}-{span}-01"),
        format!("00-{TRACE}-{span}-01-more"),
        "junk".to_owned(),
    ];
    for (id, given) in invalid.iter().enumerate() {
        let request = server.request("GET", "/nowhere").header("X-Request-ID", id.to_string());
        request.header("traceparent", given).send().await?.expect(404)?;
    }
    let twice = server.request("GET", "/nowhere").header("X-Request-ID", "twice");
    twice.header("traceparent", traceparent()).header("traceparent", traceparent()).send().await?.expect(404)?;
    let later = server.request("GET", "/nowhere").header("X-Request-ID", "later");
    later.header("traceparent", format!("cc-{TRACE}-{span}-01-more")).send().await?.expect(404)?;
    settled(&server).await?;
    let lines = lines(&server)?;
    for id in (0..invalid.len()).map(|id| id.to_string()).chain(["twice".to_owned()]) {
        let [line] = about(&lines, &id)[..] else { panic!("{id}: {lines:?}") };
        assert_eq!(line.get("trace_id"), None, "{line}");
    }
    assert_eq!(about(&lines, "later")[0]["trace_id"], TRACE);
    Ok(())
}
