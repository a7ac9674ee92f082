//! Consecutive messages of a room by their rowids: a segment of the index, or the unindexed tail.

use std::borrow::Cow;

use ondol_host_model::Seq;

/// The rowid of a deleted message. No row has it.
pub(super) const DELETED: i64 = 0;

/// Consecutive messages of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch<'a> {
    first: u64,
    rowids: Cow<'a, [i64]>,
}

impl<'a> Stretch<'a> {
    /// The messages from `first` on that have these rowids.
    pub(super) fn of(first: Seq, rowids: &'a [i64]) -> Self {
        Self { first: first.0, rowids: rowids.into() }
    }

    /// The same, from a JSON array.
    pub(super) fn of_json(first: Seq, rowids: &str) -> Self {
        Self { first: first.0, rowids: serde_json::from_str::<Vec<i64>>(rowids).unwrap_or_default().into() }
    }

    /// The `seq` of the first message.
    pub(super) fn first(&self) -> Seq {
        Seq(self.first)
    }

    /// The `seq` after that of the last message.
    pub(super) fn end(&self) -> Seq {
        Seq(self.first + self.rowids.len() as u64)
    }

    /// Whether the message with this `seq` is one of them, deleted or not.
    pub(super) fn contains(&self, seq: Seq) -> bool {
        self.index(seq).is_some_and(|index| index < self.rowids.len())
    }

    /// Whether all of its messages are deleted.
    pub(super) fn is_empty(&self) -> bool {
        self.rowids.iter().all(|rowid| *rowid == DELETED)
    }

    /// The rowid of the message with this `seq`, unless it is deleted.
    pub(super) fn at(&self, seq: Seq) -> Option<i64> {
        self.rowids.get(self.index(seq)?).copied().filter(|rowid| *rowid != DELETED)
    }

    /// Marks a message as deleted.
    pub(super) fn delete(&mut self, seq: Seq) {
        if let Some(rowid) = self.index(seq).and_then(|index| self.rowids.to_mut().get_mut(index)) {
            *rowid = DELETED;
        }
    }

    /// The messages from one `seq` to another, both included, that are not deleted: their `seq` and rowid, in order.
    pub(super) fn between(&self, from: Seq, to: Seq) -> impl DoubleEndedIterator<Item = (Seq, i64)> {
        let from = usize::try_from(from.0.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.rowids.len());
        let end = (to.0.saturating_add(1)).saturating_sub(self.first);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.rowids.len());
        let (first, rowids) = (self.first + from as u64, self.rowids.get(from..end).unwrap_or_default());
        let seqs = rowids.iter().enumerate().map(move |(index, rowid)| (Seq(first + index as u64), *rowid));
        seqs.filter(|(_, rowid)| *rowid != DELETED)
    }

    /// The rowids as a JSON array.
    pub(super) fn to_json(&self) -> String {
        json_array(&self.rowids)
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.first)?).ok()
    }
}

/// Rowids as SQLite's `json_each` reads them.
pub(super) fn json_array(rowids: &[i64]) -> String {
    serde_json::to_string(rowids).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_their_seq() {
        let mut stretch = Stretch::of_json(Seq(5), "[70,0,90]");
        assert_eq!((stretch.first(), stretch.end(), stretch.is_empty()), (Seq(5), Seq(8), false));
        assert_eq!([4, 5, 6, 7, 8].map(|seq| stretch.at(Seq(seq))), [None, Some(70), None, Some(90), None]);
        for (from, to, expected) in [
            (0, u64::MAX, vec![(5, 70), (7, 90)]),
            (5, 6, vec![(5, 70)]),
            (6, 6, vec![]),
            (7, 100, vec![(7, 90)]),
            (1, 4, vec![]),
            (8, 9, vec![]),
            (7, 6, vec![]),
        ] {
            let found: Vec<_> = stretch.between(Seq(from), Seq(to)).map(|(seq, rowid)| (seq.0, rowid)).collect();
            assert_eq!(found, expected, "{from} to {to}");
            let backward = stretch.between(Seq(from), Seq(to)).rev().map(|(seq, rowid)| (seq.0, rowid));
            assert_eq!(backward.collect::<Vec<_>>(), expected.into_iter().rev().collect::<Vec<_>>());
        }
        [5, 7, 99].into_iter().for_each(|seq| stretch.delete(Seq(seq)));
        assert!(stretch.is_empty());
        assert_eq!(stretch.to_json(), "[0,0,0]");
    }
}
