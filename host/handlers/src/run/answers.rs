//! What the contract demands of an answer beyond its type. The server and the tools check it here.

use ondol_host_model::Draft;
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
    const WHAT: &str = "a room's name";
    check_chars(WHAT, &ondol_text::nfc(name), ROOM_NAME_CHARS_MAX)?;
    check_stored(WHAT, name)
}

/// A message to store.
pub(crate) fn check_draft(draft: &Draft) -> Result<(), Cause> {
    check_text(&draft.text)?;
    draft.client_id.as_deref().map_or(Ok(()), check_client_id)?;
    draft.extra.as_deref().map_or(Ok(()), check_extra)
}

fn check_text(text: &str) -> Result<(), Cause> {
    check_stored("a message's text", text)
}

/// The id that a client gave a message.
pub(crate) fn check_client_id(id: &str) -> Result<(), Cause> {
    const WHAT: &str = "a client's id for a message";
    check_chars(WHAT, id, CLIENT_ID_CHARS_MAX)?;
    check_stored(WHAT, id)
}

fn check_extra(extra: &str) -> Result<(), Cause> {
    check_stored("a message's extra", extra)
}

/// A text that the store keeps. PostgreSQL cannot, so no store is given it.
fn check_stored(what: &str, text: &str) -> Result<(), Cause> {
    if text.contains('\0') {
        return Err(Cause::Answer(format!("{what} contains U+0000, which cannot be stored")));
    }
    Ok(())
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
        "messages.receive" => at("/post/text", check_text)
            .and_then(|()| at("/post/client-id", check_client_id))
            .and_then(|()| at("/post/extra", check_extra))
            .and_then(|()| at("/relay", check_payload)),
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
    fn what_cannot_be_stored_is_named() {
        let draft = |text: &str, client_id: Option<&str>, extra: Option<&str>| {
            let (client_id, extra) = (client_id.map(str::to_owned), extra.map(str::to_owned));
            check_draft(&Draft { text: text.to_owned(), client_id, parent: None, extra })
        };
        for (checked, what) in [
            (draft("a\0b", None, None), "a message's text"),
            (draft("a", Some("a\0b"), None), "a client's id for a message"),
            (draft("a", Some("1"), Some("\0")), "a message's extra"),
            (check_name("a\0b"), "a room's name"),
        ] {
            let expected = format!("its answer breaks the contract: {what} contains U+0000, which cannot be stored");
            assert_eq!(checked.unwrap_err().to_string(), expected);
        }
        assert!(draft("a\u{1}\u{7f}", Some("1"), Some("{}")).is_ok());
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
            ("rooms.create", json!({"name": "a\0b", "standing": "reuse"}), false),
            ("messages.receive", json!({"post": {"text": "a\0b", "client-id": null}}), false),
            ("messages.receive", json!({"post": {"text": "", "client-id": "a\0b"}}), false),
            ("messages.receive", json!({"post": {"text": "", "extra": "a\0b"}}), false),
            ("messages.receive", json!({"post": {"text": "a\u{1}\n", "extra": "\"a\\u0000b\""}}), true),
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
