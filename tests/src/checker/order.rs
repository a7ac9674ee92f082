//! Whether the messages of a client keep the order in which it said them on a connection.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Rule, lately};
use crate::{
    history::{Act, Connection, History},
    stored::StoredMessage,
};

/// Of two messages that a client said on one connection, the first has the smaller number: unless an attempt of the first failed, or may
/// have, on a connection where it came before the second. That one was then said again after it.
pub(super) fn order_of_speakers(history: &History, stored: &[StoredMessage], found: &mut Found) {
    let numbers: BTreeMap<&str, u64> = stored.iter().map(|message| (message.text.as_str(), message.seq)).collect();
    let attempts = Attempts::of(history);
    for (number, Connection { room, user, host, acts, .. }) in history.connections.iter().enumerate() {
        let mut earlier = BTreeMap::<u64, &str>::new();
        for (_, act) in acts {
            let Act::Said { text, .. } = act else { continue };
            let Some(seq) = numbers.get(text.as_str()) else { continue };
            let swapped = earlier.range(seq + 1..).find(|(_, first)| !attempts.may_swap(first, text));
            if let Some((before, first)) = swapped {
                let who = format!("connection {number} of {user} to {host} in room {room}");
                let what = format!("{who} said {first:?} first, which is {before}, and {text:?} is {seq}");
                found.add(Rule::OrderOfSpeaker, format!("{what}; {}", lately(acts, text)));
            }
            earlier.insert(*seq, text);
        }
    }
}

/// What was said where, and what is known of each attempt.
#[derive(Default)]
struct Attempts<'a> {
    /// For each text the connections where it was said, and when it first was there.
    said: BTreeMap<&'a str, BTreeMap<usize, usize>>,
    failed: BTreeSet<(&'a str, usize)>,
    heard: BTreeSet<(&'a str, usize)>,
    has_failures: bool,
}

impl<'a> Attempts<'a> {
    fn of(history: &'a History) -> Self {
        let mut attempts = Self { has_failures: history.has_failures, ..Self::default() };
        for (connection, record) in history.connections.iter().enumerate() {
            for (at, (_, act)) in record.acts.iter().enumerate() {
                match act {
                    Act::Said { text, .. } => {
                        attempts.said.entry(text).or_default().entry(connection).or_insert(at);
                    }
                    Act::Refused(text) | Act::InDoubt(text) => {
                        attempts.failed.insert((text, connection));
                    }
                    Act::Heard(message) => {
                        attempts.heard.insert((&message.text, connection));
                    }
                    _ => {}
                }
            }
        }
        attempts.has_failures |= !attempts.failed.is_empty();
        attempts
    }

    fn may_swap(&self, first: &str, second: &str) -> bool {
        let (Some(firsts), Some(seconds)) = (self.said.get(first), self.said.get(second)) else { return false };
        seconds.iter().any(|(connection, at)| {
            firsts.get(connection).is_some_and(|before| before < at) && self.has_failed(first, *connection)
        })
    }

    /// Whether an attempt failed, or may have. A client that is gone was not told: but where the server refuses nothing at all, it did not.
    fn has_failed(&self, text: &str, connection: usize) -> bool {
        let is_repeated = self.said.get(text).is_some_and(|connections| connections.len() > 1);
        self.failed.contains(&(text, connection))
            || (self.has_failures && is_repeated && !self.heard.contains(&(text, connection)))
    }
}
