//! What a host keeps of a room whose home it is not, and what this host is to the room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::early::Early;
use super::record::Newcomer;
use super::repairing::Repairing;
use super::unsettled::Unsettled;
use ondol_host_model::{Seq, Speaker};

#[derive(Default)]
pub(super) struct State {
    pub(super) role: Role,
    /// The host that was last asked to attach this one.
    pub(super) latest_home: Option<i32>,
    /// The connections here. Empty at the home.
    pub(super) people: HashMap<u64, Arc<Speaker>>,
    /// In the order in which they came.
    pub(super) unsettled: VecDeque<Unsettled>,
    pub(super) repairing: Repairing,
    /// Until then, the home takes over from the first other host that attaches who is present. None: it knows, or is another.
    pub(super) adopts_until: Option<Instant>,
}

/// What this host is to the room.
#[derive(Default)]
pub(super) enum Role {
    /// Not known yet, or not any more.
    #[default]
    Unknown,
    /// Its home. It stays that.
    Home,
    /// Another host is, and this one has asked to be attached.
    Attaching { home: i32, attachment: u64, from: Option<Start>, early: Early },
    /// Another host is, and this one hears what it says.
    Attached { home: i32, attachment: u64 },
}

/// Where an attachment begins: after which message, and who was present.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) seq: Seq,
    pub(super) present: Vec<Arc<Speaker>>,
}

impl Role {
    pub(super) fn home(&self) -> Option<(i32, u64)> {
        match self {
            Self::Attaching { home, attachment, .. } | Self::Attached { home, attachment } => {
                Some((*home, *attachment))
            }
            Self::Unknown | Self::Home => None,
        }
    }

    pub(super) fn attached(&self) -> Option<(i32, u64)> {
        if matches!(self, Self::Attached { .. }) { self.home() } else { None }
    }
}

impl State {
    pub(super) fn take(&mut self, origin: i64) -> Option<Unsettled> {
        // Nearly always the first.
        let position = self.unsettled.iter().position(|unsettled| unsettled.origin == origin)?;
        self.unsettled.remove(position)
    }

    /// Takes what is stored. What its connection said before was handled.
    pub(super) fn take_stored(&mut self, origin: i64) -> Option<Unsettled> {
        let stored = self.take(origin)?;
        if let Some(connection) = stored.connection() {
            let earlier = self.unsettled.iter_mut().filter(|unsettled| unsettled.origin < origin);
            earlier
                .filter(|unsettled| unsettled.connection() == Some(connection))
                .for_each(|unsettled| unsettled.is_overtaken = true);
        }
        Some(stored)
    }

    /// Takes what must not be sent again: something later of its connection is stored, or its connection has left and a home would not know it.
    pub(super) fn take_done(&mut self) -> Vec<Unsettled> {
        let (people, unsettled) = (&self.people, std::mem::take(&mut self.unsettled));
        let is_done = |unsettled: &Unsettled| {
            unsettled.is_overtaken || unsettled.connection().is_some_and(|id| !people.contains_key(&id))
        };
        let (done, open): (Vec<_>, Vec<_>) = unsettled.into_iter().partition(is_done);
        self.unsettled = open.into();
        done
    }

    /// The connections here, as a home is told of them.
    pub(super) fn roster(&self) -> Vec<Newcomer> {
        self.people.iter().map(|(connection, user)| Newcomer::new(*connection, user)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::chat::cluster::record::Sent;
    use crate::chat::reply::Asker;
    use ondol_host_model::User;
    use ondol_host_rooms::{Flow, FrameSink, Outbox};

    struct Anywhere;

    impl FrameSink for Anywhere {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
    }

    /// A room with so many connections, and what each in turn has said, named from 1 on.
    fn state(connections: usize, said_by: &[usize]) -> State {
        let flow = Flow::new(1_000_000);
        let nickname = "앤".to_owned();
        let user = User { id: "ann".to_owned(), nickname, email: String::new(), profile_url: None };
        let user = Arc::new(Speaker::new(user));
        let outboxes: Vec<_> = (0..connections).map(|_| Arc::new(Outbox::new(Arc::new(Anywhere), 1_000))).collect();
        let askers: Vec<_> = outboxes.iter().map(|outbox| Asker::new(Arc::clone(outbox), Arc::clone(&flow))).collect();
        let said = said_by.iter().filter_map(|by| askers.get(*by)).zip(1..).map(|(asker, origin)| {
            let sent = Sent::Text("{}".to_owned());
            Unsettled::said(origin, Arc::clone(&user), sent, asker.next(), flow.begin(2), Seq(0))
        });
        let unsettled = said.collect();
        let people = outboxes.iter().map(|outbox| (outbox.id, Arc::clone(&user))).collect();
        State { people, unsettled, ..State::default() }
    }

    fn names<'a>(unsettled: impl IntoIterator<Item = &'a Unsettled>) -> Vec<i64> {
        unsettled.into_iter().map(|unsettled| unsettled.origin).collect()
    }

    #[test]
    fn what_was_said_before_something_that_is_stored_is_not_sent_again() {
        let mut state = state(2, &[0, 0, 1, 0]);
        assert!(state.take_done().is_empty());
        assert!(state.take_stored(2).is_some());
        assert_eq!(names(&state.take_done()), [1]);
        assert_eq!(names(&state.unsettled), [3, 4], "in their order");
        assert!(state.take_stored(2).is_none(), "once");
    }

    #[test]
    fn what_a_connection_said_that_has_left_is_not_sent_again() {
        let mut state = state(2, &[0, 1, 0]);
        let left = state.unsettled.front().and_then(Unsettled::connection);
        state.people.retain(|connection, _| Some(*connection) != left);
        assert_eq!(names(&state.take_done()), [1, 3]);
        assert_eq!(names(&state.unsettled), [2]);
    }
}
