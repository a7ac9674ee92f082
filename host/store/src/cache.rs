//! What the store remembers of the database to answer many readers with few reads: rooms, and the latest messages of those
//! that are read. After a restart every client of a room asks for the same.
//!
//! Whatever is not answered from here is read. What another program changes is noticed within a second.

mod homes;
mod latest;
mod ring;
mod rooms;

use std::sync::Arc;

use homes::Homes;
pub(super) use latest::{Asked, Latest};
pub(super) use ring::{MESSAGES_MAX, Ring};
pub(super) use rooms::Rooms;

use ondol_host_model::{Message, RoomId, Seq};

/// What the store remembers.
pub(super) struct Cache {
    pub(super) latest: Latest,
    pub(super) rooms: Rooms,
    /// None: no other host writes, so all rooms may be remembered.
    homes: Option<Homes>,
}

impl Cache {
    /// `latest_bytes_max`: the size of all messages that it holds.
    pub(super) fn new(latest_bytes_max: usize) -> Self {
        Self { latest: Latest::new(latest_bytes_max), rooms: Rooms::default(), homes: None }
    }

    /// The same for a database that other hosts write to: messages are remembered of those rooms only whose home this host is.
    pub(super) fn shared(latest_bytes_max: usize) -> Self {
        Self { homes: Some(Homes::default()), ..Self::new(latest_bytes_max) }
    }

    /// Whether the messages of a room may be remembered.
    pub(super) fn may_remember(&self, room: RoomId) -> bool {
        self.homes.as_ref().is_none_or(|homes| homes.has(room))
    }

    /// Notes that this host is the home of a room. What was remembered of it before is forgotten first.
    pub(super) fn claimed(&self, room: RoomId) {
        if let Some(homes) = &self.homes {
            homes.add(room, || self.latest.forget(room));
        }
    }

    /// Notes that this host is not the home of a room, and forgets its messages.
    pub(super) fn lost(&self, room: RoomId) {
        if let Some(homes) = &self.homes
            && homes.remove(room)
        {
            self.latest.forget(room);
        }
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
