//! The JSON that clients receive. Knows the wire and nothing of components.
//!
//! Each event is a struct whose fields are the keys that the API promises, in their order.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};

/// The event for an accepted message.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "chat.message")]
pub struct Message<'a> {
    /// What was said.
    #[serde(rename = "message")]
    pub text: &'a str,
    /// Its sender's address.
    #[serde(rename = "sender")]
    pub email: &'a str,
    /// Its sender's name.
    pub nickname: &'a str,
    /// Its sender's picture.
    #[serde(rename = "profile_picture_url")]
    pub profile_url: Option<&'a str>,
    /// Its number over all rooms.
    pub id: u64,
    /// The room that it was said in.
    pub room: u64,
    /// Its place in that room.
    pub seq: u64,
    /// When the host accepted it, in milliseconds since 1970.
    #[serde(serialize_with = "rfc_3339")]
    pub created_at: u64,
    /// The client's own id for it.
    pub client_id: Option<&'a str>,
    /// The message that it answers.
    pub parent: Option<u64>,
    /// What the `messages` handler kept beside the text, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a str>,
}

/// The event for a user's coming or going.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Presence<'a> {
    #[serde(rename = "chat.user.join")]
    Join { username: &'a str },
    #[serde(rename = "chat.user.leave")]
    Leave { username: &'a str },
}

/// The event for a refusal.
#[derive(Serialize)]
#[serde(tag = "type", rename = "error")]
struct Refusal<'a> {
    error_type: &'a str,
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// Whether the members of a room are told of each other's coming and going. Setting `announce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// They are.
    JoinsAndLeaves,
    /// They are told nothing.
    Nothing,
}

/// The event for a message.
#[must_use]
pub fn message(message: &Message<'_>) -> String {
    json(message)
}

/// The event for a user who has come; none where the operator wants none.
#[must_use]
pub fn join(announce: Announce, nickname: &str) -> Option<String> {
    (announce == Announce::JoinsAndLeaves).then(|| json(&Presence::Join { username: nickname }))
}

/// The event for a user who has gone; none where the operator wants none.
#[must_use]
pub fn leave(announce: Announce, nickname: &str) -> Option<String> {
    (announce == Announce::JoinsAndLeaves).then(|| json(&Presence::Leave { username: nickname }))
}

/// The event for the client whose frame was refused.
#[must_use]
pub fn refusal(code: &str, message: &str, field: Option<&str>) -> String {
    json(&Refusal { error_type: "invalid_request", message, code, field })
}

impl Announce {
    /// Reads the setting from `get`; without one, joins and leaves are announced.
    ///
    /// # Errors
    /// A sentence with the key and what it takes, when the value is none of that.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        match get("announce").as_deref() {
            None | Some("joins_and_leaves") => Ok(Self::JoinsAndLeaves),
            Some("nothing") => Ok(Self::Nothing),
            Some(value) => Err(format!("The setting announce takes joins_and_leaves or nothing, not {value:?}.")),
        }
    }
}

/// Text and numbers always have a JSON form, so this does not fail.
fn json(event: &impl Serialize) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

/// A moment in UTC with milliseconds: `2026-01-31T09:30:00.125Z`. Past the end of the year 9999 it is the last one that
/// jiff has.
fn rfc_3339<S: Serializer>(milliseconds: &u64, to: S) -> Result<S::Ok, S::Error> {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let moment = i64::try_from(*milliseconds).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    to.serialize_str(&PRINTER.timestamp_to_string(&moment.unwrap_or(Timestamp::MAX)))
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
