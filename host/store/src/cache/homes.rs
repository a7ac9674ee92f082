//! The rooms whose home this host is, as it knows from its claims.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ondol_host_model::RoomId;

/// Rooms.
#[derive(Default)]
pub(super) struct Homes(Mutex<HashSet<RoomId>>);

impl Homes {
    pub(super) fn has(&self, room: RoomId) -> bool {
        self.rooms().contains(&room)
    }

    /// Adds a room, after `first` unless it is there already.
    pub(super) fn add(&self, room: RoomId, first: impl FnOnce()) {
        let mut rooms = self.rooms();
        if !rooms.contains(&room) {
            first();
            rooms.insert(room);
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&self, room: RoomId) -> bool {
        self.rooms().remove(&room)
    }

    fn rooms(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
