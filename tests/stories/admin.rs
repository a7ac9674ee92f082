//! The admin API: access, requests, rejections, and the commands that use it.

use std::fs;

use ondol_tests::{Answer, RawSocket, TestResult, TestServer, command::Output, guest, handlers, ondol, standard};
use serde_json::{Value, json};

async fn operated() -> TestResult<TestServer> {
    TestServer::setup().admin().start().await
}

/// The answer of the admin API to a GET.
async fn asked(server: &TestServer, target: &str) -> TestResult<Value> {
    server.admin("GET", target)?.send().await?.expect(200)
}

/// Runs `ondol handlers` with these words on this server.
fn command(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    let address = server.admin_address()?.to_owned();
    let words: Vec<&str> = ["handlers"].into_iter().chain(words.iter().copied()).chain(["--admin", &address]).collect();
    ondol(&words)
}

/// A component in base64.
fn encoded(file: &std::path::Path) -> TestResult<String> {
    Ok(data_encoding::BASE64.encode(&handlers::read(file)?))
}

pub(super) async fn post(server: &TestServer, target: &str, body: &Value) -> TestResult<Answer> {
    server.admin("POST", target)?.json(body.to_string()).send().await
}

/// Checks that `handler` was rejected at `stage` of the admission checks, and returns the reasons.
pub(super) fn refused(answer: &Answer, handler: &str, stage: &str) -> TestResult<String> {
    let body = answer.expect(422)?;
    assert_eq!((&body["code"], &body["handlers"][handler]["stage"]), (&json!("refused"), &json!(stage)), "{body}");
    Ok(body["handlers"][handler]["reasons"].to_string())
}

#[tokio::test]
async fn the_admin_api_is_off_by_default() -> TestResult {
    let server = TestServer::start().await?;
    assert!(server.admin_address().is_err());
    server.get("/v1/status").await?.expect_detail(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn the_status_shows_the_active_versions() -> TestResult {
    let server = operated().await?;
    let status = asked(&server, "/v1/status").await?;
    assert_eq!((&status["ready"], &status["release"]["release"]), (&json!(true), &json!(1)));
    assert_eq!((&status["release"]["how"], &status["release"]["outcome"]), (&json!("first"), &json!("active")));
    for handler in handlers::HANDLERS {
        let row = &status["handlers"][handler];
        let short = row["version"].as_str().unwrap().get(..12).unwrap();
        assert!(server.startup().contains(&format!("{handler}={short}")), "{status}");
        assert_eq!(row["bytes"], handlers::read(&standard(handler))?.len());
        assert_eq!(row["active"], true);
    }
    Ok(())
}

#[tokio::test]
async fn one_request_deploys_a_component_and_sockets_stay_open() -> TestResult {
    let server = operated().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let deploy = server.upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!((&deploy["release"], &deploy["changed"]), (&json!(2), &json!(true)));
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    let again = server.upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!((&again["release"], &again["changed"]), (&json!(2), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn a_release_with_one_refused_handler_changes_none() -> TestResult {
    let server = operated().await?;
    let broken = json!({
        "messages": {"component": encoded(&guest("relaying_messages"))?},
        "events": {"component": data_encoding::BASE64.encode(b"(component)")},
    });
    let answer = post(&server, "/v1/releases", &broken).await?;
    assert!(refused(&answer, "events", "kind")?.contains("text"));
    assert_eq!(asked(&server, "/v1/status").await?["release"]["release"], 1);
    let history = asked(&server, "/v1/releases").await?;
    assert_eq!((&history[0]["outcome"], &history[1]["outcome"]), (&json!("refused"), &json!("active")));
    assert!(history[0]["detail"].as_str().unwrap().contains("events: it is WebAssembly text"), "{history}");
    Ok(())
}

#[tokio::test]
async fn one_release_changes_three_handlers() -> TestResult {
    let server = operated().await?;
    let whole = json!({
        "rooms": {"settings": {"default_name": "거실"}},
        "messages": {"component": encoded(&guest("relaying_messages"))?},
        "events": {"component": encoded(&guest("shouting_events"))?},
        "reason": "all at once",
    });
    post(&server, "/v1/releases", &whole).await?.expect(200)?;
    let history = asked(&server, "/v1/releases").await?;
    let outcomes: Vec<_> = history.as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes, &history[0]["why"]), (vec!["active", "replaced"], &json!("all at once")));
    let room = server.post("/chat/v1/create-room/", &json!({})).await?.expect(201)?;
    assert_eq!(room["name"], "거실");
    let mut ann = server.join(room["id"].as_u64().unwrap(), "ann").await?;
    ann.send(r#"{"type":"chat.typing"}"#).await?;
    ann.expect_event("chat.typing").await?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    Ok(())
}

#[tokio::test]
async fn new_settings_make_a_new_version() -> TestResult {
    let server = operated().await?;
    let put = |body: &str| Ok::<_, anyhow::Error>(server.admin("PUT", "/v1/handlers/messages/settings")?.json(body));
    let before = asked(&server, "/v1/status").await?;
    put(r#"{"text_length_max": 5}"#)?.send().await?.expect(200)?;
    let after = asked(&server, "/v1/status").await?;
    let (before, after) = (&before["handlers"]["messages"], &after["handlers"]["messages"]);
    assert_eq!(after["settings"], json!({"text_length_max": "5"}));
    assert_eq!(before["component"], after["component"]);
    assert_ne!(before["version"], after["version"]);
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("여섯 글자!").await?;
    ann.expect_error("too_long").await?;

    let answer = put(r#"{"text_length_max": "many"}"#)?.send().await?;
    assert!(refused(&answer, "messages", "smoke")?.contains("text_length_max"));
    put(r#"{"text_length_max": {}}"#)?.send().await?.expect_field("settings")?;
    put("[]")?.send().await?.expect_detail(400, "parse_error")?;
    Ok(())
}

#[tokio::test]
async fn a_rejection_names_the_admission_check_that_failed() -> TestResult {
    let server = TestServer::setup().admin().limit("handler_file_bytes_max", 400_000).start().await?;
    let upload =
        async |bytes: &[u8]| server.admin("POST", "/v1/handlers/events")?.body("application/wasm", bytes).send().await;
    refused(&upload(b"\0asm\x01\0\0\0").await?, "events", "kind")?;
    refused(&upload(b"").await?, "events", "kind")?;
    let mut broken = handlers::read(&standard("events"))?;
    broken[2_000..2_100].fill(0xff);
    refused(&upload(&broken).await?, "events", "compile")?;
    let reasons = refused(&upload(&handlers::read(&standard("rooms"))?).await?, "events", "exports")?;
    assert!(reasons.contains("ondol:chat/events@0.2.0"), "{reasons}");
    let needy = server.upload("messages", guest("needy")).await?;
    let reasons = refused(&needy, "messages", "imports")?;
    assert!(reasons.contains("example:missing/one") && reasons.contains("example:missing/two"), "{reasons}");
    upload(&vec![0; 400_001]).await?.expect_detail(413, "request_too_large")?;
    let status = asked(&server, "/v1/status").await?;
    assert_eq!((&status["release"]["release"], &status["ready"]), (&json!(1), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn the_cases_of_a_deploy_have_to_pass() -> TestResult {
    let server = operated().await?;
    let cases = |name: &str| {
        format!(
            "[[case]]\nname = \"a name stays\"\ncall = \"rooms.create\"\nargs = [{{ name = \"lobby\" }}]\n\
             returns = {{ name = \"{name}\", standing = \"reuse\" }}\n"
        )
    };
    let deploy = async |cases: String| {
        let body = json!({"settings": {"default_name": "거실"}, "cases": cases});
        post(&server, "/v1/handlers/rooms", &body).await
    };
    let reasons = refused(&deploy(cases("hall")).await?, "rooms", "cases")?;
    assert!(reasons.contains("a name stays") && reasons.contains("hall"), "{reasons}");
    assert!(refused(&deploy("nonsense".into()).await?, "rooms", "cases")?.contains("the cases"));
    deploy(cases("lobby")).await?.expect(200)?;
    assert_eq!(asked(&server, "/v1/status").await?["handlers"]["rooms"]["has_cases"], true);
    Ok(())
}

#[tokio::test]
async fn a_configured_token_is_required() -> TestResult {
    let server = TestServer::setup().admin().env("ONDOL_ADMIN_TOKEN", "a long secret").start().await?;
    let ask = async |value: &str| server.admin("GET", "/v1/status")?.header("Authorization", value).send().await;
    let without = server.admin("GET", "/v1/status")?.send().await?;
    without.expect_detail(401, "not_authenticated")?;
    assert!(without.header("www-authenticate").unwrap().starts_with("Bearer"));
    for wrong in ["Bearer a long secre", "Bearer a long secret2", "Basic a long secret", "Bearer ", ""] {
        ask(wrong).await?.expect_detail(401, "not_authenticated")?;
    }
    ask("Bearer a long secret").await?.expect(200)?;
    let twice = server.admin("GET", "/v1/status")?;
    let twice = twice.header("Authorization", "Bearer a long secret").header("Authorization", "Bearer x");
    twice.send().await?.expect_detail(401, "not_authenticated")?;
    assert!(!server.log().since(0).join("\n").contains("a long secret"));
    server.admin("GET", "/readyz")?.send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_token_can_be_read_from_a_file() -> TestResult {
    let home = tempfile::tempdir()?;
    let file = home.path().join("token");
    fs::write(&file, "another secret\n")?;
    let file = file.display().to_string();
    let server = TestServer::setup().admin().flag("--admin-token-file").flag(&file).start().await?;
    command(&server, &["status"])?.expect_parts(1, &["requires its token"])?;
    command(&server, &["status", "--token-file", &file])?.expect_parts(0, &["ready", "release 1"])
}

#[tokio::test]
async fn an_address_that_others_can_reach_requires_a_token() -> TestResult {
    let failed = TestServer::setup().flag("--admin").flag("0.0.0.0:0").start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("admin_token_file"), "{why}");
    Ok(())
}

#[tokio::test]
async fn requests_of_other_pages_are_rejected() -> TestResult {
    let server = operated().await?;
    for (name, value) in [
        ("Origin", "http://127.0.0.1:8000"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "none"),
    ] {
        let answer = server.admin("GET", "/v1/status")?.header(name, value).send().await?;
        answer.expect_detail(403, "browser")?;
    }
    // A page whose name leads to this machine is of the same origin for its browser.
    for (host, status) in [("evil.example:8001", 403), ("localhost", 200), ("[::1]:8001", 200), ("10.0.0.1", 200)] {
        let mut raw = RawSocket::connect(server.admin_address()?.trim_start_matches("http://")).await?;
        raw.send(format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\n\r\n")).await?;
        assert_eq!(raw.read_answer("GET").await?.status, status, "{host}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_paths_methods_and_bodies_are_rejected() -> TestResult {
    let server = operated().await?;
    server.admin("GET", "/v1/nothing")?.send().await?.expect_detail(404, "not_found")?;
    server.admin("POST", "/v1/handlers/nothing")?.send().await?.expect_detail(404, "not_found")?;
    let wrong = server.admin("DELETE", "/v1/releases")?.send().await?;
    wrong.expect_detail(405, "method_not_allowed")?;
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    post(&server, "/v1/releases", &json!({})).await?.expect_field("rooms")?;
    post(&server, "/v1/releases", &json!({"room": {}})).await?.expect_detail(400, "parse_error")?;
    post(&server, "/v1/releases", &json!({"rooms": {}})).await?.expect_field("rooms")?;
    post(&server, "/v1/releases", &json!({"rooms": {"component": "%"}})).await?.expect_field("rooms")?;
    post(&server, "/v1/rollback", &json!({"to": "xyz"})).await?.expect_field("to")?;
    post(&server, "/v1/rollback", &json!({"to": 99})).await?.expect_detail(404, "not_found")?;
    post(&server, "/v1/rollback", &json!({"to": "abcd"})).await?.expect_detail(404, "not_found")?;
    post(&server, "/v1/rollback", &json!({})).await?.expect_detail(404, "not_found")?;
    Ok(())
}

#[tokio::test]
async fn the_actor_and_the_reason_are_recorded_and_logged() -> TestResult {
    let server = operated().await?;
    let bytes = handlers::read(&guest("shouting_events"))?;
    let request = server.admin("POST", "/v1/handlers/events?reason=louder%20please")?;
    request.header("X-Ondol-Actor", "minji").body("application/wasm", bytes).send().await?.expect(200)?;
    let line = server.wait_for_log("activated (release").await?;
    for part in ["handler=events", "release=2", "minji (local)", "louder please", "deploy"] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    let history = asked(&server, "/v1/releases?limit=1").await?;
    assert_eq!((&history[0]["who"], &history[0]["how"]), (&json!("minji (local)"), &json!("deploy")));
    let request = server.admin("POST", "/v1/rollback")?.header("X-Ondol-Actor", "한글");
    request.send().await?.expect_field("X-Ondol-Actor")?;
    Ok(())
}

#[tokio::test]
async fn both_listeners_report_health() -> TestResult {
    let server = operated().await?;
    for target in ["/healthz", "/readyz"] {
        server.get(target).await?.expect(200)?;
        server.admin("GET", target)?.send().await?.expect(200)?;
        server.request("POST", target).send().await?.expect_detail(405, "method_not_allowed")?;
    }
    Ok(())
}

/// Deploys the shouting events handler with the command.
fn deploy_by_command(server: &TestServer) -> TestResult {
    let shouting = format!("events={}", guest("shouting_events").display());
    let deploy = command(server, &["deploy", &shouting, "--reason", "louder", "--actor", "minji"])?;
    deploy.expect_parts(0, &["release 2 is active", "events "])
}

#[tokio::test]
async fn the_commands_deploy_and_show_the_active_versions() -> TestResult {
    let server = operated().await?;
    deploy_by_command(&server)?;
    command(&server, &["status"])?.expect_parts(0, &["ready", "release 2", "louder", "minji"])?;
    command(&server, &["list"])?.expect_parts(0, &["rooms", "messages", "events", "* "])
}

#[tokio::test]
async fn the_history_command_shows_who_deployed_and_rolled_back_and_why() -> TestResult {
    let server = operated().await?;
    deploy_by_command(&server)?;
    let back = command(&server, &["rollback", "--reason", "too loud", "--actor", "junho"])?;
    back.expect_parts(0, &["release 3 is active"])?;
    let history = command(&server, &["history"])?;
    history.expect_parts(0, &["release 3", "replaced", "first"])?;
    history.expect_parts(0, &["deploy by minji (local): louder"])?;
    // The reason of the rollback is also why release 2 ended.
    let back = "rollback to release 1 by junho (local): too loud";
    history.expect_parts(0, &[back, "rolled_back: too loud"])
}

#[tokio::test]
async fn the_commands_deploy_settings_and_show_the_difference_and_roll_back() -> TestResult {
    let server = operated().await?;
    let setting = command(&server, &["deploy", "--setting", "messages.text_length_max=5"])?;
    setting.expect_parts(0, &["release 2 is active"])?;
    let json: Value = serde_json::from_str(&command(&server, &["history", "--output", "json"])?.stdout)?;
    let [active, before] = [0, 1].map(|row| json[row]["versions"]["messages"].as_str().unwrap());
    command(&server, &["diff", active, "--from", before])?.expect_parts(0, &["text_length_max: not set → \"5\""])?;
    command(&server, &["rollback", "--version", before])?.expect_parts(0, &["release 3 is active"])
}

#[tokio::test]
async fn the_commands_report_mistakes() -> TestResult {
    let server = operated().await?;
    let needy = format!("messages={}", guest("needy").display());
    command(&server, &["deploy", &needy])?.expect_parts(1, &["imports", "example:missing/one"])?;
    command(&server, &["rollback"])?.expect_parts(1, &["no release before"])?;
    command(&server, &["deploy"])?.expect_parts(2, &["nothing to deploy"])?;
    command(&server, &["deploy", "nothing=x.wasm"])?.expect_parts(2, &["x.wasm"])?;
    ondol(&["handlers", "status"])?.expect_parts(2, &["--admin"])?;
    ondol(&["handlers", "status", "--admin", "127.0.0.1:1"])?.expect_parts(1, &["cannot connect to http://127.0.0.1:1"])
}

#[tokio::test]
async fn a_unix_socket_is_open_to_its_user_only() -> TestResult {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixStream;

    let home = tempfile::tempdir()?;
    let path = home.path().join("admin.sock");
    let address = format!("unix:{}", path.display());
    let mut server = TestServer::setup().flag("--admin").flag(&address).start().await?;
    let file = fs::metadata(&path)?;
    assert_eq!(file.permissions().mode() & 0o077, 0, "others can open it");
    // A page may reach it where it is forwarded to a port, by a name that leads there.
    for (host, status) in [("evil.example", "403"), ("localhost:8001", "200")] {
        let mut stream = UnixStream::connect(&path)?;
        write!(stream, "GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    command(&server, &["deploy", "--setting", "messages.text_length_max=5"])?.expect(0)?;
    let user = format!("uid {}", file.uid());
    command(&server, &["history"])?.expect_parts(0, &["release 2", &user])?;
    // The socket that a killed server leaves behind is replaced.
    server.restart().await?;
    command(&server, &["status"])?.expect_parts(0, &["release 2"])?;
    server.signal("TERM")?;
    server.exit().await?;
    assert!(!path.exists());
    Ok(())
}

#[tokio::test]
async fn the_diff_compares_two_versions() -> TestResult {
    let server = operated().await?;
    let first = asked(&server, "/v1/status").await?["handlers"]["events"]["version"].clone();
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let diff = asked(&server, &format!("/v1/diff?to={}", first.as_str().unwrap().get(..8).unwrap())).await?;
    assert_eq!((&diff["to"]["version"], &diff["component_differs"]), (&first, &json!(true)));
    assert_eq!(diff["exports"], json!({"removed": [], "added": []}));
    let rooms = asked(&server, "/v1/status").await?["handlers"]["rooms"]["version"].clone();
    let (first, rooms) = (first.as_str().unwrap(), rooms.as_str().unwrap());
    server.admin("GET", &format!("/v1/diff?from={rooms}&to={first}"))?.send().await?.expect_detail(404, "not_found")?;
    server.admin("GET", "/v1/diff")?.send().await?.expect_field("to")?;
    Ok(())
}
