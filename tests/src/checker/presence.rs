//! Who is there, as connections hear of it, compared with the connections that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Rule, Violation};
use crate::history::{Act, Connection, History};

/// A connection is in its room so long after it was opened, and hears who comes and goes.
const IN_ROOM: Duration = Duration::from_secs(5);

/// What does not hold of joins and leaves. `history`: at rest, so that all that is to be heard was heard. Names are those of users.
#[must_use]
pub fn presence_violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let connections = &history.connections;
    let present: BTreeSet<_> = connections.iter().filter(|other| other.is_open()).map(place).collect();
    for (number, connection) in connections.iter().enumerate() {
        let who =
            format!("connection {number} of {} to {} in room {}", connection.user, connection.host, connection.room);
        let mut add = |what: String| found.push(Violation { rule: Rule::Presence, what: format!("{who} {what}") });
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        for (_, act) in &connection.acts {
            let (user, is_present) = match act {
                Act::Came(user) => (user.as_str(), true),
                Act::Went(user) => (user.as_str(), false),
                _ => continue,
            };
            if known.insert(user, is_present) == Some(is_present) {
                add(format!("heard twice in a row that {user} {}", if is_present { "came" } else { "went" }));
            }
        }
        if !connection.is_open() {
            continue;
        }
        let is_present = |user: &str| present.contains(&(connection.room, user));
        for (user, known) in known.iter().filter(|(user, known)| is_present(user) != **known) {
            add(format!("heard last that {user} {}, which is not so", if *known { "came" } else { "went" }));
        }
        let others: BTreeSet<&str> = in_room(connections, connection.room).map(|other| other.user.as_str()).collect();
        for user in others.into_iter().filter(|user| !known.contains_key(user) && *user != connection.user) {
            let of_user = in_room(connections, connection.room).filter(|other| other.user == user);
            let states: Vec<_> = of_user.map(|other| was_open(other, connection)).collect();
            if states.contains(&Some(true)) && !is_present(user) {
                add(format!("never heard that {user} went"));
            }
            if states.iter().all(|state| *state == Some(false)) && is_present(user) {
                add(format!("never heard that {user} came"));
            }
        }
    }
    found
}

fn place(connection: &Connection) -> (u64, &str) {
    (connection.room, &connection.user)
}

fn in_room(connections: &[Connection], room: u64) -> impl Iterator<Item = &Connection> {
    connections.iter().filter(move |connection| connection.room == room)
}

/// Whether a connection was open when another one came into the room. None: it is not certain which was first.
fn was_open(connection: &Connection, other: &Connection) -> Option<bool> {
    let (from, to) = (other.opened, other.opened + IN_ROOM);
    let is_before = connection.closed().is_some_and(|closed| closed + IN_ROOM < from);
    if connection.opened > to || is_before {
        return Some(false);
    }
    let is_around = connection.opened + IN_ROOM < from && connection.closed().is_none_or(|closed| closed > to);
    is_around.then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Connections: when each was opened and closed, in seconds, and what it heard.
    type Made<'a> = (&'a str, u64, Option<u64>, &'a [(&'a str, bool)]);

    fn history(connections: &[Made<'_>]) -> History {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        for (user, opened, closed, heard) in connections {
            let number = history.open(1, user, "a", None);
            let connection = &mut history.connections[number];
            connection.opened = at(*opened);
            for (user, is_present) in *heard {
                let user = (*user).to_owned();
                connection.acts.push((at(*opened), if *is_present { Act::Came(user) } else { Act::Went(user) }));
            }
            connection.acts.extend(closed.map(|closed| (at(closed), Act::Left)));
        }
        history
    }

    fn found(connections: &[Made<'_>]) -> Vec<String> {
        let found = presence_violations(&history(connections));
        found.into_iter().map(|found| found.what.split(" in room 1 ").nth(1).unwrap().to_owned()).collect()
    }

    #[test]
    fn joins_and_leaves_that_take_turns_and_are_true_are_fine() {
        let ben = ("ben", true);
        assert_eq!(found(&[("ann", 0, None, &[ben]), ("ben", 20, None, &[ben])]), [""; 0]);
        assert_eq!(found(&[("ann", 0, None, &[ben, ("ben", false)]), ("ben", 20, Some(40), &[])]), [""; 0]);
        assert_eq!(found(&[("ann", 20, None, &[("ben", false)]), ("ben", 0, Some(40), &[])]), [""; 0], "there before");
        assert_eq!(
            found(&[("ann", 20, None, &[]), ("ben", 0, Some(40), &[]), ("ben", 30, None, &[])]),
            [""; 0],
            "a tab"
        );
    }

    #[test]
    fn a_join_that_comes_twice_is_found() {
        let twice = [("ben", true), ("ben", true)];
        assert_eq!(
            found(&[("ann", 0, Some(90), &twice), ("ben", 20, None, &[("ann", false)])]),
            ["heard twice in a row that ben came"]
        );
    }

    #[test]
    fn what_is_not_so_at_rest_is_found() {
        assert_eq!(
            found(&[("ann", 0, None, &[("ben", true)]), ("ben", 20, Some(40), &[])]),
            ["heard last that ben came, which is not so"]
        );
        assert_eq!(
            found(&[("ann", 0, None, &[("ben", false)]), ("ben", 20, None, &[])]),
            ["heard last that ben went, which is not so"]
        );
    }

    #[test]
    fn what_was_never_heard_is_found() {
        assert_eq!(found(&[("ann", 0, None, &[]), ("ben", 20, None, &[])]), ["never heard that ben came"]);
        assert_eq!(found(&[("ann", 20, None, &[]), ("ben", 0, Some(40), &[])]), ["never heard that ben went"]);
        assert_eq!(
            found(&[("ann", 20, None, &[]), ("ben", 22, None, &[])]),
            [""; 0],
            "it is not certain who was first"
        );
    }
}
