//! What the store remembers of the database to answer many readers with few reads: rooms, and the latest messages of those
//! that are read. After a restart every client of a room asks for the same.
//!
//! Whatever is not answered from here is read. What another program changes is noticed within a second.

mod latest;
mod ring;
mod rooms;

use std::sync::Arc;

pub(super) use latest::{Asked, Latest};
pub(super) use ring::{MESSAGES_MAX, Ring};
pub(super) use rooms::Rooms;

use ondol_host_model::{Message, RoomId, Seq};

/// What the store remembers.
pub(super) struct Cache {
    pub(super) latest: Latest,
    pub(super) rooms: Rooms,
}

impl Cache {
    /// `latest_bytes_max`: the size of all messages that it holds.
    pub(super) fn new(latest_bytes_max: usize) -> Self {
        Self { latest: Latest::new(latest_bytes_max), rooms: Rooms::default() }
    }

    /// Adds what was committed, in the order of the commits.
    pub(super) fn committed<'a>(&self, messages: impl Iterator<Item = &'a Arc<Message>>) {
        self.latest.committed(messages);
    }

    /// Forgets the messages of a room.
    pub(super) fn forget(&self, room: RoomId) {
        self.latest.forget(room);
    }

    /// Forgets the messages of a room if they reach to before `seq`: those before it were removed.
    pub(super) fn forget_before(&self, room: RoomId, seq: Seq) {
        self.latest.forget_before(room, seq);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.latest.clear();
        self.rooms.clear();
    }
}
