//! What all rooms of the process count, for an operator who asks. Nothing here is read on the way of a message.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static ROOMS: AtomicUsize = AtomicUsize::new(0);
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
static DELIVERED: AtomicU64 = AtomicU64::new(0);
static WAITING_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The figures of all rooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomFigures {
    /// The rooms with members.
    pub rooms: usize,
    /// The members of all rooms. A user is a member of each room that they are in.
    pub members: usize,
    /// The messages that were handed to connections since startup: a message counts once for each of them.
    pub delivered: u64,
    /// The bytes that wait in outboxes, without those of a replay.
    pub waiting_bytes: usize,
}

/// The figures of all rooms of this process.
#[must_use]
pub fn figures() -> RoomFigures {
    RoomFigures {
        rooms: ROOMS.load(Ordering::Relaxed),
        members: MEMBERS.load(Ordering::Relaxed),
        delivered: DELIVERED.load(Ordering::Relaxed),
        waiting_bytes: WAITING_BYTES.load(Ordering::Relaxed),
    }
}

/// Counts messages that were handed to connections.
pub(crate) fn add_delivered(messages: u64) {
    DELIVERED.fetch_add(messages, Ordering::Relaxed);
}

/// A room that has members, or one member of it, counted until dropped.
pub(crate) struct Counted(&'static AtomicUsize);

impl Counted {
    /// One more room with members.
    pub(crate) fn room() -> Self {
        Self::one_of(&ROOMS)
    }

    /// One more member.
    pub(crate) fn member() -> Self {
        Self::one_of(&MEMBERS)
    }

    fn one_of(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes that wait in one outbox. They count for the process until they are taken or dropped.
#[derive(Default)]
pub(crate) struct WaitingBytes(usize);

impl WaitingBytes {
    pub(crate) fn get(&self) -> usize {
        self.0
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.0 += bytes;
        WAITING_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&mut self, bytes: usize) {
        self.0 -= bytes;
        WAITING_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn clear(&mut self) {
        self.subtract(self.0);
    }
}

impl Drop for WaitingBytes {
    fn drop(&mut self) {
        self.clear();
    }
}
