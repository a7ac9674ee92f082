//! Settings: those of the handlers, and those of the server.

use ondol_tests::{TestResult, TestServer, command::Output, guest, ondol};
use serde_json::{Value, json};

#[tokio::test]
async fn the_startup_line_names_the_version_address_data_and_handlers() -> TestResult {
    let server = TestServer::start().await?;
    let words: Vec<_> = server.startup().split(' ').collect();
    let [name, version, listening, on, url, data, rooms, messages, events] = words[..] else {
        panic!("{}", server.startup());
    };
    assert_eq!((name, version, listening, on), ("ondol", env!("CARGO_PKG_VERSION"), "listening", "on"));
    assert_eq!(url, format!("http://{}", server.address()));
    assert_eq!(data, format!("data={}", server.database_file().display()));
    for (word, key) in [(rooms, "rooms="), (messages, "messages="), (events, "events=")] {
        let version = word.strip_prefix(key).unwrap_or_default();
        assert!(version.len() == 12 && version.bytes().all(|b| b.is_ascii_hexdigit()), "{word}");
    }
    Ok(())
}

#[tokio::test]
async fn a_version_is_a_component_and_its_settings() -> TestResult {
    let plain = TestServer::start().await?;
    let set = TestServer::setup().setting("messages", "text_length_max", 5).start().await?;
    let versions = |server: &TestServer| server.startup().split(' ').skip(6).map(ToOwned::to_owned).collect::<Vec<_>>();
    let (plain, set) = (versions(&plain), versions(&set));
    assert_eq!((&plain[0], &plain[2]), (&set[0], &set[2]));
    assert_ne!(plain[1], set[1]);
    Ok(())
}

#[tokio::test]
async fn the_maximum_length_of_a_message_is_a_setting() -> TestResult {
    for setup in [
        TestServer::setup().setting("messages", "text_length_max", 5),
        TestServer::setup().env("ONDOL_SETTINGS_MESSAGES_TEXT_LENGTH_MAX", 5),
        TestServer::setup().flag("--setting").flag("messages.text_length_max=5"),
    ] {
        let server = setup.start().await?;
        let room = server.create_room("lobby").await?;
        let mut ann = server.join(room, "ann").await?;
        ann.say("다섯 글자").await?;
        ann.expect_message("다섯 글자").await?;
        ann.say("여섯 글자!").await?;
        ann.expect_error("too_long").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_default_name_of_a_room_is_a_setting() -> TestResult {
    let server = TestServer::setup()
        .setting("rooms", "default_name", "거실")
        .setting("messages", "text_length_max", 5)
        .start()
        .await?;
    assert_eq!(server.post("/chat/v1/create-room/", &json!({})).await?.expect(201)?["name"], "거실");
    Ok(())
}

#[tokio::test]
async fn a_setting_turns_announcements_off() -> TestResult {
    let server = TestServer::setup().setting("events", "announce", "nothing").start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.open_tab(room, "ann").await?;
    ann.expect_nothing_before("hi").await?;
    server.open_tab(room, "ben").await?.leave().await?;
    ann.expect_nothing_before("no join and no leave").await?;
    Ok(())
}

#[tokio::test]
async fn a_setting_that_the_handler_rejects_keeps_the_server_from_starting() -> TestResult {
    let failed = TestServer::setup().setting("messages", "text_length_max", "many").start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("text_length_max"), "{why}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_keeps_the_server_from_starting() -> TestResult {
    let failed = TestServer::setup().limit("frame_byte_max", 5).start().await;
    let why = format!("{:#}", failed.expect_err("it started"));
    assert!(why.contains("frame_byte_max") && why.contains("frame_bytes_max"), "{why}");
    Ok(())
}

/// Runs `ondol handlers` with these words on this server.
fn command(server: &TestServer, words: &[&str]) -> TestResult<Output> {
    let address = server.admin_address()?.to_owned();
    ondol(&["handlers"].into_iter().chain(words.iter().copied()).chain(["--admin", &address]).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_deploy_says_which_settings_are_in_force_and_which_were_taken_away() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let deploy = |setting: &str| command(&server, &["deploy", "--setting", setting]);
    deploy("events.announce=nothing")?.expect_parts(0, &["settings of events\n  announce = nothing\n"])?;
    let lost = deploy("events.announced=nothing")?;
    lost.expect_parts(0, &["  announced = nothing\n", "  announce: taken away\n"])?;
    lost.expect_parts(0, &["WARNING: no call of the admission checks asked for announced; they asked for announce"])?;
    server.wait_for_log("asked for these settings of handler events: announced").await?;
    command(&server, &["rollback"])?.expect_parts(0, &["  announce = nothing\n", "  announced: taken away\n"])?;
    deploy("events.announced=nothing")?.expect(0)?;
    // Another component keeps them.
    let file = format!("events={}", guest("shouting_events").display());
    command(&server, &["deploy", &file])?.expect_parts(0, &["  announced = nothing\n", "WARNING"])
}

#[tokio::test]
async fn a_list_is_a_setting() -> TestResult {
    let server =
        TestServer::setup().admin().config("[settings.rooms]\nwords = [\"a\", \"바보\", 3, true]").start().await?;
    let settings = async |handler: &str| -> TestResult<Value> {
        let status = server.admin("GET", "/v1/status")?.send().await?.expect(200)?;
        Ok(status["handlers"][handler]["settings"].clone())
    };
    assert_eq!(settings("rooms").await?, json!({ "words": r#"["a","바보",3,true]"# }));
    let body = json!({ "words": ["a", ["b"]] }).to_string();
    server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect(200)?;
    assert_eq!(settings("messages").await?, json!({ "words": r#"["a",["b"]]"# }));
    let body = json!({ "words": { "a": 1 } }).to_string();
    server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect_field("settings")?;
    Ok(())
}

#[tokio::test]
async fn settings_do_not_displace_the_components_of_a_rollback() -> TestResult {
    let server = TestServer::setup().admin().limit("versions_kept_max", 3).start().await?;
    let versions = async || server.admin("GET", "/v1/handlers")?.send().await?.expect(200);
    let first = versions().await?["messages"][0]["version"].clone();
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    for ban in 1..=6 {
        let body = json!({ "banned": [ban] }).to_string();
        server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect(200)?;
    }
    let kept = versions().await?["messages"].clone();
    assert_eq!(kept.as_array().map(Vec::len), Some(4), "three of the one component, and the other: {kept}");
    let body = json!({ "to": first }).to_string();
    server.admin("POST", "/v1/rollback")?.json(body).send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn the_status_shows_the_beginning_of_a_long_setting() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let body = json!({ "banned": "u1,".repeat(10_000) }).to_string();
    server.admin("PUT", "/v1/handlers/messages/settings")?.json(body).send().await?.expect(200)?;
    let status = command(&server, &["status"])?;
    status.expect_parts(0, &["banned = u1,u1,", "… (30000 characters)"])?;
    assert!(status.stdout.len() < 10_000, "{} bytes", status.stdout.len());
    Ok(())
}
