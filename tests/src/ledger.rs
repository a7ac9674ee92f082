//! Everything that a server has told its clients, over all its lives, to be compared with its database. Knows nothing
//! of how a life ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::stored::{Stored, StoredMessage};

/// The record of all answers.
#[derive(Debug, Default)]
pub struct Ledger {
    messages: BTreeMap<(u64, u64), Told>,
    rooms: BTreeSet<u64>,
    releases: BTreeSet<u64>,
    not_stored: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    id: u64,
    text: String,
    client_id: Option<String>,
}

/// A difference between a database and the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A reported message, room or release is missing.
    Lost(String),
    /// Something that must never happen, even when messages are lost.
    Wrong(String),
}

impl Ledger {
    /// The number of received messages.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.messages.len()
    }

    /// The last message that was received in a room, 0 if none was.
    #[must_use]
    pub fn last_heard(&self, room: u64) -> u64 {
        self.messages.range((room, 0)..=(room, u64::MAX)).next_back().map_or(0, |((_, seq), _)| *seq)
    }

    /// The number of all answers: messages, rooms, releases and refusals.
    #[must_use]
    pub fn told(&self) -> usize {
        self.messages.len() + self.rooms.len() + self.releases.len() + self.refusals()
    }

    /// The number of messages that were reported as not stored.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.not_stored.len()
    }

    /// Records a message from an event or an answer.
    ///
    /// # Errors
    /// When another message was reported under the same number.
    pub fn message(&mut self, event: &Value) -> Result<()> {
        let number = |key: &str| event[key].as_u64().unwrap_or_default();
        let told = Told {
            id: number("id"),
            // One of the deployed handlers shouts.
            text: event["message"].as_str().unwrap_or_default().to_lowercase(),
            client_id: event["client_id"].as_str().map(ToOwned::to_owned),
        };
        let before = self.messages.insert((number("room"), number("seq")), told.clone());
        ensure!(
            before.as_ref().is_none_or(|before| *before == told),
            "{before:?} and {told:?} were reported under the same number"
        );
        Ok(())
    }

    /// Records that a message of this text was reported as not stored.
    pub fn not_stored(&mut self, text: &str) {
        self.not_stored.insert(text.to_owned());
    }

    /// Records a created room.
    pub fn room(&mut self, id: u64) {
        self.rooms.insert(id);
    }

    /// Records a deployed release.
    pub fn release(&mut self, number: u64) {
        self.releases.insert(number);
    }

    /// Compares what is stored with the record.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn differences(&self, stored: &Stored) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        found.extend(stored.damage()?.map(Difference::Wrong));
        let messages = stored.messages()?.into_iter().map(|message| {
            let StoredMessage { room, seq, id, text, client_id } = message;
            ((room, seq), Told { id, text, client_id })
        });
        self.compare(&messages.collect::<Vec<_>>(), &mut found);
        for (what, known) in [("room", &self.rooms), ("release", &self.releases)] {
            let ids = BTreeSet::from_iter(stored.numbers(&format!("SELECT id FROM {what}"))?);
            let lost = known.iter().filter(|id| !ids.contains(id));
            found.extend(lost.map(|id| Difference::Lost(format!("{what} {id}"))));
        }
        Ok(found)
    }

    fn compare(&self, stored: &[((u64, u64), Told)], found: &mut Vec<Difference>) {
        let mut wrong = |what: String| found.push(Difference::Wrong(what));
        let (mut last, mut texts) = ((0, 0), BTreeSet::new());
        for ((room, seq), message) in stored {
            let expected = if *room == last.0 { last.1 + 1 } else { 1 };
            if *seq != expected {
                wrong(format!("room {room} has seq {seq} instead of {expected}"));
            }
            last = (*room, *seq);
            if !texts.insert(&message.text) {
                wrong(format!("{:.40} is stored twice", message.text));
            }
            if self.not_stored.contains(&message.text) {
                wrong(format!("{:.40} is stored and was reported as not stored", message.text));
            }
        }
        let stored: BTreeMap<_, _> = stored.iter().map(|(place, message)| (*place, message)).collect();
        for (place, told) in &self.messages {
            match stored.get(place) {
                None => found.push(Difference::Lost(format!("{place:?}: {:.40}", told.text))),
                Some(message) if *message != told => {
                    found.push(Difference::Wrong(format!("{place:?}: {:.40} is {:.40}", told.text, message.text)));
                }
                Some(_) => {}
            }
        }
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Wrong(what) => write!(f, "wrong: {what}"),
        }
    }
}
