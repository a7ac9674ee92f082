//! What is remembered of the database, so that it need not be asked again. Knows nothing of what that is.

use std::collections::HashMap;
use std::hash::Hash;

/// The most entries that are remembered before all are forgotten.
const REMEMBERED_MAX: usize = 100_000;

/// Entries. Their number is bounded by [`Remembered::make_room`] alone, which the user calls when it relies on none of them:
/// an entry that is there stays there until then.
pub(super) struct Remembered<K, V> {
    known: HashMap<K, V>,
    /// At so many entries the next call makes room.
    pub(super) max: usize,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new(), max: REMEMBERED_MAX }
    }
}

impl<K: Eq + Hash, V: Copy> Remembered<K, V> {
    /// What is remembered.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.known.get(key).copied()
    }

    /// Remembers entries.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = (K, V)>) {
        self.known.extend(entries);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, key: &K) {
        self.known.remove(key);
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Forgets all entries if there are too many.
    pub(super) fn make_room(&mut self) {
        if self.known.len() >= self.max {
            self.known.clear();
        }
    }
}
