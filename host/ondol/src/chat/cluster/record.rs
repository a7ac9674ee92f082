//! What hosts tell each other about rooms, as bytes: a header in JSON, and after it the body, which is a frame or an event as
//! it is. Decides nothing.
//!
//! A host that has members of a room but is not its home *attaches* itself there. Everything between the two carries the
//! number of that attachment: what belongs to an earlier one does not count.
//!
//! A change of anything here makes another version of what hosts say to each other, [`ondol_host_cluster::PROTO`].

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::release_record::ReleaseNews;
use crate::chat::reply::SayError;
use ondol_host_model::{Frame, Refusal, Speaker, User};

/// Who is meant: a room, and the attachment of a host to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct At {
    pub(super) room: u64,
    pub(super) attachment: u64,
}

/// What a host asks of a room's home.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Asked {
    /// It wants to hear what the room says, and has these connections in it, which take these users for present.
    Attach {
        roster: Vec<Newcomer>,
        present: Vec<Person>,
    },
    Join(Newcomer),
    Leave {
        connection: u64,
    },
    /// A client's frame, as the body. `origin` is its name in the cluster.
    Frame {
        connection: u64,
        origin: i64,
        binary: bool,
    },
    /// The body of a client's request, as the body.
    Post {
        user: Person,
        origin: i64,
        request: String,
    },
    /// An operator deletes messages.
    Delete {
        origin: i64,
        seqs: Vec<u64>,
    },
    /// It has no connection in the room any more.
    Detach,
}

/// What a room's home tells a host that is attached.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// From here on it hears everything. The last message before that, and who was present.
    Attached { seq: u64, present: Vec<Person> },
    /// Frames for the room's connections, as the body: the events of messages `first` to `last`, if any, and others, some of
    /// them of users who come and go.
    Run {
        first: Option<u64>,
        last: Option<u64>,
        messages: u64,
        settled: Vec<(i64, u64)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<(Person, bool)>,
    },
    /// What became of a frame or request. The body is its event, if it has one.
    Outcome { origin: i64, outcome: Outcome },
    /// This host is not the home, or has lost something of what it was told: attach again.
    NotHome,
}

/// What became of a frame or request, unless its message is in a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// It is stored under this number, and its event is in a run.
    Stored { seq: u64 },
    /// It was stored before. The body is its event, for its sender alone.
    Repeated { seq: u64 },
    /// The body is the answer, for its sender alone.
    Event,
    /// It is handled, and stores nothing.
    Done,
    /// It failed. Its connection is read again after `pause_ms`.
    Failed { failure: Failure, client_id: Option<String>, pause_ms: u64 },
    /// The messages that were deleted, and their senders' rows.
    Deleted { messages: Vec<[u64; 2]>, senders: Vec<i64> },
}

/// [`SayError`], and what an operator is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Refused { code: String, message: String, field: Option<String> },
    HandlerFault,
    NotStored,
    Unknown,
    Busy,
}

/// A connection that is in a room.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Newcomer {
    pub(super) connection: u64,
    pub(super) user: Person,
}

impl Newcomer {
    pub(super) fn new(connection: u64, user: &Speaker) -> Self {
        Self { connection, user: Person::from(&**user) }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    id: String,
    nickname: String,
    email: String,
    profile_url: Option<String>,
}

/// Everything that hosts tell each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Record {
    ToHome(At, Asked),
    FromHome(At, Told),
    /// Some of what this host was told is lost: attach again to all rooms whose home it is.
    Resync,
    /// To all: the sender has left, and its rooms have no home.
    Leaving,
    /// Of releases and canaries.
    Releases(ReleaseNews),
    /// An operator wants this host to stop, as at SIGTERM.
    Drain,
}

impl Record {
    /// The record with its body.
    pub(super) fn encode(&self, body: &[u8]) -> Bytes {
        // Serializing into memory does not fail.
        let header = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(4 + header.len() + body.len());
        bytes.put_u32_le(u32::try_from(header.len()).unwrap_or(u32::MAX));
        bytes.put_slice(&header);
        bytes.put_slice(body);
        bytes.freeze()
    }

    /// The record and its body. None: this is none.
    pub(super) fn decode(mut bytes: Bytes) -> Option<(Self, Bytes)> {
        if bytes.remaining() < 4 {
            return None;
        }
        let length = usize::try_from(bytes.get_u32_le()).ok()?;
        if bytes.remaining() < length {
            return None;
        }
        let header = bytes.split_to(length);
        Some((serde_json::from_slice(&header).ok()?, bytes))
    }
}

impl From<&User> for Person {
    fn from(user: &User) -> Self {
        let User { id, nickname, email, profile_url } = user.clone();
        Self { id, nickname, email, profile_url }
    }
}

impl From<Person> for User {
    fn from(Person { id, nickname, email, profile_url }: Person) -> Self {
        Self { id, nickname, email, profile_url }
    }
}

impl From<Person> for Arc<Speaker> {
    fn from(person: Person) -> Self {
        Self::new(Speaker::new(User::from(person)))
    }
}

impl From<SayError> for Failure {
    fn from(error: SayError) -> Self {
        match error {
            SayError::Refused(Refusal { code, message, field }) => Self::Refused { code, message, field },
            SayError::HandlerFault => Self::HandlerFault,
            SayError::NotStored => Self::NotStored,
            SayError::Unknown => Self::Unknown,
            SayError::Busy | SayError::Unreachable => Self::Busy,
        }
    }
}

impl From<Failure> for SayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code, message, field } => Self::Refused(Refusal { code, message, field }),
            Failure::HandlerFault => Self::HandlerFault,
            Failure::NotStored => Self::NotStored,
            Failure::Unknown => Self::Unknown,
            Failure::Busy => Self::Busy,
        }
    }
}

/// What a client sent, for as long as it may have to be sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Body(String),
}

impl Sent {
    pub(super) fn of(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text.to_owned()),
            Frame::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Frame::Body(body) => Self::Body(body.to_owned()),
        }
    }

    /// A frame that was sent on. None: it is no text.
    pub(super) fn read(binary: bool, body: &[u8]) -> Option<Self> {
        if binary {
            return Some(Self::Binary(body.to_vec()));
        }
        Some(Self::Text(std::str::from_utf8(body).ok()?.to_owned()))
    }

    pub(super) fn as_frame(&self) -> Frame<'_> {
        match self {
            Self::Text(text) => Frame::Text(text),
            Self::Binary(bytes) => Frame::Binary(bytes),
            Self::Body(body) => Frame::Body(body),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) | Self::Body(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_record_comes_back_with_its_body() {
        let at = At { room: 7, attachment: 3 };
        let news =
            Told::Run { first: Some(1), last: Some(2), messages: 2, settled: vec![(1 << 40 | 5, 2)], changes: vec![] };
        let (record, body) = Record::decode(Record::FromHome(at, news).encode(b"\x81\x00")).unwrap();
        assert_eq!(body.as_ref(), b"\x81\x00");
        let Record::FromHome(read, Told::Run { last: Some(2), settled, .. }) = record else { panic!("{record:?}") };
        assert_eq!((read, settled), (at, vec![(1 << 40 | 5, 2)]));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b"\x01", b"\xff\xff\xff\xff{}", b"\x02\x00\x00\x00{}", b"\x00\x00\x00\x00"] {
            assert!(Record::decode(Bytes::copy_from_slice(bytes)).is_none(), "{bytes:?}");
        }
    }
}
