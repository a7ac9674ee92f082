//! The part of the room index that is in memory: the latest messages of each room, which are in no segment yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stretch::{DELETED, Stretch, json_array};
use ondol_host_model::{RoomId, Seq};

/// The unindexed tail of a room: consecutive messages, the first of which is not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unindexed {
    /// The `seq` of the first.
    first: u64,
    rowids: Vec<i64>,
}

impl Unindexed {
    /// The number of messages, with those that were deleted since.
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

    /// The messages. None: there is none.
    pub(super) fn stretch(&self) -> Option<Stretch<'_>> {
        (!self.rowids.is_empty()).then(|| Stretch::of(Seq(self.first), &self.rowids))
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

    /// Marks a message as deleted.
    pub(super) fn delete(&mut self, seq: Seq) {
        let index = seq.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(rowid) = index.and_then(|index| self.rowids.get_mut(index)) {
            *rowid = DELETED;
        }
        self.trim();
    }

    /// Forgets the messages before a `seq`.
    pub(super) fn remove_before(&mut self, seq: Seq) {
        let count = usize::try_from(seq.0.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.rowids.iter_mut().take(count).for_each(|rowid| *rowid = DELETED);
        self.trim();
    }

    /// Forgets deleted messages at the start.
    fn trim(&mut self) {
        let deleted = self.rowids.iter().take_while(|rowid| **rowid == DELETED).count();
        self.rowids.drain(..deleted);
        self.first += deleted as u64;
    }

    /// Pieces of up to `max` messages: the first `seq` of each, and its rowids as a JSON array. Those whose messages are
    /// all deleted are left out.
    pub(super) fn chunks(&self, max: usize) -> impl Iterator<Item = (Seq, String)> {
        let firsts = (self.first..).step_by(max).map(Seq);
        let chunks = firsts.zip(self.rowids.chunks(max));
        let kept = chunks.filter(|(_, rowids)| rowids.iter().any(|rowid| *rowid != DELETED));
        kept.map(|(first, rowids)| (first, json_array(rowids)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_carry_the_seq_of_their_first_message() {
        let mut unindexed = Unindexed { first: 5, rowids: vec![70, 71, 90, 91, 92] };
        let chunks: Vec<_> = unindexed.chunks(2).collect();
        assert_eq!(
            chunks,
            [(Seq(5), "[70,71]".to_owned()), (Seq(7), "[90,91]".to_owned()), (Seq(9), "[92]".to_owned())]
        );
        [6, 7, 8].into_iter().for_each(|seq| unindexed.delete(Seq(seq)));
        let chunks: Vec<_> = unindexed.chunks(2).collect();
        assert_eq!(chunks, [(Seq(5), "[70,0]".to_owned()), (Seq(9), "[92]".to_owned())]);
    }

    #[test]
    fn the_first_message_is_never_a_deleted_one() {
        let mut unindexed = Unindexed::default();
        for seq in 5..10 {
            unindexed.push(Seq(seq), 10 * i64::try_from(seq).unwrap());
        }
        unindexed.delete(Seq(6));
        assert_eq!((unindexed.first_rowid(), unindexed.len()), (Some(50), 5));
        unindexed.delete(Seq(5));
        assert_eq!((unindexed.first, unindexed.first_rowid(), unindexed.last()), (7, Some(70), Some(Seq(9))));
        unindexed.remove_before(Seq(3));
        unindexed.delete(Seq(99));
        unindexed.remove_before(Seq(9));
        assert_eq!((unindexed.first, unindexed.rowids.as_slice()), (9, [90].as_slice()));
        unindexed.remove_before(Seq(11));
        assert_eq!((unindexed.first_rowid(), unindexed.stretch()), (None, None));
        unindexed.push(Seq(14), 140);
        assert_eq!((unindexed.first, unindexed.last()), (14, Some(Seq(14))));
    }
}
