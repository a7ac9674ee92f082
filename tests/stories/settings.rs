//! Settings: those of the handlers, and those of the server.

use ondol_tests::{TestResult, TestServer};
use serde_json::json;

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
