//! Generated requests, frames and bytes at a running server: each has a documented answer, the server stays healthy, and what
//! it accepted is in the database as it was delivered. `make fuzz` runs more of them.

use std::future::Future;

use anyhow::{Context as _, bail, ensure};
use ondol_inputs::{
    body, corpus, frame, holds_for_a_server, misspelt,
    proptest::{prelude::*, sample::select, test_runner::TestCaseResult},
    text, value,
};
use ondol_tests::{Answer, Client, Frame, RawSocket, Request, Setup, TestResult, TestServer, http::ascii};
use serde_json::{Value, json};

/// The codes of refusals by the default handlers and, for them, by the host.
const REFUSALS: [&str; 14] = [
    "binary",
    "invalid_json",
    "not_an_object",
    "duplicate_key",
    "missing_type",
    "unknown_type",
    "wrong_type",
    "missing",
    "blank",
    "invalid",
    "too_long",
    "invalid_client_id",
    "invalid_parent",
    "parent_not_found",
];

/// The documented codes of each status.
fn codes(status: u16) -> Vec<&'static str> {
    match status {
        400 => {
            [&REFUSALS[..], &["parse_error", "required", "invalid_handshake", "invalid_host", "post_has_room"]].concat()
        }
        401 => vec!["not_authenticated"],
        403 => vec!["origin_not_allowed", "browser"],
        404 => vec!["not_found"],
        405 => vec!["method_not_allowed"],
        409 => vec!["conflict", "marked_bad", "overtaken", "broken"],
        413 => vec!["request_too_large"],
        414 => vec!["uri_too_long"],
        415 => vec!["unsupported_media_type"],
        417 => vec!["expectation_failed"],
        422 => vec!["refused"],
        426 => vec!["upgrade_required"],
        431 => vec!["headers_too_large"],
        _ => vec![],
    }
}

/// A server, a runtime for its clients, and a member of its one room who hears what it accepts.
struct Scene {
    runtime: tokio::runtime::Runtime,
    server: TestServer,
    room: u64,
    member: Client,
}

impl Scene {
    fn open(setup: Setup) -> TestResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (server, room, member) = runtime.block_on(async {
            let server = setup.without_rate_limits().setting("events", "announce", "nothing").start().await?;
            let room = server.create_room("lobby").await?;
            let member = server.open_tab(room, "ann").await?;
            TestResult::Ok((server, room, member))
        })?;
        Ok(Self { runtime, server, room, member })
    }

    /// What a case comes to.
    fn judge(&self, case: impl Future<Output = TestResult>) -> TestCaseResult {
        self.runtime.block_on(case).map_err(|error| TestCaseError::fail(format!("{error:#}")))
    }

    /// Compares what the member heard with the database, and asks the server how it is. Returns the number of messages.
    fn close(mut self) -> TestResult<usize> {
        self.runtime.block_on(async {
            self.member.say("the end").await?;
            let mut heard = Vec::new();
            let mut last = Value::Null;
            while last["message"] != "the end" || last["sender"] != "ann@example.com" {
                last = self.member.next_message().await?;
                let text = |key: &str| last[key].as_str().map(str::to_owned);
                heard.push((last["seq"].as_u64(), last["id"].as_u64(), text("message"), text("client_id")));
            }
            let mut stored = self.server.stored()?.messages()?;
            stored.retain(|message| message.room == self.room);
            let stored = stored.into_iter().map(|row| (Some(row.seq), Some(row.id), Some(row.text), row.client_id));
            assert_eq!(heard, stored.collect::<Vec<_>>());
            assert!(heard.iter().map(|(seq, ..)| *seq).eq((1..).map(Some).take(heard.len())), "{heard:?}");
            self.server.get("/healthz").await?.expect(200)?;
            self.server.get("/readyz").await?.expect(200)?;
            Ok(heard.len())
        })
    }
}

/// A status that the API has, with a code of this status.
fn check_answer(method: &str, answer: &Answer) -> TestResult {
    match answer.status {
        200..=204 => return Ok(()),
        405 => ensure!(answer.header("allow").is_some(), "no Allow: {answer}"),
        _ => {}
    }
    let codes = codes(answer.status);
    ensure!(!codes.is_empty(), "no documented status: {answer}");
    if method != "HEAD" {
        let error = answer.expect(answer.status)?;
        let code = error["code"].as_str().with_context(|| format!("no code: {answer}"))?;
        ensure!(codes.contains(&code), "no documented code: {answer}");
    }
    Ok(())
}

/// A request: its method, target, headers and body.
type Asked = (&'static str, String, Vec<(&'static str, Vec<u8>)>, Vec<u8>);

const METHODS: [&str; 9] = ["GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "BREW"];

/// What a header may hold on the wire.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![text().prop_map(String::into_bytes), any::<Vec<u8>>()];
    value.prop_map(|bytes| bytes.into_iter().filter(|byte| *byte >= b' ' && *byte != 0x7f).take(2_000).collect())
}

fn request(paths: &'static [&'static str]) -> impl Strategy<Value = Asked> {
    let path =
        prop_oneof![6 => select(paths).prop_map(str::to_owned), 1 => misspelt(select(paths).prop_map(str::to_owned))];
    let query = prop_oneof![2 => Just(String::new()), 1 => select(corpus::queries()), 1 => text()];
    let target = (path, query).prop_map(|(path, query)| {
        // What no part of an address may hold is a matter of HTTP itself, and answered without a body.
        let safe = |c: char| match c {
            _ if c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%[]".contains(c) => c.to_string(),
            c if c.is_ascii() => format!("%{:02X}", c as u32),
            c => ascii(&c.to_string()),
        };
        let path: String = path.chars().filter(|c| *c != '?').map(safe).collect();
        let query: String = query.chars().map(safe).collect();
        let mut target = format!("/{}?{query}", path.trim_start_matches('/'));
        // HTTP itself answers a head that fills its buffer, without a body.
        target.truncate(10_000);
        target
    });
    let names = vec![
        "X-User-ID",
        "X-Nickname",
        "X-Email",
        "X-Profile-URL",
        "X_User_ID",
        "X-Request-ID",
        "Origin",
        "Sec-Fetch-Site",
        "Content-Encoding",
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "Accept",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "X-Ondol-Actor",
    ];
    let odd = prop_oneof![2 => Just(None), 1 => (select(names), header_value()).prop_map(Some)];
    let kind = prop_oneof![6 => Just(b"application/json".to_vec()), 1 => header_value()];
    let headers = (prop::bool::weighted(0.8), odd, kind).prop_map(|(named, odd, kind)| {
        let identity = [("X-User-ID", "gen"), ("X-Nickname", "gen"), ("X-Email", "gen@example.com")];
        let identity =
            identity.into_iter().filter(move |_| named).map(|(name, value)| (name, value.as_bytes().to_vec()));
        identity.chain(odd).chain([("Content-Type", kind)]).collect::<Vec<_>>()
    });
    let body = prop_oneof![
        4 => body().prop_map(String::into_bytes),
        1 => select(corpus::frames()).prop_map(String::into_bytes),
        1 => value().prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
        1 => Just(Vec::new()),
    ];
    (select(METHODS.as_slice()), target, headers, body)
}

async fn send(address: &str, (method, target, headers, body): Asked) -> TestResult {
    let mut request = Request::new(address, method, &target);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let length = body.len().to_string();
    let mut bytes = request.header("Content-Length", length).bytes();
    bytes.extend(body);
    let mut socket = RawSocket::connect(address).await?;
    // A server may answer and close before it has read everything.
    let _ = socket.send(bytes).await;
    check_answer(method, &socket.read_answer(method).await?)
}

#[test]
fn every_request_has_a_documented_answer() -> TestResult {
    const PATHS: &[&str] = &[
        "/chat/v1/rooms/",
        "/chat/v1/create-room/",
        "/chat/v1/room/1/",
        "/chat/v1/room/2/messages/",
        "/chat/v1/room/1/messages/",
        "/chat/v1/message/",
        "/chat/v1/message/",
        "/chat/v1/message",
        "/api/chat/message/",
        "/ws/chat/1/chat/",
        "/healthz",
        "/readyz",
        "/",
    ];
    let scene = Scene::open(TestServer::setup())?;
    holds_for_a_server([], request(PATHS), |asked| scene.judge(send(scene.server.address(), asked)));
    scene.close()?;
    Ok(())
}

/// What a frame says, as another reader has it. None where that refuses it.
fn said(frame: &Result<String, Vec<u8>>) -> Option<String> {
    let frame: Value = serde_json::from_str(frame.as_ref().ok()?.trim_start_matches('\u{feff}')).ok()?;
    Some(frame["message"].as_str()?.trim().to_owned())
}

/// Sends frames to a room, and checks that each has an answer, and that messages keep their order. A refusal waits for no disk,
/// so it may come before the event of an earlier frame.
async fn converse(scene: &Scene, frames: Vec<Result<String, Vec<u8>>>) -> TestResult {
    let mut client = scene.server.open_tab(scene.room, "gen").await?;
    for frame in &frames {
        match frame {
            Ok(text) => client.send(text.as_str()).await?,
            Err(bytes) => client.send_binary(bytes).await?,
        }
    }
    let mut left = frames.iter();
    for _ in &frames {
        let event = client.next_json().await?;
        match event["type"].as_str() {
            Some("chat.message") => {
                ensure!(event["sender"] == "gen@example.com", "{event}");
                // A retry is answered with what the first one said, and what this reader refuses may have been accepted.
                let is_next = |frame: &Result<_, _>| said(frame).is_none_or(|said| event["message"] == *said);
                ensure!(
                    event["client_id"].is_string() || left.any(is_next),
                    "{event} for none of {frames:?} in its order"
                );
            }
            Some("error") => {
                let code = event["code"].as_str().unwrap_or_default();
                ensure!(event["error_type"] == "invalid_request" && REFUSALS.contains(&code), "{event} for {frames:?}");
            }
            _ => bail!("{event} for {frames:?}"),
        }
    }
    client.leave().await
}

#[test]
fn every_frame_has_an_answer_and_what_is_accepted_is_stored() -> TestResult {
    let scene = Scene::open(TestServer::setup())?;
    let kept = corpus::frames().into_iter().map(|frame| vec![Ok(frame)]);
    let one = prop_oneof![8 => frame().prop_map(Ok), 1 => any::<Vec<u8>>().prop_map(Err)];
    holds_for_a_server(kept, prop::collection::vec(one, 1..6), |frames| scene.judge(converse(&scene, frames)));
    let accepted = scene.close()?;
    ensure!(accepted > 10, "only {accepted} messages were accepted");
    Ok(())
}

/// Frames of which some break the protocol.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let payload =
        prop_oneof![3 => frame().prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..200)];
    let opcode = prop_oneof![10 => select(vec![0_u8, 1, 1, 2, 8, 9, 10]), 1 => 0..16_u8];
    let reserved = prop_oneof![20 => Just(0), 1 => 0..8_u8];
    let one = (prop::bool::weighted(0.8), reserved, opcode, prop::bool::weighted(0.95), payload)
        .prop_map(|(fin, reserved, opcode, masked, payload)| Frame { fin, reserved, opcode, masked, payload }.bytes());
    let frames = prop::collection::vec(one, 0..8).prop_map(|frames| frames.concat());
    (frames, prop_oneof![3 => Just(None), 1 => any::<usize>().prop_map(Some)]).prop_map(|(mut bytes, end)| {
        bytes.truncate(end.map_or(bytes.len(), |end| end % (bytes.len() + 1)));
        bytes
    })
}

#[test]
fn every_stream_of_bytes_ends_with_a_documented_close() -> TestResult {
    let scene = Scene::open(TestServer::setup())?;
    holds_for_a_server([], wire(), |bytes| {
        scene.judge(async {
            let mut socket = scene.server.raw().await?;
            socket.upgrade(scene.room, "gen").await?;
            socket.send(bytes).await?;
            let _ = socket.finish_sending().await;
            while let Some(frame) = socket.read_frame().await? {
                ensure!(frame.fin && frame.reserved == 0, "{frame:?}");
                match frame.opcode {
                    Frame::TEXT => drop(serde_json::from_slice::<Value>(&frame.payload)?),
                    Frame::PONG => {}
                    Frame::CLOSE => {
                        let code = frame.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                        // A code of the client is given back.
                        ensure!(matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999), "the close code {code}");
                        let rest = socket.expect_end().await?;
                        ensure!(rest.is_empty(), "{rest:?} after the close");
                        return Ok(());
                    }
                    _ => bail!("{frame:?}"),
                }
            }
            bail!("no close")
        })
    });
    scene.close()?;
    Ok(())
}

#[test]
fn every_request_of_an_operator_has_a_documented_answer() -> TestResult {
    // The calls that wait for lines and calls of handlers are left out.
    const PATHS: &[&str] = &[
        "/v1/status",
        "/v1/handlers",
        "/v1/handlers/rooms",
        "/v1/handlers/messages/settings",
        "/v1/handlers/x/settings",
        "/v1/releases",
        "/v1/rollback",
        "/v1/diff",
        "/v1/canary",
        "/v1/canary/promote",
        "/v1/shadow",
        "/v1/forgive",
    ];
    let scene = Scene::open(TestServer::setup().admin())?;
    let address = scene.server.admin_address()?.strip_prefix("http://").context("it is on no port")?.to_owned();
    let settings = prop::collection::btree_map("text_length_max|default_name|announce|[a-z]{1,4}", value(), 0..3)
        .prop_map(|settings| {
            let pairs: Vec<String> = settings.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
            format!("{{{}}}", pairs.join(","))
        })
        .boxed();
    let part = ("rooms|messages|events|x", settings.clone())
        .prop_map(|(handler, settings)| format!(r#"{{"{handler}":{{"settings":{settings}}}}}"#));
    let target =
        ("to|version|percent|reason|force", value()).prop_map(|(key, value)| format!(r#"{{"{key}":{value}}}"#));
    let bodies = prop_oneof![settings, part, target].prop_map(String::into_bytes);
    let asked = (request(PATHS), prop::option::of(bodies)).prop_map(|((method, mut target, headers, body), other)| {
        // This API has a smaller buffer.
        target.truncate(4_000);
        (method, target, headers, other.unwrap_or(body))
    });
    holds_for_a_server([], asked, |asked| scene.judge(send(&address, asked)));
    let status = async { scene.server.admin("GET", "/v1/status")?.send().await?.expect(200) };
    scene.runtime.block_on(status)?;
    scene.runtime.block_on(async { scene.server.get("/readyz").await?.expect(200) })?;
    Ok(())
}
