//! Rate limits: what comes too fast is refused with the time to wait, and others do not notice.
//!
//! A rate of one a minute is refused however slow the machine is. Where a story waits, it does so for as long as the server
//! says.

use std::time::Duration;

use ondol_tests::{Answer, Client, Heard, Setup, TestResult, TestServer, User, signing};
use serde_json::{Value, json};

/// A rate of one a minute, with a burst.
fn slow(setup: Setup, rate: &str, burst: u64) -> Setup {
    setup.limit(&format!("{rate}_per_min"), 1).limit(&format!("{rate}_burst"), burst)
}

/// A server with this one slow rate.
async fn with(rate: &str, burst: u64) -> TestResult<TestServer> {
    slow(TestServer::setup(), rate, burst).start().await
}

/// A request of a client at an address, by way of a gateway on this machine.
async fn get_by(server: &TestServer, forwarded_for: &[&str]) -> TestResult<Answer> {
    let request = server.request("GET", "/chat/v1/rooms/");
    let request = forwarded_for.iter().fold(request, |request, line| request.header("X-Forwarded-For", line));
    request.send().await
}

/// Checks that an answer refuses what is faster than a rate, and says when to try again.
fn expect_429(answer: &Answer, rate: &str) -> TestResult {
    let body = answer.expect(429)?;
    let detail = body["detail"].as_str().unwrap_or_default();
    assert!(body["code"] == "rate_limited" && detail.contains(&format!("{rate}_per_min = 1;")), "{answer}");
    let ms = body["retry_after_ms"].as_u64().unwrap_or_default();
    let seconds: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60_000).contains(&ms) && seconds == ms.div_ceil(1_000), "{answer}");
    Ok(())
}

/// Sends messages until one is too fast, and returns its error event. Each is answered before the next.
async fn until_refused(client: &mut Client) -> TestResult<Value> {
    for number in 0.. {
        let client_id = format!("n{number}");
        client.send(json!({"type": "chat.message", "message": "hi", "client_id": client_id}).to_string()).await?;
        let event = client.next_json().await?;
        if event["type"] == "error" {
            assert_eq!(event["client_id"], client_id.as_str(), "{event}");
            return Ok(event);
        }
    }
    unreachable!()
}

/// Waits for as long as an event asks to.
async fn wait_as_told(event: &Value) {
    let ms = event["retry_after_ms"].as_u64().expect("no time to wait");
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

// ── connections ──

#[tokio::test]
async fn a_frame_that_comes_too_fast_is_dropped_and_passes_after_the_time_that_its_event_names() -> TestResult {
    let setup = TestServer::setup().limit("frames_per_connection_per_min", 120).limit("frames_per_connection_burst", 2);
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let event = until_refused(&mut ann).await?;
    assert_eq!((&event["code"], &event["error_type"]), (&json!("rate_limited"), &json!("rate_limited")));
    assert!(event["message"].as_str().is_some_and(|text| text.contains("frames_per_connection_per_min = 120")));
    wait_as_told(&event).await;
    ann.say("later").await?;
    let seq = ann.expect_message("later").await?["seq"].as_u64().expect("no seq");
    let stored = server.get(&format!("/chat/v1/room/{room}/messages/?limit=200")).await?.expect(200)?;
    assert_eq!(stored.as_array().map(Vec::len), usize::try_from(seq).ok(), "what was dropped is not stored");
    Ok(())
}

#[tokio::test]
async fn a_client_that_keeps_on_is_told_once_and_closed() -> TestResult {
    let setup = slow(TestServer::setup(), "frames_per_connection", 1).limit("frames_refused_max", 3);
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let (mut ann, mut ben) = (server.join(room, "ann").await?, server.join(room, "ben").await?);
    for number in 0..5 {
        ann.say(&format!("n{number}")).await?;
    }
    ann.expect_join("ben").await?;
    // The error may overtake the message, which waits for the disk.
    let mut kinds = [ann.next_json().await?, ann.next_json().await?].map(|event| event["type"].clone());
    kinds.sort_by_key(Value::to_string);
    assert_eq!(kinds, ["chat.message", "error"]);
    let Heard::Close(1008, reason) = ann.next().await? else { panic!("one event is enough") };
    assert!(reason.contains("frames_refused_max = 3") && reason.contains("frames_per_connection_per_min"), "{reason}");
    ben.expect_message("n0").await?;
    ben.expect_leave("ann").await
}

#[tokio::test]
async fn a_client_that_waits_as_it_is_told_stays() -> TestResult {
    let setup = TestServer::setup().limit("frames_per_connection_per_min", 600).limit("frames_per_connection_burst", 1);
    let server = setup.limit("frames_refused_max", 1).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for _ in 0..5 {
        wait_as_told(&until_refused(&mut ann).await?).await;
    }
    ann.say("still here").await?;
    ann.expect_message("still here").await?;
    Ok(())
}

#[tokio::test]
async fn bytes_are_counted_and_a_frame_larger_than_the_burst_takes_all_of_it() -> TestResult {
    let server = with("bytes_per_connection", 200).await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let long = "x".repeat(100);
    ann.say(&long).await?;
    ann.expect_message(&long).await?;
    ann.say(&long).await?;
    let event = ann.expect_error("rate_limited").await?;
    assert!(event["message"].as_str().is_some_and(|text| text.contains("bytes_per_connection_per_min")), "{event}");
    ann.say("short").await?;
    ann.expect_message("short").await?;

    let mut ben = server.join(room, "ben").await?;
    let longer = "x".repeat(1_000);
    ben.say(&longer).await?;
    ben.expect_message(&longer).await?;
    ben.say("x").await?;
    ben.expect_error("rate_limited").await?;
    Ok(())
}

#[tokio::test]
async fn heartbeats_and_pings_count_as_frames() -> TestResult {
    let server = slow(TestServer::setup().config("heartbeats = true"), "frames_per_connection", 2).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.send("ping").await?;
    ann.expect_exactly("pong").await?;
    ann.ping(b"").await?;
    ann.send("ping").await?;
    ann.expect_error("rate_limited").await?;
    Ok(())
}

// ── users ──

#[tokio::test]
async fn a_user_has_one_bucket_for_all_sockets_and_requests_and_others_have_their_own() -> TestResult {
    // Two for the sockets, two for messages.
    let server = with("messages_per_user", 4).await?;
    let room = server.create_room("lobby").await?;
    let mut one = server.join(room, "ann").await?;
    let mut two = server.open_tab(room, "ann").await?;
    for tab in [&mut one, &mut two] {
        tab.say("hi").await?;
    }
    for tab in [&mut one, &mut two] {
        for _ in 0..2 {
            tab.expect_message("hi").await?;
        }
        tab.say("one more").await?;
        let event = tab.expect_error("rate_limited").await?;
        assert!(event["message"].as_str().is_some_and(|text| text.contains("messages_per_user_per_min")), "{event}");
    }
    let post = |name: &str| {
        let request = server.request("POST", "/chat/v1/message/").identity(name);
        request.json(json!({"room": room, "message": "by request"}).to_string())
    };
    expect_429(&post("ann").send().await?, "messages_per_user")?;
    let target = format!("/ws/chat/{room}/chat/?{}", User::named("ann").query());
    expect_429(&server.knock(&target, &[]).await?.refused()?, "messages_per_user")?;

    let mut ben = server.join(room, "ben").await?;
    ben.say("hello").await?;
    ben.expect_message("hello").await?;
    post("ben").send().await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_bucket_outlives_the_socket() -> TestResult {
    let server = with("messages_per_user", 2).await?;
    let room = server.create_room("lobby").await?;
    for _ in 0..2 {
        server.join(room, "ann").await?.leave().await?;
    }
    let target = format!("/ws/chat/{room}/chat/?{}", User::named("ann").query());
    expect_429(&server.knock(&target, &[]).await?.refused()?, "messages_per_user")
}

#[tokio::test]
async fn a_user_creates_so_many_rooms_and_a_gateway_any_number() -> TestResult {
    let server = with("rooms_per_user", 2).await?;
    let create = |name: &str| server.request("POST", "/chat/v1/create-room/").json("{}").identity(name);
    for _ in 0..2 {
        create("ann").send().await?.expect(201)?;
    }
    expect_429(&create("ann").send().await?, "rooms_per_user")?;
    create("ben").send().await?.expect(201)?;
    let anonymous = || server.request("POST", "/chat/v1/create-room/").json("{}");
    for _ in 0..4 {
        anonymous().send().await?.expect(201)?;
    }
    for _ in 0..2 {
        anonymous().header("X-Forwarded-For", "192.0.2.1").send().await?.expect(201)?;
    }
    expect_429(&anonymous().header("X-Forwarded-For", "192.0.2.1").send().await?, "rooms_per_user")
}

// ── addresses ──

#[tokio::test]
async fn clients_behind_a_trusted_gateway_are_told_apart_and_forged_entries_do_not_help() -> TestResult {
    let server = with("requests_per_address", 2).await?;
    let (ann, ben) = ("192.0.2.1", "198.51.100.2");
    for _ in 0..2 {
        get_by(&server, &[ann]).await?.expect(200)?;
    }
    for lines in [&[ann][..], &["203.0.113.9, 192.0.2.1"], &["203.0.113.9", ann], &["192.0.2.1, 127.0.0.1"]] {
        expect_429(&get_by(&server, lines).await?, "requests_per_address")?;
    }
    get_by(&server, &[ben]).await?.expect(200)?;
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"] {
        get_by(&server, &[address]).await?.expect(200)?;
    }
    expect_429(&get_by(&server, &["2001:db8:1:2::3"]).await?, "requests_per_address")?;
    for _ in 0..4 {
        get_by(&server, &[]).await?.expect(200)?;
        get_by(&server, &["unknown"]).await?.expect(200)?;
    }
    let line = server.wait_for_log("requests_per_address_per_min").await?;
    let log = server.log().since(0);
    assert_eq!(log.iter().filter(|line| line.contains("requests_per_address_per_min")).count(), 1, "{log:#?}");
    assert!(line.contains("WARN") && !log.iter().any(|line| line.contains("192.0.2.1")), "{log:#?}");
    Ok(())
}

#[tokio::test]
async fn an_untrusted_peer_counts_by_its_own_address() -> TestResult {
    let setup = TestServer::setup().flag("--identity").flag("trusted=192.0.2.0/24");
    let server = slow(setup, "requests_per_address", 2).start().await?;
    for forwarded_for in ["198.51.100.1", "198.51.100.2"] {
        get_by(&server, &[forwarded_for]).await?.expect(200)?;
    }
    expect_429(&get_by(&server, &["198.51.100.3"]).await?, "requests_per_address")?;
    for target in ["/", "/healthz", "/readyz"] {
        assert_eq!(server.get(target).await?.status, 200, "{target}");
    }
    Ok(())
}

#[tokio::test]
async fn sockets_of_an_address_are_refused_with_429_or_a_close_code() -> TestResult {
    for close in [false, true] {
        let setup = TestServer::setup().config(&format!("refusal = {:?}", if close { "close" } else { "http" }));
        let server = slow(setup, "connections_per_address", 1).start().await?;
        let room = server.create_room("lobby").await?;
        let target = |name: &str| format!("/ws/chat/{room}/chat/?{}", User::named(name).query());
        let here = [("X-Forwarded-For", "192.0.2.1")];
        let _ann = server.knock(&target("ann"), &here).await?.opened()?;
        let ben = server.knock(&target("ben"), &here).await?;
        if close {
            let reason = ben.opened()?.expect_close(4029).await?;
            assert!(reason.contains("connections_per_address_per_min"), "{reason}");
        } else {
            expect_429(&ben.refused()?, "connections_per_address")?;
        }
        server.knock(&target("ben"), &[("X-Forwarded-For", "192.0.2.2")]).await?.opened()?;
    }
    Ok(())
}

#[tokio::test]
async fn bad_tokens_from_one_address_are_refused_and_good_ones_from_another_pass() -> TestResult {
    let keys = format!("keys=k=HS256:{}", signing::key_file("hs256.secret").display());
    let setup = ["mode=jwt", &keys].iter().fold(TestServer::setup(), |setup, it| setup.flag("--identity").flag(*it));
    let server = slow(setup, "rejections_per_address", 3).start().await?;
    let good = format!("Bearer {}", signing::token("HS256", &signing::claims(&User::named("ann")))?);
    let bad = format!("{good}x");
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    let get = |token: &str, address: &str| {
        let request = server.request("GET", "/chat/v1/rooms/").header("X-Forwarded-For", address);
        request.header("Authorization", token)
    };
    let create = server.request("POST", "/chat/v1/create-room/").json("{}").header("Authorization", &good);
    create.send().await?.expect(201)?;
    for _ in 0..3 {
        get(&good, here).send().await?.expect(200)?;
        get(&bad, here).send().await?.expect_detail(401, "not_authenticated")?;
    }
    expect_429(&get(&bad, here).send().await?, "rejections_per_address")?;
    // From here on no token of this address is looked at.
    expect_429(&get(&good, here).send().await?, "rejections_per_address")?;
    let headers = |address| [("Authorization", good.as_str()), ("X-Forwarded-For", address)];
    expect_429(&server.knock("/ws/chat/1/chat/", &headers(here)).await?.refused()?, "rejections_per_address")?;
    get(&good, there).send().await?.expect(200)?;

    let mut ann = server.knock("/ws/chat/1/chat/", &headers(there)).await?.opened()?;
    for _ in 0..3 {
        ann.send(r#"{"type":"chat.token","token":"bad"}"#).await?;
        ann.expect_error("not_authenticated").await?;
    }
    ann.send(r#"{"type":"chat.token","token":"bad"}"#).await?;
    assert!(ann.expect_error("rate_limited").await?["retry_after_ms"].is_u64());
    Ok(())
}

#[tokio::test]
async fn a_flood_of_addresses_locks_no_other_out() -> TestResult {
    let server = slow(TestServer::setup(), "requests_per_address", 1).limit("rate_keys_max", 10).start().await?;
    for number in 0..100 {
        get_by(&server, &[&format!("192.0.2.{number}")]).await?.expect(200)?;
    }
    expect_429(&get_by(&server, &["192.0.2.0"]).await?, "requests_per_address")?;
    server.wait_for_log("rate_keys_max = 10").await?;
    Ok(())
}

// ── off ──

#[tokio::test]
async fn a_rate_of_zero_is_no_limit() -> TestResult {
    let bursts = ["frames_per_connection", "bytes_per_connection", "messages_per_user", "requests_per_address"];
    let setup = TestServer::setup().without_rate_limits();
    let setup = bursts.iter().fold(setup, |setup, rate| setup.limit(&format!("{rate}_burst"), 1));
    let server = setup.start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for number in 0..50 {
        ann.say(&format!("n{number}")).await?;
        ann.expect_message(&format!("n{number}")).await?;
        get_by(&server, &["192.0.2.1"]).await?.expect(200)?;
    }
    Ok(())
}
