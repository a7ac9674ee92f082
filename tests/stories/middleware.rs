//! Middleware: composed with the handler behind it, with settings of its own; and the examples that are shipped. With
//! them goes the promise that it rests on: components of the first contract stay good.

use std::path::{Path, PathBuf};

use ondol_tests::{TestResult, TestServer, command::Output, guest, handlers, ondol, standard};
use serde_json::json;

/// One of the components of `examples/middleware`.
fn middleware(name: &str) -> PathBuf {
    handlers::target().join("wasm32-wasip2/handler").join(format!("{name}.wasm"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The layers as an argument: the front one first, and the default handler behind all.
fn layers(names: &[&str]) -> String {
    let fronts = names.iter().map(|name| text(&middleware(name)) + "+");
    fronts.collect::<String>() + &text(&standard("messages"))
}

fn deploy(server: &TestServer, arguments: &[&str]) -> TestResult<Output> {
    ondol(&[&["handlers", "deploy"], arguments, &["--admin", server.admin_address()?]].concat())
}

#[test]
fn the_examples_pass_their_cases_in_front_of_the_default_handler() -> TestResult {
    for (name, cases) in [("word_filter", "word-filter"), ("commands", "commands"), ("typing", "typing")] {
        let cases = text(&handlers::workspace().join("examples/middleware").join(cases).join("cases.toml"));
        ondol(&["test", &layers(&[name]), "--cases", &cases])?.expect_parts(0, &["0 failed"])?;
    }
    Ok(())
}

#[test]
fn a_filter_changes_nothing_for_the_handler_behind_it() -> TestResult {
    let cases = text(&handlers::workspace().join("handlers/messages/cases.toml"));
    ondol(&["test", &layers(&["word_filter", "commands"]), "--cases", &cases])?.expect_parts(0, &[" 0 failed"])
}

#[test]
fn call_and_check_take_layers_in_place_of_a_file() -> TestResult {
    let layers = layers(&["commands"]);
    let frame = r#"[{"id": "a", "nickname": "a", "email": "a@b.c"}, 1, {"body": "{\"message\": \"/me waves\"}"}]"#;
    ondol(&["call", &layers, "messages.receive", frame])?
        .expect_parts(0, &[r#""text":"waves""#, r#"{\"me\":true}"#])?;
    let cases = text(&handlers::workspace().join("examples/middleware/commands/cases.toml"));
    ondol(&["check", &format!("messages={layers}"), "--cases", &format!("messages={cases}")])?
        .expect_parts(0, &["fine   messages"])?;
    let alone = ondol(&["check", &format!("messages={}", text(&middleware("commands")))])?;
    alone.expect_parts(1, &["it is a middleware", "ondol compose"])
}

#[test]
fn inspect_tells_middleware_from_a_handler_and_names_the_layers() -> TestResult {
    let filter = text(&middleware("word_filter"));
    ondol(&["inspect", &filter])?.expect_parts(
        0,
        &["message-middleware (in front of messages.wasm): fits", "it is a middleware", "ondol compose"],
    )?;
    let home = tempfile::tempdir()?;
    let composed = text(&home.path().join("composed.wasm"));
    ondol(&["compose", &filter, &text(&middleware("typing")), &text(&standard("messages")), "-o", &composed])?
        .expect_parts(0, &[])?;
    let inspected = ondol(&["inspect", &composed])?;
    inspected.expect_parts(0, &["message-handler (messages.wasm): fits", "settings word-filter.*"])?;
    let order = ["\n  word-filter ", "\n  typing ", "\n  messages "].map(|layer| inspected.stdout.find(layer));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{}", inspected.stdout);
    Ok(())
}

#[test]
fn layers_that_cannot_be_composed_are_named_with_what_to_do() -> TestResult {
    let (filter, typing, messages) =
        (text(&middleware("word_filter")), text(&middleware("typing")), text(&standard("messages")));
    let rooms = text(&standard("rooms"));
    let home = tempfile::tempdir()?;
    let composed = text(&home.path().join("composed.wasm"));
    for (layers, why) in [
        ([&typing, &filter], "word-filter: it imports ondol:chat/messages@0.2.0, so it is a middleware"),
        ([&messages, &rooms], "rooms: it does not export ondol:chat/messages@0.2.0"),
        ([&rooms, &messages], "rooms: it does not export ondol:chat/messages@0.2.0"),
        ([&typing, &typing], "two layers have the name `typing`"),
    ] {
        ondol(&["compose", layers[0], layers[1], "-o", &composed])?.expect_parts(1, &[why])?;
    }
    let other = home.path().join("other.wasm");
    std::fs::copy(&messages, &other)?;
    ondol(&["compose", &text(&other), &messages, "-o", &composed])?
        .expect_parts(1, &["other: it does not import ondol:chat/messages@0.2.0"])?;
    let spaced = home.path().join("My Filter.wasm");
    std::fs::copy(&filter, &spaced)?;
    ondol(&["compose", &text(&spaced), &messages, "-o", &composed])?
        .expect_parts(1, &["My Filter", "rename the file"])?;
    std::fs::write(home.path().join("text.wasm"), "(component)")?;
    ondol(&["compose", &text(&home.path().join("text.wasm")), &messages, "-o", &composed])?
        .expect_parts(1, &["text: it is WebAssembly text"])?;
    assert!(!Path::new(&composed).exists(), "a file was written");
    ondol(&["compose", &filter, &messages, "-o", &composed])?.expect_parts(0, &[])?;
    ondol(&["compose", &composed, &messages, "-o", &composed])?.expect_parts(1, &["composed of layers already"])
}

#[tokio::test]
async fn middleware_goes_live_in_front_of_the_handler_with_settings_of_its_own() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;

    let all = format!("messages={}", layers(&["typing", "word_filter", "commands"]));
    let words = r#"messages.word-filter.words=["damn"]"#;
    deploy(&server, &[&all, "--setting", words, "--setting", "messages.text_length_max=20"])?
        .expect_parts(0, &["is active"])?;

    ann.say("you DAMN fool").await?;
    ann.expect_error("word_not_allowed").await?;
    ann.say("more than twenty characters").await?;
    ann.expect_error("too_long").await?;
    ann.say("/shrug").await?;
    ben.expect_message(r"¯\_(ツ)_/¯").await?;
    ann.expect_message(r"¯\_(ツ)_/¯").await?;
    ann.send(r#"{"type":"chat.typing"}"#).await?;
    for member in [&mut ann, &mut ben] {
        member.expect_exactly(r#"{"type":"chat.typing","username":"ann"}"#).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_setting_that_a_layer_rejects_is_told_at_the_deploy() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let all = format!("messages={}", layers(&["word_filter"]));
    deploy(&server, &[&all, "--setting", "messages.word-filter.words=damn"])?
        .expect_parts(1, &["the setting `words` takes a JSON array of strings"])?;
    deploy(&server, &[&format!("messages={}", text(&middleware("word_filter")))])?
        .expect_parts(1, &["it is a middleware", "ondol compose"])
}

#[tokio::test]
async fn components_of_the_first_contract_stay_good() -> TestResult {
    let frozen = guest("contract_0_2_0");
    let server = TestServer::setup()
        .handler("rooms", &frozen)
        .handler("messages", &frozen)
        .handler("events", &frozen)
        .setting("messages", "greeting", "hi ")
        .start()
        .await?;
    let refused = server.post("/chat/v1/create-room/", &json!({})).await?.expect(400)?;
    assert_eq!(refused["code"], "no_name");
    let room = server.create_room("lobby").await?;
    let mut ann = server.open_tab(room, "ann").await?;
    ann.expect_exactly(r#""ann""#).await?;
    ann.send("all").await?;
    ann.expect_exactly(r#"{"seq":1,"text":"hi all","by":"ann"}"#).await?;
    ann.send(r#""typing""#).await?;
    ann.expect_exactly(r#""ann""#).await?;
    ann.send_binary(b"\0").await?;
    ann.expect_exactly(r#""binary""#).await?;

    let home = tempfile::tempdir()?;
    let back = home.path().join("frozen.wasm");
    std::fs::copy(&frozen, &back)?;
    let layers = format!("{}+{}", text(&middleware("word_filter")), text(&back));
    ondol(&["inspect", &layers])?.expect_parts(0, &["message-handler (messages.wasm): fits"])?;
    let say = |frame: &str| {
        let settings = [r#"word-filter.words=["damn"]"#, "greeting=hi "].map(|setting| ["--setting", setting]);
        let arguments = json!([{ "id": "a", "nickname": "a", "email": "a@b.c" }, 1, { "text": frame }]).to_string();
        ondol(&[&["call", &layers, "messages.receive", &arguments][..], &settings.concat()].concat())
    };
    say("all")?.expect_parts(0, &[r#"{"post":{"text":"hi all""#])?;
    say("you damn fool")?.expect_parts(0, &["word_not_allowed"])?;
    say(r#""typing""#)?.expect_parts(0, &[r#"{"relay":"\"a\""}"#])
}
