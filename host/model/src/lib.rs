//! The words of the chat as plain data: rooms, users, messages, refusals. Knows nothing of sockets, storage or wasm, does
//! no IO and decides nothing.

pub mod frame;
mod request;
mod speaker;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use request::RequestId;
pub use speaker::{Speaker, UserKey};

/// A room's number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// A message's number over all rooms, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// A message's place in its room: 1, 2, 3 … without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The present, or 1970 on a machine whose clock stands before it.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-01-31T09:30:00.125Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", moment.unwrap_or(jiff::Timestamp::MAX))
    }
}

/// Who is calling, as the gateway verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What membership is counted by.
    pub id: String,
    /// The name to show.
    pub nickname: String,
    /// What a message shows as its sender.
    pub email: String,
    /// Where the picture is.
    pub profile_url: Option<String>,
}

/// A chat room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its number.
    pub id: RoomId,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// The post that it belongs to.
    pub post_id: Option<u64>,
    /// The user who created it.
    pub owner: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What `rooms.create` is asked.
#[derive(Clone, Debug, Default)]
pub struct RoomRequest {
    /// The name as it came.
    pub name: Option<String>,
    /// The post that the room is to belong to.
    pub post_id: Option<u64>,
}

/// What becomes of a request for a post that has a room already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The standing room answers.
    Reuse,
    /// The request is refused.
    Refuse,
}

/// What `rooms.create` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDraft {
    /// The name to give it.
    pub name: String,
    /// What to do when the post has a room.
    pub standing: Standing,
}

/// What a client sent, whole and unread.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// A text message of a WebSocket.
    Text(&'a str),
    /// A binary message of a WebSocket.
    Binary(&'a [u8]),
    /// The body of `POST message/`.
    Body(&'a str),
}

/// A message that a handler drafted from a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What is said.
    pub text: String,
    /// The client's own id for it.
    pub client_id: Option<String>,
    /// The message that it answers.
    pub parent: Option<MessageId>,
    /// What the handler wants kept beside the text.
    pub extra: Option<String>,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store it and send its event to the room.
    Post(Draft),
    /// Send this payload to the room; store nothing.
    Relay(String),
    /// Nothing.
    Ignore,
}

/// A message that was accepted: numbered, and about to be stored or stored already.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number over all rooms.
    pub id: MessageId,
    /// Where it was said.
    pub room: RoomId,
    /// Its place in the room.
    pub seq: Seq,
    /// Who said it.
    pub sender: std::sync::Arc<Speaker>,
    /// What was drafted.
    pub draft: Draft,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// A considered no, told to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field at fault.
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal of the host's own.
    #[must_use]
    pub fn new(code: &str, field: Option<&str>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), field: field.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_as_rfc_3339_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_769_851_800_125, "2026-01-31T09:30:00.125Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
        assert!(Timestamp(u64::MAX).to_string().starts_with("9999-12-3"));
    }
}
