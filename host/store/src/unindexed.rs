//! The part of the room index that is in memory: the latest messages of each room, which are in no segment yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ondol_host_model::{RoomId, Seq};

/// The rowid of a deleted message. No row has it.
const DELETED: i64 = 0;

/// The unindexed tail of a room: consecutive messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unindexed {
    /// The `seq` of the first.
    first: u64,
    rowids: Vec<i64>,
}

impl Unindexed {
    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.rowids.len()
    }

    /// The rowid of the first message. None: there is no message.
    pub(super) fn first_rowid(&self) -> Option<i64> {
        self.rowids.first().copied()
    }

    /// The `seq` of the last message. None: there is no message.
    pub(super) fn last(&self) -> Option<Seq> {
        let after_first = self.rowids.len().checked_sub(1)?;
        Some(Seq(self.first + after_first as u64))
    }

    /// The rowid of the message with this `seq`.
    pub(super) fn at(&self, seq: Seq) -> Option<i64> {
        self.rowids.get(usize::try_from(seq.0.checked_sub(self.first)?).ok()?).copied()
    }

    /// The rowids of the messages from one `seq` to another, both included, as a JSON array.
    pub(super) fn between(&self, from: Seq, to: Seq) -> String {
        let start = usize::try_from(from.0.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let end = usize::try_from((to.0.saturating_add(1)).saturating_sub(self.first)).unwrap_or(usize::MAX);
        json_array(self.rowids.get(start..end.min(self.rowids.len())).unwrap_or_default())
    }

    /// Appends a message.
    pub(super) fn push(&mut self, seq: Seq, rowid: i64) {
        if self.rowids.is_empty() {
            self.first = seq.0;
        }
        // An operator may have deleted the messages before it.
        let before = self.rowids.len();
        self.rowids.resize(before.max(usize::try_from(seq.0 - self.first).unwrap_or(before)), DELETED);
        self.rowids.push(rowid);
    }

    /// Pieces of up to `max` messages: the first `seq` of each, and its rowids as a JSON array.
    pub(super) fn chunks(&self, max: usize) -> impl Iterator<Item = (Seq, String)> {
        let firsts = (self.first..).step_by(max).map(Seq);
        firsts.zip(self.rowids.chunks(max).map(json_array))
    }
}

/// The unindexed messages of all rooms, shared with the readers.
#[derive(Clone, Default)]
pub(super) struct UnindexedByRoom(Arc<Mutex<HashMap<RoomId, Unindexed>>>);

impl UnindexedByRoom {
    /// A copy of a room's unindexed messages. Take it before querying the database: whatever has left it by then is in
    /// a segment.
    pub(super) fn of(&self, room: RoomId) -> Unindexed {
        self.lock().get(&room).cloned().unwrap_or_default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, Unindexed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json_array(rowids: &[i64]) -> String {
    serde_json::to_string(rowids).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_their_seq() {
        let unindexed = Unindexed { first: 5, rowids: vec![70, 71, 90] };
        assert_eq!(unindexed.last(), Some(Seq(7)));
        assert_eq!([4, 5, 7, 8].map(|seq| unindexed.at(Seq(seq))), [None, Some(70), Some(90), None]);
        for (from, to, rowids) in [
            (0, u64::MAX, "[70,71,90]"),
            (5, 6, "[70,71]"),
            (1, 5, "[70]"),
            (6, 6, "[71]"),
            (7, 100, "[90]"),
            (1, 4, "[]"),
            (8, 9, "[]"),
            (7, 6, "[]"),
        ] {
            assert_eq!(unindexed.between(Seq(from), Seq(to)), rowids, "{from} to {to}");
        }
        assert_eq!(Unindexed::default().between(Seq(0), Seq(u64::MAX)), "[]");
        assert_eq!(Unindexed::default().last(), None);
    }

    #[test]
    fn chunks_carry_the_seq_of_their_first_message() {
        let unindexed = Unindexed { first: 5, rowids: vec![70, 71, 90] };
        let chunks: Vec<_> = unindexed.chunks(2).collect();
        assert_eq!(chunks, [(Seq(5), "[70,71]".to_owned()), (Seq(7), "[90]".to_owned())]);
    }
}
