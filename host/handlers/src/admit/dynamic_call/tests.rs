//! Calls by name, with the default handlers as `make handlers` has built them.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::run::limits::HandlersLimits;

/// What `call` of the default handler `file` comes to, or why it was not made.
fn call(file: &str, name: &str, arguments: &Json) -> Result<Outcome, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/handlers");
    let bytes = std::fs::read(directory.join(file)).expect("`make handlers` comes first");
    let sandbox = Sandbox::new(&HandlersLimits::for_tests().sandbox, None).unwrap();
    let caller = DynamicCaller::new(&sandbox, &bytes).unwrap();
    let called = caller.call(name, arguments, &SettingsMap::new());
    called.map(|called| called.outcome).map_err(|error| error.to_string())
}

fn receive(sender: &Json, frame: &Json) -> Result<Outcome, String> {
    call("messages.wasm", "messages.receive", &json!([sender, 1, frame]))
}

fn minji() -> Json {
    json!({"id": "u1", "nickname": "민지", "email": "minji@example.com"})
}

#[test]
fn a_lone_argument_needs_no_array_and_names_may_have_underscores() {
    let outcome = call("rooms.wasm", "rooms.create", &json!({"name": "방", "post_id": 7}));
    let Ok(Outcome::Answer(draft)) = outcome else { unreachable!("the name is fine") };
    assert_eq!(draft, json!({"name": "방", "standing": "reuse"}));
}

#[test]
fn an_answer_and_a_refusal_are_told_apart() {
    let outcome = receive(&minji(), &json!({"text": r#"{"type":"chat.message","message":"안녕"}"#}));
    let Ok(Outcome::Answer(action)) = outcome else { unreachable!("the frame is fine") };
    assert_eq!(action, json!({"post": {"text": "안녕", "client-id": null, "parent": null, "extra": null}}));

    let refused = receive(&minji(), &json!({"binary": [1, 2, 255]}));
    assert!(
        matches!(&refused, Ok(Outcome::Refusal(refusal)) if refusal.get("code") == Some(&json!("binary"))),
        "{refused:?}"
    );
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let error_of = |sender: &Json, frame: Json| receive(sender, &frame).unwrap_err();
    let missing = error_of(&json!({"id": "u1"}), json!({"text": ""}));
    assert_eq!(missing, "sender.nickname takes a value; got nothing");

    let mut stranger = minji();
    stranger.as_object_mut().unwrap().insert("colour".to_owned(), json!("red"));
    assert_eq!(
        error_of(&stranger, json!({"text": ""})),
        "sender takes only the fields id, nickname, email, profile-url; got \"colour\""
    );
    assert_eq!(
        error_of(&minji(), json!({"txt": ""})),
        "frame takes one of {\"text\": …}, {\"binary\": …}, {\"body\": …}; got {\"txt\":\"\"}"
    );
    assert_eq!(
        error_of(&minji(), json!({"binary": [1, 256]})),
        "frame.binary[1] takes a number from 0 to 255; got 256"
    );
    assert_eq!(
        error_of(&json!(3), json!({"text": ""})),
        "sender takes an object with id, nickname, email, profile-url; got 3"
    );
}

#[test]
fn an_unknown_function_or_too_few_arguments_are_told_with_what_there_is() {
    let unknown = call("events.wasm", "events.massage", &json!([]));
    assert_eq!(
        unknown.unwrap_err(),
        "it exports no function `events.massage`; it exports events.message, events.join, events.leave, events.refusal"
    );
    let few = call("events.wasm", "events.join", &json!([1])).unwrap_err();
    assert_eq!(few, "events.join takes an array of 2 arguments (room, user); got 1");
}
