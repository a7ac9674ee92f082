//! A user who says something, under the number by which handlers know them.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::User;

/// What handlers know a [`Speaker`] by: the `user-key` of `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey(pub u64);

/// A user under a key that no other has had in this process. Whoever sees the key may keep what they made of the user: it
/// never changes.
#[derive(Debug)]
pub struct Speaker {
    key: UserKey,
    user: User,
}

impl Speaker {
    /// This user under the next key.
    #[must_use]
    pub fn new(user: User) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { key: UserKey(NEXT.fetch_add(1, Ordering::Relaxed)), user }
    }

    /// What handlers know them by.
    #[must_use]
    pub fn key(&self) -> UserKey {
        self.key
    }
}

impl Deref for Speaker {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_speakers_have_the_same_key() {
        let ann = User { id: "1".into(), nickname: "ann".into(), email: "ann@example.com".into(), profile_url: None };
        let (one, other) = (Speaker::new(ann.clone()), Speaker::new(ann.clone()));
        assert_ne!(one.key(), other.key());
        assert_eq!(*one, *other);
        assert_eq!(*one, ann);
    }
}
