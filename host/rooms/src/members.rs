//! The users who are in a room, by their connections to this host and to others. Knows no connection, only how many there
//! are.

use std::collections::HashMap;

use super::figures::Counted;

/// Whether a user's presence changed when a connection of theirs joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was their first or last one.
    Changed,
    /// They have other connections in the room.
    Same,
}

/// The users of a room.
#[derive(Default)]
pub(super) struct Members(HashMap<String, Connections>);

/// How many connections a user has in the room.
#[derive(Default)]
struct Connections {
    /// To this host. The user counts as a member while there are any.
    here: usize,
    counted: Option<Counted>,
    /// To other hosts.
    remote: usize,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a user has a connection, to whichever host.
    pub(super) fn has(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }

    /// Adds a connection to this host.
    pub(super) fn join(&mut self, user: &str) -> Presence {
        self.add(user, |connections| {
            connections.here += 1;
            connections.counted.get_or_insert_with(Counted::member);
        })
    }

    /// Removes one.
    pub(super) fn leave(&mut self, user: &str) -> Presence {
        self.remove(user, |connections| {
            connections.here = connections.here.saturating_sub(1);
            connections.counted.take_if(|_| connections.here == 0);
        })
    }

    /// Adds a connection to another host.
    pub(super) fn join_remote(&mut self, user: &str) -> Presence {
        self.add(user, |connections| connections.remote += 1)
    }

    /// Removes one.
    pub(super) fn leave_remote(&mut self, user: &str) -> Presence {
        self.remove(user, |connections| connections.remote = connections.remote.saturating_sub(1))
    }

    fn add(&mut self, user: &str, add: impl FnOnce(&mut Connections)) -> Presence {
        let connections = self.0.entry(user.to_owned()).or_default();
        let is_first = connections.are_none();
        add(connections);
        if is_first { Presence::Changed } else { Presence::Same }
    }

    fn remove(&mut self, user: &str, remove: impl FnOnce(&mut Connections)) -> Presence {
        let Some(connections) = self.0.get_mut(user) else { return Presence::Same };
        remove(connections);
        if !connections.are_none() {
            return Presence::Same;
        }
        self.0.remove(user);
        Presence::Changed
    }
}

impl Connections {
    fn are_none(&self) -> bool {
        self.here == 0 && self.remote == 0
    }
}
