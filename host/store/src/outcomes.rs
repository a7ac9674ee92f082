//! What became of a request to create a room, or to delete messages.

use ondol_host_model::{MessageId, Room, Seq};

/// What became of a request for a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomOutcome {
    /// It was created.
    Created(Room),
    /// Its post has this room already.
    Existing(Room),
}

/// A message that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its place in its room.
    pub seq: Seq,
    /// Its id.
    pub id: MessageId,
}

/// What a deletion has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// The messages, in the order of their `seq`.
    pub messages: Vec<Deleted>,
    /// The rows of their senders, which may be needed no more: see
    /// [`Store::remove_unused_senders`](super::Store::remove_unused_senders).
    pub senders: Vec<i64>,
}
