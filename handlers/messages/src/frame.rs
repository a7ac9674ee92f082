//! Whether a client's frame is a message, and which. Knows the chat's rules and neither components nor how JSON is read.
//!
//! What is not JSON is refused before anything else, then what is said twice, then each field in the order `type`,
//! `message`, `client_id`, `parent`: a client hears of one fault at a time, and always of the same one.

use std::borrow::Cow;

use super::json::{self, Fields, Value};

/// The one `type` that a frame may have.
const CHAT_MESSAGE: &str = "chat.message";

/// The longest id that the contract lets a client give a message, in characters.
const CLIENT_ID_LENGTH_MAX: usize = 64;

/// The most that the setting `text_length_max` may be, in characters: past what the host lets through anyway.
const TEXT_LENGTH_MAX_MAX: usize = 1_000_000;

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A text message of a WebSocket.
    Text(&'a str),
    /// A binary message of a WebSocket; its bytes change nothing.
    Binary,
    /// The body of `POST message/`. It is a message by where it was sent, so it may lack a `type`.
    Body(&'a str),
}

/// A message that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What is said, without the white space around it.
    pub text: String,
    /// The client's own id for it.
    pub client_id: Option<String>,
    /// The message that it answers.
    pub parent: Option<u64>,
}

/// A no, for the sender alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: &'static str,
    /// For people: one sentence. Never repeats what the client sent.
    pub message: Cow<'static, str>,
    /// The key at fault; none when it is the whole frame.
    pub field: Option<&'static str>,
}

/// What the operator has set, or the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in characters after trimming, in NFC. Setting `text_length_max`.
    pub text_length_max: usize,
}

/// Reads a frame as a message.
///
/// # Errors
/// A refusal with the code `binary`, `invalid_json`, `not_an_object`, `duplicate_key`, `missing_type`, `unknown_type`,
/// `wrong_type`, `missing`, `blank`, `invalid`, `too_long`, `invalid_client_id` or `invalid_parent`.
pub fn read(limits: &Limits, frame: &Frame<'_>) -> Result<Draft, Refusal> {
    let (json, is_body) = match *frame {
        Frame::Text(text) => (text, false),
        Frame::Body(body) => (body, true),
        Frame::Binary => {
            return refuse("binary", None, "A message must be sent as text, not as binary data.");
        }
    };
    let Fields { kind, message, client_id, parent, repeated } = match json::parse(json) {
        Ok(fields) => fields,
        Err(json::Error::NotAnObject) => return refuse("not_an_object", None, "A message must be a JSON object."),
        Err(json::Error::Syntax(why)) => return refuse("invalid_json", None, format!("This is not JSON: {why}.")),
    };
    if let Some(key) = repeated {
        return refuse("duplicate_key", Some(key), format!("The key {key} must not be given twice."));
    }
    check_kind(&kind, is_body)?;
    Ok(Draft {
        text: read_text(&message, limits.text_length_max)?,
        client_id: read_client_id(client_id)?,
        parent: read_parent(&parent)?,
    })
}

impl Limits {
    /// The limits that `get` tells of; a key that it has nothing for keeps its default.
    ///
    /// # Errors
    /// A sentence with the key and what it takes, when a value is none of that.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let Some(value) = get("text_length_max") else {
            return Ok(Self::default());
        };
        match value.parse() {
            Ok(text_length_max @ 1..=TEXT_LENGTH_MAX_MAX) => Ok(Self { text_length_max }),
            _ => Err(format!(
                "The setting text_length_max takes a whole number of characters from 1 to {TEXT_LENGTH_MAX_MAX}, not \
                 {value:?}."
            )),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { text_length_max: 2000 }
    }
}

fn check_kind(kind: &Value<'_>, may_be_missing: bool) -> Result<(), Refusal> {
    match kind {
        Value::Text(kind) if kind == CHAT_MESSAGE => Ok(()),
        Value::Missing if may_be_missing => Ok(()),
        Value::Missing => refuse("missing_type", Some("type"), "The type is missing; it must be \"chat.message\"."),
        Value::Text(_) => refuse("unknown_type", Some("type"), "The type is unknown; it must be \"chat.message\"."),
        _ => refuse("wrong_type", Some("type"), "The type must be a string."),
    }
}

fn read_text(message: &Value<'_>, length_max: usize) -> Result<String, Refusal> {
    const FIELD: Option<&str> = Some("message");
    let text = match message {
        Value::Text(text) => text.trim(),
        Value::Missing => return refuse("missing", FIELD, "The message is missing."),
        _ => return refuse("wrong_type", FIELD, "The message must be a string."),
    };
    if ondol_text::is_blank(text) {
        return refuse("blank", FIELD, "The message must not be blank.");
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t' | '\r')) {
        return refuse(
            "invalid",
            FIELD,
            "The message must not contain control characters other than line breaks and tabs.",
        );
    }
    if ondol_text::is_longer(text, length_max) {
        return refuse("too_long", FIELD, format!("The message must have at most {length_max} characters."));
    }
    Ok(text.to_owned())
}

/// A client that echoes an event says null where it has no id, so null is the same as nothing.
fn read_client_id(client_id: Value<'_>) -> Result<Option<String>, Refusal> {
    match client_id {
        Value::Missing | Value::Null => Ok(None),
        Value::Text(id)
            if (1..=CLIENT_ID_LENGTH_MAX).contains(&id.chars().count()) && !id.contains(char::is_control) =>
        {
            Ok(Some(id.into_owned()))
        }
        _ => refuse(
            "invalid_client_id",
            Some("client_id"),
            format!(
                "The client_id must be a string of 1 to {CLIENT_ID_LENGTH_MAX} characters, none of them a control character."
            ),
        ),
    }
}

fn read_parent(parent: &Value<'_>) -> Result<Option<u64>, Refusal> {
    match *parent {
        Value::Missing | Value::Null => Ok(None),
        Value::Whole(id @ 1..) => Ok(Some(id)),
        _ => refuse("invalid_parent", Some("parent"), "The parent must be the id of a message: a whole number from 1."),
    }
}

fn refuse<T>(
    code: &'static str,
    field: Option<&'static str>,
    message: impl Into<Cow<'static, str>>,
) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into(), field })
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
