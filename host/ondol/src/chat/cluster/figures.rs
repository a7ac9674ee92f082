//! What a host counts of the others: of the bus, of rooms whose home is elsewhere, and of the hosts that are attached to its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Hosts;
use super::state::Role;
use crate::chat::open_rooms::OpenRooms;

static REPAIRS: AtomicU64 = AtomicU64::new(0);

/// The figures of a host among others.
#[derive(Clone, Debug, Default)]
pub struct ClusterFigures {
    /// The packets that it has sent to other hosts.
    pub packets_sent: u64,
    /// The packets that have come from them.
    pub packets_received: u64,
    /// How often some of them were missed.
    pub missed: u64,
    /// How long ago its last beat came back.
    pub echo_age: Duration,
    /// How often a room was caught up because something of it was lost.
    pub repairs: u64,
    /// The frames and requests of its clients of which is not known yet what became of them elsewhere.
    pub unsettled: usize,
    /// The open rooms whose home it is.
    pub at_home: usize,
    /// The open rooms to whose home it is attached.
    pub attached: usize,
    /// The open rooms whose home is being found.
    pub unattached: usize,
}

/// The hosts that are attached to rooms of this one: each with the number of those rooms.
#[derive(Default)]
pub(super) struct AttachedHosts(Mutex<BTreeMap<i32, usize>>);

impl AttachedHosts {
    /// A host is attached to one room more.
    pub(super) fn begin(&self, host: i32) {
        *self.rooms().entry(host).or_default() += 1;
    }

    /// To one less.
    pub(super) fn end(&self, host: i32) {
        let mut rooms = self.rooms();
        if let Some(count) = rooms.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                rooms.remove(&host);
            }
        }
    }

    /// To how many it is.
    pub(super) fn of(&self, host: i32) -> usize {
        self.rooms().get(&host).copied().unwrap_or_default()
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<i32, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts that something of a room is lost, and the room has to be caught up.
pub(super) fn lost() {
    REPAIRS.fetch_add(1, Ordering::Relaxed);
}

impl Hosts {
    /// What is counted. Looks at each room that is open.
    pub(in crate::chat) fn figures(&self, rooms: &OpenRooms) -> ClusterFigures {
        let bus = self.bus.figures();
        let mut figures = ClusterFigures {
            packets_sent: bus.packets_sent,
            packets_received: bus.packets_received,
            missed: bus.missed,
            echo_age: self.bus.echo_age(),
            repairs: REPAIRS.load(Ordering::Relaxed),
            ..ClusterFigures::default()
        };
        for room in rooms.all() {
            let Some(link) = &room.link else { continue };
            let state = link.state();
            match state.role {
                Role::Home => figures.at_home += 1,
                Role::Attached { .. } => figures.attached += 1,
                Role::Unknown | Role::Attaching { .. } => figures.unattached += 1,
            }
            figures.unsettled += state.unsettled.len();
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_counts_for_as_long_as_it_is_attached_to_a_room() {
        let hosts = AttachedHosts::default();
        hosts.begin(2);
        hosts.begin(2);
        hosts.begin(3);
        hosts.end(2);
        hosts.end(3);
        hosts.end(3);
        assert_eq!([hosts.of(2), hosts.of(3), hosts.of(4)], [1, 0, 0]);
        assert_eq!(hosts.rooms().len(), 1, "none that is gone is kept");
    }
}
