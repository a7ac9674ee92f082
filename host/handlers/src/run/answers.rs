//! What the contract demands of an answer beyond its type. The server and the tools check it here.

use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::fault::Cause;

/// The longest name of a room, in characters after composition (NFC).
const ROOM_NAME_CHARS_MAX: usize = 100;

/// The longest id that a client may give its message, in characters.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// The longest code of a refusal, in bytes.
const REFUSAL_CODE_BYTES_MAX: usize = 64;

/// The name of a new room.
pub(crate) fn check_name(name: &str) -> Result<(), Cause> {
    check_chars("a room's name", &ondol_text::nfc(name), ROOM_NAME_CHARS_MAX)
}

/// The id that a client gave a message.
pub(crate) fn check_client_id(id: &str) -> Result<(), Cause> {
    check_chars("a client's id for a message", id, CLIENT_ID_CHARS_MAX)
}

/// The code of a refusal.
pub(crate) fn check_code(code: &str) -> Result<(), Cause> {
    if (1..=REFUSAL_CODE_BYTES_MAX).contains(&code.len()) {
        return Ok(());
    }
    Err(Cause::Answer(format!("a refusal's code has 1 to {REFUSAL_CODE_BYTES_MAX} bytes, not {}", code.len())))
}

/// A payload is one JSON value (RFC 8259). What it says is the handler's business.
pub(crate) fn check_payload(payload: &str) -> Result<(), Cause> {
    match serde_json::from_str::<IgnoredAny>(payload) {
        Ok(_) => Ok(()),
        Err(error) => Err(Cause::Answer(format!("a payload is one JSON value: {error}"))),
    }
}

/// The answer of a function in the form of JSON: of a `result`, its ok. A function that is not of the contract promises
/// nothing.
pub(crate) fn check_answer(function: &str, answer: &Json) -> Result<(), Cause> {
    let at = |pointer: &str, check: fn(&str) -> Result<(), Cause>| {
        answer.pointer(pointer).and_then(Json::as_str).map_or(Ok(()), check)
    };
    match function {
        "rooms.create" => at("/name", check_name),
        "messages.receive" => at("/post/client-id", check_client_id).and_then(|()| at("/relay", check_payload)),
        "events.message" | "events.join" | "events.leave" | "events.refusal" => at("", check_payload),
        _ => Ok(()),
    }
}

/// The refusal of a function in the form of JSON.
pub(crate) fn check_refusal(function: &str, refusal: &Json) -> Result<(), Cause> {
    match (function, refusal.get("code").and_then(Json::as_str)) {
        ("rooms.create" | "messages.receive", Some(code)) => check_code(code),
        _ => Ok(()),
    }
}

/// A text has 1 to `chars_max` characters.
fn check_chars(what: &str, text: &str, chars_max: usize) -> Result<(), Cause> {
    let chars = text.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(());
    }
    Err(Cause::Answer(format!("{what} has 1 to {chars_max} characters, not {chars}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_is_one_json_value() {
        for payload in [r#"{"type":"chat.message"}"#, "[1]", "\"방\"", " null\n", "-1.5e3", r#"["\u00e9"]"#] {
            assert!(check_payload(payload).is_ok(), "{payload}");
        }
        for payload in ["", "{", "{} {}", "hello", "{\"a\":\"\n\"}", "{'a':1}", "[1,]", "01", "\"\\x\""] {
            assert!(check_payload(payload).is_err(), "{payload}");
        }
        assert!(check_payload(&"[".repeat(100_000)).is_err(), "depth is no danger");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(check_payload(&deep).is_ok(), "nor is it a fault");
    }

    #[test]
    fn answers_in_json_are_checked_as_those_in_the_server() {
        let long = "x".repeat(101);
        for (function, answer, holds) in [
            ("rooms.create", json!({"name": "방", "standing": "reuse"}), true),
            ("rooms.create", json!({"name": "", "standing": "reuse"}), false),
            ("rooms.create", json!({"name": long, "standing": "reuse"}), false),
            ("messages.receive", json!("ignore"), true),
            ("messages.receive", json!({"relay": "{}"}), true),
            ("messages.receive", json!({"relay": "no JSON"}), false),
            ("messages.receive", json!({"post": {"text": "", "client-id": null}}), true),
            ("messages.receive", json!({"post": {"text": "", "client-id": long}}), false),
            ("events.join", json!(null), true),
            ("events.join", json!("no JSON"), false),
            ("events.message", json!("no JSON"), false),
            ("other.function", json!("no JSON"), true),
        ] {
            assert_eq!(check_answer(function, &answer).is_ok(), holds, "{function}: {answer}");
        }
        assert!(check_refusal("messages.receive", &json!({"code": "blank"})).is_ok());
        for code in ["", &long] {
            assert!(check_refusal("rooms.create", &json!({ "code": code })).is_err(), "{code}");
        }
    }
}
