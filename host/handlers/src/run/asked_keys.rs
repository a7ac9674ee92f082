//! Which settings a version asks for while the admission checks call it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most keys that are remembered, and the longest one in bytes: a handler may make up any number of them.
const KEYS_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 128;

/// The keys that a version has asked for.
pub(crate) struct AskedKeys {
    open: AtomicBool,
    keys: Mutex<BTreeSet<String>>,
}

impl AskedKeys {
    pub(crate) fn new() -> Self {
        Self { open: AtomicBool::new(true), keys: Mutex::default() }
    }

    /// Remembers a key, until all have been taken.
    pub(crate) fn add(&self, key: &str) {
        if self.open.load(Ordering::Relaxed) && key.len() <= KEY_BYTES_MAX {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if keys.len() < KEYS_MAX {
                keys.insert(key.to_owned());
            }
        }
    }

    /// Takes the keys. Later ones cost nothing and are not remembered.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        self.open.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_remembered_until_they_are_taken_and_no_more_than_a_few() {
        let asked = AskedKeys::new();
        (0..100).for_each(|number| asked.add(&format!("{number:03}")));
        asked.add(&"long".repeat(100));
        let keys = asked.take();
        assert_eq!((keys.len(), keys.contains("000")), (KEYS_MAX, true));
        asked.add("late");
        assert!(asked.take().is_empty());
    }
}
