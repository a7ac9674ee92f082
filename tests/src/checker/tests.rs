//! Made-up histories: a whole one, and one for each fault. Of each fault the rule that it breaks is named, and no other one
//! unless it is said why.

use std::time::Duration;

use super::*;

const ROOM: u64 = 1;

fn message(seq: u64, text: &str) -> StoredMessage {
    StoredMessage { room: ROOM, seq, id: 100 + seq, text: text.to_owned(), client_id: Some(format!("id of {text}")) }
}

fn said(text: &str) -> Act {
    Act::Said { text: text.to_owned(), client_id: Some(format!("id of {text}")) }
}

/// Ann says a to c and Ben says d. Ann hears all; Ben hears them by two connections. Carl posts e.
struct Chat {
    history: History,
    stored: Vec<StoredMessage>,
}

/// The connections of a [`Chat`].
const ANN: usize = 0;
const BEN: usize = 1;
const BEN_AGAIN: usize = 2;

impl Chat {
    fn new() -> Self {
        let stored: Vec<_> = (1..).zip(["a", "b", "c", "d", "e"]).map(|(seq, text)| message(seq, text)).collect();
        let mut history = History::default();
        for (user, host, after) in [("ann", "a", Some(0)), ("ben", "b", None), ("ben", "c", Some(3))] {
            history.open(ROOM, user, host, after);
        }
        for text in ["a", "b", "c"] {
            history.record(ANN, said(text));
        }
        history.record(BEN, said("d"));
        for heard in &stored {
            history.record(ANN, Act::Heard(heard.clone()));
        }
        for heard in &stored[1..3] {
            history.record(BEN, Act::Heard(heard.clone()));
        }
        history.record(BEN, Act::Ended);
        // It came before the client could know, so it was sent again, and is answered.
        history.record(BEN_AGAIN, said("d"));
        for heard in [&stored[3], &stored[4], &stored[3]] {
            history.record(BEN_AGAIN, Act::Heard(heard.clone()));
        }
        history.posted.push(stored[4].clone());
        history.samples.push(Sample { room: ROOM, seq: 1, found: true });
        Self { history, stored }
    }

    /// What a connection heard, to be changed.
    fn heard(&mut self, connection: usize, index: usize) -> &mut StoredMessage {
        let acts = self.history.connections[connection].acts.iter_mut();
        acts.filter_map(|(_, act)| if let Act::Heard(message) = act { Some(message) } else { None }).nth(index).unwrap()
    }

    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<_> =
            violations(&self.history, &self.stored).into_iter().map(|violation| violation.rule).collect();
        rules.dedup();
        rules
    }
}

#[test]
fn a_whole_history_has_no_violation() {
    let chat = Chat::new();
    assert_eq!(violations(&chat.history, &chat.stored), []);
    assert_eq!((chat.history.heard(), chat.history.has_heard(ROOM, 5), chat.history.has_heard(2, 1)), (5, true, false));
}

#[test]
fn a_hole_on_a_connection_is_found() {
    let mut chat = Chat::new();
    let acts = &mut chat.history.connections[ANN].acts;
    let third = acts.iter().position(|(_, act)| matches!(act, Act::Heard(message) if message.seq == 3)).unwrap();
    acts.remove(third);
    let found = violations(&chat.history, &chat.stored);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "1 EachOnceInOrder: connection 0 of ann to a in room 1 heard 4 after 2");
}

#[test]
fn a_resumed_connection_begins_with_the_next_message() {
    for after in [2, 4] {
        let mut chat = Chat::new();
        chat.history.connections[BEN_AGAIN].after = Some(after);
        assert_eq!(chat.broken(), [Rule::EachOnceInOrder], "{after}");
    }
}

#[test]
fn a_double_is_found() {
    for seq in [1, 5] {
        let mut chat = Chat::new();
        chat.history.record(ANN, Act::Heard(message(seq, ["a", "b", "c", "d", "e"][seq as usize - 1])));
        assert_eq!(chat.broken(), [Rule::EachOnceInOrder], "her own {seq} is heard twice");
    }
    let mut chat = Chat::new();
    chat.history.record(BEN_AGAIN, Act::Heard(message(4, "d")));
    assert_eq!(chat.broken(), [Rule::EachOnceInOrder], "one that was sent again has one answer");
}

#[test]
fn messages_that_are_heard_in_another_order_are_found() {
    let mut chat = Chat::new();
    (*chat.heard(ANN, 1), *chat.heard(ANN, 2)) = (message(3, "c"), message(2, "b"));
    assert_eq!(chat.broken(), [Rule::EachOnceInOrder]);
}

#[test]
fn two_messages_of_one_number_are_found() {
    let mut chat = Chat::new();
    chat.heard(BEN, 0).text = "another".to_owned();
    assert_eq!(chat.broken(), [Rule::OneMessagePerNumber]);
    let mut chat = Chat::new();
    chat.stored[1].text = "another".to_owned();
    assert_eq!(chat.broken(), [Rule::OneMessagePerNumber], "in the database");
    let mut chat = Chat::new();
    chat.heard(BEN, 0).id += 1;
    assert_eq!(chat.broken(), [Rule::OneMessagePerNumber], "by its id");
    let mut chat = Chat::new();
    chat.history.posted[0].client_id = None;
    assert_eq!(chat.broken(), [Rule::OneMessagePerNumber], "by what a post was answered");
}

#[test]
fn a_hole_in_the_database_is_found() {
    let mut chat = Chat::new();
    chat.stored.push(message(7, "g"));
    assert_eq!(chat.broken(), [Rule::NoHole]);
    let mut chat = Chat::new();
    chat.stored.push(StoredMessage { room: 2, ..message(2, "f") });
    assert_eq!(chat.broken(), [Rule::NoHole], "at the start of a room");
    let mut chat = Chat::new();
    chat.stored.push(StoredMessage { id: 105, ..message(6, "f") });
    assert_eq!(chat.broken(), [Rule::NoHole], "an id that does not rise");
}

#[test]
fn a_number_that_is_used_twice_in_the_database_is_found() {
    let mut chat = Chat::new();
    chat.stored.insert(5, StoredMessage { id: 106, ..message(5, "f") });
    assert!(chat.broken().contains(&Rule::NoHole));
}

#[test]
fn a_message_that_was_heard_and_is_not_stored_is_found() {
    let mut chat = Chat::new();
    chat.stored.pop();
    assert_eq!(chat.broken(), [Rule::Stored]);
    // Only its sender heard of it.
    let mut chat = Chat::new();
    chat.history.posted.push(message(6, "f"));
    assert_eq!(chat.broken(), [Rule::Stored], "an acknowledged post");
    let mut chat = Chat::new();
    chat.history.record(ANN, said("f"));
    chat.history.record(ANN, Act::Heard(message(6, "f")));
    assert_eq!(chat.broken(), [Rule::Stored], "an acknowledged message");
}

#[test]
fn what_is_stored_twice_is_found() {
    let mut chat = Chat::new();
    chat.stored.push(StoredMessage { client_id: None, ..message(6, "a") });
    // The later one counts as the place of the text.
    assert_eq!(chat.broken(), [Rule::OnceStored, Rule::OrderOfSpeaker], "a text");
    let mut chat = Chat::new();
    chat.stored.push(StoredMessage { client_id: Some("id of a".to_owned()), ..message(6, "f") });
    assert_eq!(chat.broken(), [Rule::OnceStored], "a client's id");
}

#[test]
fn what_was_refused_and_is_stored_is_found() {
    let mut chat = Chat::new();
    chat.history.record(ANN, said("f"));
    chat.history.record(ANN, Act::Refused("f".to_owned()));
    assert_eq!(chat.broken(), []);
    chat.stored.push(message(6, "f"));
    assert_eq!(chat.broken(), [Rule::OnceStored]);
    chat.history.record(ANN, said("f"));
    assert_eq!(chat.broken(), [], "it was said again");
}

#[test]
fn what_was_closed_in_doubt_is_stored_or_not() {
    let mut chat = Chat::new();
    for text in ["f", "g"] {
        chat.history.record(BEN_AGAIN, Act::Said { text: text.to_owned(), client_id: None });
    }
    chat.history.record(BEN_AGAIN, Act::Ended);
    chat.stored.push(StoredMessage { client_id: None, ..message(6, "f") });
    assert_eq!(chat.broken(), []);
    chat.stored.push(StoredMessage { client_id: None, ..message(7, "f") });
    assert_eq!(chat.broken(), [Rule::OnceStored]);
}

#[test]
fn messages_of_one_connection_that_are_swapped_are_found() {
    let mut chat = Chat::new();
    for text in ["g", "f"] {
        chat.history.record(ANN, said(text));
    }
    chat.stored.extend([message(6, "f"), message(7, "g")]);
    let found = violations(&chat.history, &chat.stored);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].rule, Rule::OrderOfSpeaker);
    chat.history.record(BEN_AGAIN, said("g"));
    assert_eq!(chat.broken(), [Rule::OrderOfSpeaker], "one that is said again keeps its place");
    chat.history.has_failures = true;
    assert_eq!(chat.broken(), [], "its first attempt may have failed");
    chat.history.record(ANN, Act::Heard(message(7, "g")));
    let order = chat.broken().into_iter().filter(|rule| *rule == Rule::OrderOfSpeaker);
    assert_eq!(order.count(), 1, "it has not failed");
}

#[test]
fn what_was_said_again_after_a_refusal_may_come_later() {
    for failed in [Act::Refused("g".to_owned()), Act::InDoubt("g".to_owned())] {
        let mut chat = Chat::new();
        for act in [said("g"), said("f"), failed, said("g")] {
            chat.history.record(ANN, act);
        }
        chat.stored.extend([message(6, "f"), message(7, "g")]);
        assert_eq!(chat.broken(), []);
        chat.history.connections[ANN].acts.retain(|(_, act)| matches!(act, Act::Said { .. }));
        assert_eq!(chat.broken(), [Rule::OrderOfSpeaker]);
    }
}

#[test]
fn a_message_that_was_heard_before_it_was_stored_is_found() {
    let mut chat = Chat::new();
    chat.history.samples.push(Sample { room: ROOM, seq: 4, found: false });
    assert_eq!(chat.broken(), [Rule::StoredWhenHeard]);
}

#[test]
fn a_host_that_does_not_hear_another_after_a_fault_is_found() {
    let mut chat = Chat::new();
    let greeting = |to: &str, heard| Greeting { room: ROOM, from: "a".to_owned(), to: to.to_owned(), heard };
    chat.history.greetings = vec![greeting("b", true), greeting("c", false)];
    let found = violations(&chat.history, &chat.stored);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "9 HeardEverywhere: in room 1, c did not hear a fresh message of a");
}

#[test]
fn a_pause_is_the_longest_time_without_a_message_of_a_connection_that_stays() {
    let mut history = History::default();
    let start = std::time::Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    for (host, times) in [("a", [10, 40]), ("b", [20, 900]), ("c", [30, 330])] {
        let connection = history.open(ROOM, "ann", host, None);
        let connection = &mut history.connections[connection];
        connection.opened = start;
        connection.acts.extend(times.map(|ms| (at(ms), Act::Heard(message(1, "a")))));
    }
    assert_eq!(history.pause(ROOM, "b", at(35)), Some(Duration::from_millis(300)));
    assert_eq!(history.pause(ROOM, "", at(35)), Some(Duration::from_millis(880)));
    assert_eq!((history.pause(ROOM, "", at(901)), history.pause(2, "", at(35))), (None, None));
    history.connections[1].acts.insert(1, (at(36), Act::Ended));
    assert_eq!((history.ended("b", at(35)), history.ended("b", at(37)), history.ended("a", at(35))), (1, 0, 0));
    assert_eq!(history.pause(ROOM, "", at(37)), Some(Duration::from_millis(300)), "it has no connection to b");
}
