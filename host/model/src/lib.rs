//! The chat as plain data: rooms, users, messages, refusals, and WebSocket frames as bytes. Depends on no other crate
//! of the host, does no I/O and decides nothing.

pub mod frame;
mod request;
mod speaker;
pub mod trace;

use std::fmt;
use std::str::FromStr;
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
    /// The number after this one.
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
    /// The present, or 1970 if the machine's clock is set to an earlier time.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// RFC 3339 with any offset. Digits beyond milliseconds are left out. Fails before 1970 and after 9999.
impl FromStr for Timestamp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| ())?;
        u64::try_from(moment.as_millisecond()).map(Self).map_err(|_| ())
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-01-31T09:30:00.125Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", moment.unwrap_or(jiff::Timestamp::MAX))
    }
}

/// A user, as the gateway identified them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id by which membership is counted.
    pub id: String,
    /// The name that others see.
    pub nickname: String,
    /// The address that messages show as their sender.
    pub email: String,
    /// The URL of the picture.
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

/// The request that `rooms.create` receives.
#[derive(Clone, Debug, Default)]
pub struct RoomRequest {
    /// The requested name.
    pub name: Option<String>,
    /// The post that the room will belong to.
    pub post_id: Option<u64>,
}

/// What to do if the post already has a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExistingRoom {
    /// Answer with the existing room.
    Reuse,
    /// Refuse the request.
    Refuse,
}

/// The answer of `rooms.create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDraft {
    /// The room's name.
    pub name: String,
    /// What to do if the post already has a room.
    pub on_existing: OnExistingRoom,
}

/// What a client sent, whole and uninterpreted.
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
    /// The text.
    pub text: String,
    /// The client's own id of the message.
    pub client_id: Option<String>,
    /// The message that it replies to.
    pub parent: Option<MessageId>,
    /// What the handler stores beside the text.
    pub extra: Option<String>,
}

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store the draft and send its event to the room.
    Post(Draft),
    /// Send this payload to the room, and store nothing.
    Relay(String),
    /// Do nothing.
    Ignore,
}

/// A message with its numbers and time, on its way to the store or from there.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number over all rooms.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// Its number in the room.
    pub seq: Seq,
    /// Its sender.
    pub sender: std::sync::Arc<Speaker>,
    /// The draft.
    pub draft: Draft,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The frame that it came by, where another host forwarded it. Not known of messages that are read.
    pub origin: Option<i64>,
}

/// A deliberate no to a request or a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, for programs.
    pub code: String,
    /// The explanation, for people.
    pub message: String,
    /// The field that caused it.
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal by the host.
    #[must_use]
    pub fn new(code: &str, field: Option<&str>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), field: field.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_769_851_800_125, "2026-01-31T09:30:00.125Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(ms)));
        }
        assert!(Timestamp(u64::MAX).to_string().starts_with("9999-12-3"));
    }

    #[test]
    fn a_timestamp_is_read_with_any_offset() {
        for text in ["2026-01-31T18:30:00.125999+09:00", "2026-01-31T09:30:00.125Z", "2026-01-31 09:30:00.125+00:00"] {
            assert_eq!(text.parse(), Ok(Timestamp(1_769_851_800_125)), "{text}");
        }
        for text in ["", "2026-01-31", "2026-01-31T09:30:00", "1969-12-31T23:59:59Z", "1769851800125"] {
            assert_eq!(text.parse::<Timestamp>(), Err(()), "{text}");
        }
    }
}
