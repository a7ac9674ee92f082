//! Nothing that a server tells its operator, or a stranger, carries what a user is or says. One user's address, text and token
//! are canaries: they do everything that can be done, and then every output is searched for them.
//!
//! What a handler prints is its own: it is logged as it is, so no handler here prints a canary. The evidence against a blocked
//! version, and the differences of a shadow, show the operator what was said.

use ondol_tests::{
    Answer, Client, Collector, Knock, Manner, Request, Setup, TestResult, TestServer, User, guest, signing,
    tls::{self, Authority, Http2},
    until,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::http::Method;

/// The canaries. No form of them that a line could have spells these parts differently.
const ADDRESS: &str = "canary-address@example.com";
const TEXT: &str = "canary-text";
const ADMIN_TOKEN: &str = "canary-admin-token";
const PARTS: [&str; 3] = ["canary-address", TEXT, "canary-admin"];

fn canary() -> User {
    User { email: ADDRESS.to_owned(), ..User::named("bird") }
}

/// Every output so far, each with its name.
#[derive(Default)]
struct Told(Vec<(String, String)>);

impl Told {
    fn add(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    /// Keeps an answer to a request that has to fail.
    fn refused(&mut self, what: &str, answer: &Answer) {
        assert!(answer.status >= 400, "{what}: {answer}");
        let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        self.add(what, headers + &answer.text());
    }

    fn holds_none_of(&self, parts: &[&str]) {
        for (what, text) in &self.0 {
            for part in parts {
                let at = text.to_lowercase().find(&part.to_lowercase());
                let from = at.unwrap_or_default().saturating_sub(300);
                let around: String = text.chars().skip(from).take(700).collect();
                assert!(at.is_none(), "{part} is in {what}: …{around}…");
            }
        }
    }
}

/// A server that tells as much as it can.
async fn talkative(setup: Setup, format: &str) -> TestResult<(TestServer, Authority, String, Collector)> {
    let (collector, authority) = (Collector::start(Manner::Takes).await?, Authority::new()?);
    let setup = setup.config(&format!("otlp = \"http://{}\"\notlp_sample_percent = 100", collector.address()));
    let setup = setup.flag("--log").flag("trace").flag("--log-format").flag(format);
    let server = setup.admin().tls().start_after(|home| tls::furnish(home, &authority)).await?;
    let address = authority.tunnel(server.address()).await?;
    Ok((server, authority, address, collector))
}

/// Takes the evidence against versions and the differences of a shadow out of an answer: what was said belongs there, who said
/// it does not.
fn take_evidence(answer: &mut Value) -> Vec<String> {
    match answer {
        Value::Object(members) => {
            let take = |name| members.get_mut(name).map(Value::take);
            let evidence: Vec<_> = ["bad", "first_differences"].into_iter().filter_map(take).collect();
            let evidence = evidence.iter().map(|it| it.to_string().to_lowercase().replace(TEXT, "(text)"));
            evidence.chain(members.values_mut().flat_map(take_evidence)).collect()
        }
        Value::Array(items) => items.iter_mut().flat_map(take_evidence).collect(),
        _ => Vec::new(),
    }
}

/// Adds the log, the spans and what the admin API says. `admin` makes a request to that.
async fn listen_in(
    told: &mut Told,
    server: &TestServer,
    collector: &Collector,
    admin: impl Fn(&str, &str) -> TestResult<Request>,
) -> TestResult {
    let versions = admin("GET", "/v1/handlers")?.send().await?.json();
    let version = |handler: &str| versions[handler][0]["version"].as_str().unwrap_or_default().to_owned();
    let diff = format!("/v1/diff?to={}", version("events"));
    for target in ["/v1/status", "/v1/handlers", "/v1/releases", &diff, "/v1/logs?lines=1000", "/v1/shadow", "/readyz"]
    {
        let mut answer = admin("GET", target)?.send().await?.json();
        for evidence in take_evidence(&mut answer) {
            told.add(&format!("the evidence of {target}"), evidence);
        }
        told.add(target, answer.to_string());
    }
    let metrics = admin("GET", "/metrics")?.send().await?;
    assert_eq!(metrics.status, 200, "{metrics}");
    told.add("the metrics", metrics.text());

    until("spans", async || collector.spans().ok().filter(|spans| !spans.is_empty())).await?;
    server.request("GET", "/").send().await?;
    server.signal("TERM")?;
    server.log().end().await?;
    for (_, body) in collector.requests() {
        told.add("a span", String::from_utf8_lossy(&body).into_owned());
    }
    for line in server.log().since(0) {
        told.add("the log", line);
    }
    Ok(())
}

/// Talks until what follows is refused as too fast.
async fn flood(client: &mut Client) -> TestResult {
    loop {
        client.say(TEXT).await?;
        if client.next_json().await?["code"] == "rate_limited" {
            return Ok(());
        }
    }
}

/// Records a call of the user's: what was said belongs there, who said it does not.
async fn record(
    server: &TestServer,
    bird: &mut Client,
    admin: &impl Fn(&str, &str) -> TestResult<Request>,
) -> TestResult<String> {
    let recording = admin("GET", "/v1/record?calls=1")?.send();
    let talk = async {
        server.wait_for_log("are recorded for the admin API").await?;
        // The recording begins right after the line.
        for _ in 0..10 {
            bird.say(TEXT).await?;
            bird.next_message().await?;
        }
        std::future::pending::<TestResult>().await
    };
    let recorded =
        tokio::select! { recorded = recording => recorded?.text(), ended = talk => { ended?; String::new() } };
    let shown = recorded.replace(TEXT, "(text)");
    assert!(shown.contains("(text)"), "{shown}");
    Ok(shown)
}

/// Deploys a version that fails at what the user says, until it is rolled back, and a shadow that says it differently.
async fn fail(
    server: &TestServer,
    bird: &mut Client,
    admin: &impl Fn(&str, &str) -> TestResult<Request>,
) -> TestResult {
    let bytes = std::fs::read(guest("trapping_events"))?;
    admin("POST", "/v1/handlers/events")?.body("application/wasm", bytes).send().await?.expect(200)?;
    for _ in 0..4 {
        bird.say(&format!("a trap and {TEXT}")).await?;
        bird.next_message().await?;
    }
    server.wait_for_log("failed its probation").await?;
    let component = data_encoding::BASE64.encode(&std::fs::read(guest("shouting_events"))?);
    let body = json!({"events": {"component": component}}).to_string();
    admin("POST", "/v1/shadow")?.json(body).send().await?.expect(200)?;
    bird.say(TEXT).await?;
    bird.next_message().await?;
    until("a difference of the shadow", async || {
        let shadow = admin("GET", "/v1/shadow").ok()?.send().await.ok()?.json();
        (shadow["differences"].as_u64() > Some(0)).then_some(())
    })
    .await
}

/// What a client gets wrong, with canaries wherever one fits.
async fn blunder(told: &mut Told, at: &str, http2: &mut Http2, room: u64, identity: &[(&str, String)]) -> TestResult {
    let request = |method: &str, target: &str| {
        let request = Request::new(at, method, target);
        identity.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let query = canary().query();
    let refused = [
        request("POST", "/chat/v1/message/").json(format!("{{\"room\": {room}, \"message\": \"{TEXT}{ADDRESS}")),
        request("POST", "/chat/v1/message/").json(format!("{{\"room\": \"{ADDRESS}\", \"message\": 7}}")),
        request("POST", "/chat/v1/message/").json(format!("{{\"room\": {room}, \"message\": \"\", \"{TEXT}\": 1}}")),
        request("POST", "/chat/v1/message/").body(TEXT, "{}"),
        request("POST", "/chat/v1/create-room/")
            .json(format!("{{\"name\": [\"{TEXT}\"], \"post_id\": \"{ADDRESS}\"}}")),
        request("GET", &format!("/chat/v1/rooms/?after={ADDRESS}&limit={TEXT}")),
        request("GET", &format!("/chat/v1/room/{ADDRESS}/")),
        request("GET", &format!("/{TEXT}/{ADDRESS}")),
        request("GET", &format!("/ws/chat/{room}/chat/?{query}")),
        request("GET", &format!("/ws/chat/999/chat/?{query}")).header("Connection", "Upgrade"),
        request("CANARY-TEXT", "/chat/v1/rooms/"),
        request("GET", "/chat/v1/rooms/nowhere").header("X-Request-ID", ADDRESS).header("traceparent", ADDRESS),
        request("GET", "/chat/v1/rooms/").header("Expect", ADDRESS),
        request("GET", &format!("/chat/v1/rooms/?{}", TEXT.repeat(1_000))),
        request("POST", "/chat/v1/message/").body("application/json", TEXT.repeat(10_000)),
    ];
    for request in refused {
        let what = format!("the answer to {request:?}");
        told.refused(&what[..what.len().min(200)].replace(TEXT, "…").replace(ADDRESS, "…"), &request.send().await?);
    }
    let headers: Vec<_> = identity.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let target = format!("/chat/v1/room/{ADDRESS}/?{query}");
    let answer = http2.send(Method::GET, &target, &headers, "").await?;
    told.refused("an answer over HTTP/2", &answer);
    let body = format!("{{\"room\": {room}, \"message\": \"{TEXT}\"");
    let answer = http2.send(Method::POST, "/chat/v1/message/", &headers, &body).await?;
    told.refused("an answer over HTTP/2", &answer);
    Ok(())
}

#[tokio::test]
async fn no_output_carries_the_address_the_text_or_the_token_of_a_user_of_a_gateway() -> TestResult {
    for format in ["text", "json"] {
        let setup = TestServer::setup().env("ONDOL_ADMIN_TOKEN", ADMIN_TOKEN).limit("probation_ms", 3_600_000);
        let setup = setup.limit("messages_per_user_per_min", 1).limit("messages_per_user_burst", 40);
        let (server, authority, address, collector) = talkative(setup, format).await?;
        let admin = |method: &str, target: &str| {
            Ok(server.admin(method, target)?.header("Authorization", format!("Bearer {ADMIN_TOKEN}")))
        };
        let mut told = Told::default();
        let identity = canary().headers();
        let create = Request::new(&address, "POST", "/chat/v1/create-room/").json("{\"name\": \"a room\"}");
        let created = identity.iter().fold(create, |request, (name, value)| request.header(name, value)).send().await?;
        let room = created.expect(201)?["id"].as_u64().unwrap();

        let mut other = Client::open(&address, room, &User::named("other")).await?;
        let mut bird = Client::open(&address, room, &canary()).await?;
        bird.await_join("bird").await?;
        bird.send(format!("{{\"type\": \"chat.message\", \"message\": \"{TEXT}\", \"client_id\": 7}}")).await?;
        told.add("the refusal of a frame", bird.next_json().await?.to_string());
        bird.send_binary(TEXT.as_bytes()).await?;
        told.add("the refusal of a binary frame", bird.next_json().await?.to_string());
        told.add("the recorded calls", record(&server, &mut bird, &admin).await?);
        fail(&server, &mut bird, &admin).await?;
        drop(bird);
        let target = format!("/ws/chat/{room}/chat/?{}&after=0&epoch={ADDRESS}", canary().query());
        let Knock::In(mut bird) = Client::knock(&address, &target, "bird", &[]).await? else { panic!("kept out") };
        bird.expect_event("chat.sync").await?;
        flood(&mut bird).await?;
        let mut http2 = Http2::connect(&authority, server.address()).await?;
        blunder(&mut told, &address, &mut http2, room, &identity).await?;
        let wrong = server.admin("GET", "/v1/status")?.header("Authorization", format!("Bearer {ADMIN_TOKEN}-not"));
        told.refused("the answer to a wrong token", &wrong.send().await?);
        let bad = admin("POST", &format!("/v1/rollback?reason=x&{TEXT}={ADDRESS}"))?.json(format!("{{\"{TEXT}\": 1}}"));
        drop(bad.send().await?);
        admin("DELETE", "/v1/users/bird/messages")?.send().await?.expect(200)?;
        other.say("still here").await?;
        listen_in(&mut told, &server, &collector, admin).await?;
        told.holds_none_of(&PARTS);
    }
    Ok(())
}

#[tokio::test]
async fn no_output_carries_the_token_of_a_user_or_what_is_in_it() -> TestResult {
    let key = format!("keys=k=HS256:{}", signing::key_file("hs256.secret").display());
    for format in ["text", "json"] {
        let setup = ["mode=jwt", "leeway_s=0", &key];
        let setup = setup.iter().fold(TestServer::setup(), |setup, value| setup.flag("--identity").flag(*value));
        let (server, authority, address, collector) = talkative(setup, format).await?;
        let admin = |method: &str, target: &str| server.admin(method, target);
        let mut told = Told::default();
        let token = signing::token("HS256", &signing::claims(&canary()))?;
        let parts: Vec<&str> = token.split('.').collect();
        let bearer = |token: &str| format!("Bearer {token}");
        let create = Request::new(&address, "POST", "/chat/v1/create-room/").json("{}");
        let created = create.header("Authorization", bearer(&token)).send().await?.expect(201)?;
        let room = created["id"].as_u64().unwrap();
        let target = format!("/ws/chat/{room}/chat/");
        let offer = format!("ondol.token, {token}");
        let Knock::In(mut bird) =
            Client::knock(&address, &target, "bird", &[("Sec-WebSocket-Protocol", &offer)]).await?
        else {
            panic!("kept out")
        };
        bird.await_join("bird").await?;
        bird.say(TEXT).await?;
        bird.next_message().await?;
        bird.send(json!({"type": "chat.token", "token": format!("{token}x")}).to_string()).await?;
        told.add("the answer to a wrong token in a frame", bird.next_json().await?.to_string());

        let mut expired = signing::claims(&canary());
        expired["exp"] = json!(1_000);
        let forged = format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43));
        for token in [signing::token("HS256", &expired)?, forged, format!("{token}{token}"), token.replace('.', " ")] {
            let request = Request::new(&address, "GET", &format!("{target}?token={token}"));
            told.refused("the answer to a bad token", &request.header("Authorization", bearer(&token)).send().await?);
            let knock = Client::knock(&address, &target, "bird", &[("Sec-WebSocket-Protocol", &token)]).await;
            assert!(!matches!(knock, Ok(Knock::In(_))), "let in");
        }
        let mut http2 = Http2::connect(&authority, server.address()).await?;
        blunder(&mut told, &address, &mut http2, room, &[("Authorization", bearer(&token))]).await?;
        listen_in(&mut told, &server, &collector, admin).await?;
        told.holds_none_of(&[&PARTS[..], &[parts[1], parts[2]]].concat());
    }
    Ok(())
}
