//! What the clients of a chat said and heard, each connection in its order and with times. Knows nothing of hosts and
//! faults; [`crate::checker`] judges it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::stored::StoredMessage;

/// A pause begins so soon after what leads to it.
const BEGINS: Duration = Duration::from_secs(1);

/// The record of all connections.
#[derive(Debug, Default)]
pub struct History {
    /// The connections, in the order in which they were opened.
    pub connections: Vec<Connection>,
    /// The messages that `POST message/` answered with 201.
    pub posted: Vec<StoredMessage>,
    /// What an independent reader of the database found when a message was first heard.
    pub samples: Vec<Sample>,
    /// Whether a request was told that its message is not stored, or may not be.
    pub has_failures: bool,
    /// What clients at each host heard of each other after a fault.
    pub greetings: Vec<Greeting>,
    known: BTreeSet<(u64, u64)>,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Connection {
    /// The room.
    pub room: u64,
    /// The user.
    pub user: String,
    /// The host that it was made to.
    pub host: String,
    /// The message after which it resumed. None: it starts with any message.
    pub after: Option<u64>,
    /// When it was opened.
    pub opened: Instant,
    /// What was said and heard, in this order.
    pub acts: Vec<(Instant, Act)>,
}

/// What happened on a connection.
#[derive(Debug, Clone)]
pub enum Act {
    /// The client sent a message.
    Said {
        /// Its text, which no other message has.
        text: String,
        /// The id that the client gave it, which no other message has.
        client_id: Option<String>,
    },
    /// The client received a message.
    Heard(StoredMessage),
    /// The client was told that the message of this text is not stored.
    Refused(String),
    /// The client was told that it is not known whether the message of this text is stored.
    InDoubt(String),
    /// The server closed the connection, or it ended.
    Ended,
    /// The client ended the connection.
    Left,
    /// The client heard that a user of this name came.
    Came(String),
    /// The client heard that a user of this name went.
    Went(String),
}

/// Whether a message was in the database when a client heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The room.
    pub room: u64,
    /// The number.
    pub seq: u64,
    /// Whether an independent reader found it.
    pub found: bool,
}

/// A message that a client at one host said in a room after a fault, and a client at another host had to hear in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The room.
    pub room: u64,
    /// The host of the one who said it.
    pub from: String,
    /// The host of the one who had to hear it.
    pub to: String,
    /// Whether it was heard.
    pub heard: bool,
}

impl History {
    /// Records a connection, and returns its number here.
    pub fn open(&mut self, room: u64, user: &str, host: &str, after: Option<u64>) -> usize {
        let (user, host, opened) = (user.to_owned(), host.to_owned(), Instant::now());
        self.connections.push(Connection { room, user, host, after, opened, acts: Vec::new() });
        self.connections.len() - 1
    }

    /// Records that something happened on a connection.
    pub fn record(&mut self, connection: usize, act: Act) {
        if let Act::Heard(message) = &act {
            self.known.insert((message.room, message.seq));
        }
        if let Some(connection) = self.connections.get_mut(connection) {
            connection.acts.push((Instant::now(), act));
        }
    }

    /// The number of different messages that were received.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.known.len()
    }

    /// Whether a message was received.
    #[must_use]
    pub fn has_heard(&self, room: u64, seq: u64) -> bool {
        self.known.contains(&(room, seq))
    }

    /// How many connections to a host were ended by the other side since then.
    #[must_use]
    pub fn ended(&self, host: &str, since: Instant) -> usize {
        let connections = self.connections.iter().filter(|connection| connection.host == host);
        connections.filter(|connection| connection.ended().is_some_and(|ended| ended > since)).count()
    }

    /// The longest time, begun around `since`, in which a connection that was open then received no message of the room. Those to
    /// the host `without` do not count. None: there is no such connection, or none received a message afterwards.
    #[must_use]
    pub fn pause(&self, room: u64, without: &str, since: Instant) -> Option<Duration> {
        let connections = self.connections.iter().filter(|connection| {
            let is_open = connection.opened < since && connection.ended().is_none_or(|ended| ended > since);
            connection.room == room && connection.host != without && is_open
        });
        connections.filter_map(|connection| connection.pause(since)).max()
    }
}

impl Connection {
    /// The messages that it received.
    pub fn heard(&self) -> impl Iterator<Item = &StoredMessage> {
        self.acts.iter().filter_map(|(_, act)| if let Act::Heard(message) = act { Some(message) } else { None })
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed().is_none()
    }

    /// When it ended, by whichever side.
    #[must_use]
    pub fn closed(&self) -> Option<Instant> {
        self.acts.iter().find(|(_, act)| matches!(act, Act::Ended | Act::Left)).map(|(at, _)| *at)
    }

    fn ended(&self) -> Option<Instant> {
        self.acts.iter().find(|(_, act)| matches!(act, Act::Ended)).map(|(at, _)| *at)
    }

    /// The longest time between two messages, of which the second was received after `since`, and the first before or soon after.
    fn pause(&self, since: Instant) -> Option<Duration> {
        let heard = self.acts.iter().filter(|(_, act)| matches!(act, Act::Heard(_))).map(|(at, _)| *at);
        let heard: Vec<_> = heard.collect();
        let pairs = heard
            .iter()
            .zip(heard.iter().skip(1))
            .filter(|(first, second)| **second > since && **first < since + BEGINS);
        pairs.map(|(first, second)| second.duration_since(*first)).max()
    }
}

/// The message in an event, or in an answer of REST.
///
/// # Errors
/// When it has no number.
pub fn message_in(event: &Value) -> Result<StoredMessage> {
    let number = |key: &str| event[key].as_u64().with_context(|| format!("no {key} in {event}"));
    let text = |key: &str| event[key].as_str().map(ToOwned::to_owned);
    Ok(StoredMessage {
        room: number("room")?,
        seq: number("seq")?,
        id: number("id")?,
        text: text("message").with_context(|| format!("no message in {event}"))?,
        client_id: text("client_id"),
    })
}
