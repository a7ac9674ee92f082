//! Compares a [`History`] with itself and with the database: what must hold whatever fails. Knows nothing of what failed.
//!
//! The numbers of the rules are those of [`Rule`]. Texts and clients' ids are unique over all clients.

mod order;
mod presence;
#[cfg(test)]
mod tests;

pub use presence::presence_violations;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    time::Instant,
};

use crate::{
    history::{Act, Connection, Greeting, History, Sample},
    stored::StoredMessage,
};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// On each connection the numbers rise by one, from its first one or from the one that it resumed after.
    EachOnceInOrder = 1,
    /// A number is one message, for everyone who heard it and in the database.
    OneMessagePerNumber,
    /// In the database, a room has the numbers from 1 on, and ids rise with them.
    NoHole,
    /// What was heard or acknowledged is stored.
    Stored,
    /// A text and a client's id are stored once, and what was refused is not.
    OnceStored,
    /// Two messages of one connection keep their order, unless the first failed there and was said again.
    OrderOfSpeaker,
    /// What is heard is in the database by then.
    StoredWhenHeard,
    /// Soon after a fault each host hears a fresh message of each other in each room.
    HeardEverywhere = 9,
    /// On each connection, the joins and leaves of a user take turns, and the last one is true at rest.
    Presence = 10,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub what: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.rule as u8, self.rule, self.what)
    }
}

/// Where a message is: room and number.
type Place = (u64, u64);

/// What does not hold, by rule. `stored`: the messages in the database, by room and number.
#[must_use]
pub fn violations(history: &History, stored: &[StoredMessage]) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    each_once_in_order(&history.connections, &mut found);
    one_message_per_number(history, stored, &mut found);
    no_hole(stored, &mut found);
    all_stored(history, stored, &mut found);
    once_stored(history, stored, &mut found);
    order::order_of_speakers(history, stored, &mut found);
    stored_when_heard(&history.samples, &mut found);
    found.0.extend(presence_violations(history));
    heard_everywhere(&history.greetings, &mut found);
    found.0.sort_by_key(|violation| violation.rule);
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: Rule, what: String) {
        self.0.push(Violation { rule, what });
    }
}

/// A message that was sent before may come a second time: as the answer to the one that was sent again.
fn each_once_in_order(connections: &[Connection], found: &mut Found) {
    let mut said = BTreeSet::new();
    for (number, Connection { room, user, host, after, acts, .. }) in connections.iter().enumerate() {
        let (mut last, mut answers) = (*after, BTreeSet::new());
        for (_, act) in acts {
            match act {
                Act::Said { client_id: Some(client_id), .. } if !said.insert(client_id) => {
                    answers.insert(client_id);
                }
                Act::Heard(message) => {
                    let is_next = last.is_some_and(|last| message.seq == last + 1);
                    let may_be_again = !is_next && last.is_none_or(|last| message.seq <= last);
                    if may_be_again && message.client_id.as_ref().is_some_and(|client_id| answers.remove(client_id)) {
                        continue;
                    }
                    if let Some(last) = last.filter(|_| !is_next) {
                        let who = format!("connection {number} of {user} to {host} in room {room}");
                        found.add(Rule::EachOnceInOrder, format!("{who} heard {} after {last}", message.seq));
                    }
                    last = Some(message.seq);
                }
                _ => {}
            }
        }
    }
}

/// All that clients were shown of stored messages.
fn shown(history: &History) -> impl Iterator<Item = &StoredMessage> {
    history.connections.iter().flat_map(Connection::heard).chain(&history.posted)
}

fn by_place<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> BTreeMap<Place, &'a StoredMessage> {
    messages.into_iter().map(|message| ((message.room, message.seq), message)).collect()
}

fn one_message_per_number(history: &History, stored: &[StoredMessage], found: &mut Found) {
    let mut known = by_place(stored);
    let mut told = BTreeSet::new();
    for message in shown(history) {
        let place = (message.room, message.seq);
        let first = known.entry(place).or_insert(message);
        if *first != message && told.insert(place) {
            found.add(Rule::OneMessagePerNumber, format!("{} and {}", shorten(first), shorten(message)));
        }
    }
}

fn no_hole(stored: &[StoredMessage], found: &mut Found) {
    let (mut room, mut seq, mut id) = (0, 0, 0);
    for message in stored {
        if message.room != room {
            (room, seq, id) = (message.room, 0, 0);
        }
        if message.seq != seq + 1 {
            found.add(Rule::NoHole, format!("room {room} has number {} after {seq}", message.seq));
        }
        if message.id <= id {
            found.add(Rule::NoHole, format!("room {room} has the id {} after {id}", message.id));
        }
        (seq, id) = (message.seq, message.id);
    }
}

fn all_stored(history: &History, stored: &[StoredMessage], found: &mut Found) {
    let (places, mut told) = (by_place(stored), BTreeSet::new());
    for message in shown(history) {
        let place = (message.room, message.seq);
        if !places.contains_key(&place) && told.insert(place) {
            found.add(Rule::Stored, format!("{} was heard and is not there", shorten(message)));
        }
    }
}

fn once_stored(history: &History, stored: &[StoredMessage], found: &mut Found) {
    let (mut texts, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for message in stored {
        if !texts.insert(message.text.as_str()) {
            found.add(Rule::OnceStored, format!("the text of {} is stored twice", shorten(message)));
        }
        if let Some(client_id) = &message.client_id
            && !ids.insert(client_id)
        {
            found.add(Rule::OnceStored, format!("the id {client_id} of a client is stored twice"));
        }
    }
    // Refused each time that it was said, so that no attempt is in doubt.
    let mut attempts: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, act) in history.connections.iter().flat_map(|connection| &connection.acts) {
        match act {
            Act::Said { text, .. } => *attempts.entry(text).or_default() += 1,
            Act::Refused(text) => *attempts.entry(text).or_default() -= 1,
            _ => {}
        }
    }
    let refused = attempts.iter().filter(|(_, open)| **open <= 0).map(|(text, _)| *text);
    for text in refused.filter(|text| texts.contains(text)) {
        found.add(Rule::OnceStored, format!("{text} is stored and was refused"));
    }
}

fn stored_when_heard(samples: &[Sample], found: &mut Found) {
    for Sample { room, seq, .. } in samples.iter().filter(|sample| !sample.found) {
        found.add(Rule::StoredWhenHeard, format!("{seq} of room {room} was heard before it was there"));
    }
}

fn heard_everywhere(greetings: &[Greeting], found: &mut Found) {
    for Greeting { room, from, to, .. } in greetings.iter().filter(|greeting| !greeting.heard) {
        found.add(Rule::HeardEverywhere, format!("in room {room}, {to} did not hear a fresh message of {from}"));
    }
}

/// What happened on a connection around the time when a text was said.
fn lately(acts: &[(Instant, Act)], text: &str) -> String {
    let said = acts.iter().position(|(_, act)| matches!(act, Act::Said { text: said, .. } if said == text));
    let around = acts.iter().skip(said.unwrap_or_default().saturating_sub(12)).take(24);
    let Some(since) = acts.first().map(|(at, _)| *at) else { return String::new() };
    let around = around.map(|(at, act)| {
        let what = match act {
            Act::Said { text, .. } => format!("said {text:.20}"),
            Act::Heard(message) => format!("heard {} {:.20}", message.seq, message.text),
            Act::Refused(text) => format!("refused {text:.20}"),
            Act::InDoubt(text) => format!("in doubt {text:.20}"),
            Act::Ended => "ended".to_owned(),
            Act::Left => "left".to_owned(),
            Act::Came(user) => format!("{user} came"),
            Act::Went(user) => format!("{user} went"),
        };
        format!("{} ms: {what}", at.duration_since(since).as_millis())
    });
    around.collect::<Vec<_>>().join(", ")
}

/// A message in a few words.
fn shorten(message: &StoredMessage) -> String {
    let StoredMessage { room, seq, id, text, .. } = message;
    format!("{room}/{seq} (id {id}) {text:.40}")
}
