//! A user who sends messages, under the key by which handlers know them.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::User;

/// The key by which handlers know a [`Speaker`]: the `user-key` of `wit/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserKey(pub u64);

/// A user under a key that is unique in this process. The user behind a key never changes, so a handler may cache what
/// it computed for it.
#[derive(Debug)]
pub struct Speaker {
    key: UserKey,
    user: User,
}

impl Speaker {
    /// Gives a user the next key.
    #[must_use]
    pub fn new(user: User) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { key: UserKey(NEXT.fetch_add(1, Ordering::Relaxed)), user }
    }

    /// The key by which handlers know the user.
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
    fn keys_are_unique() {
        let ann = User { id: "1".into(), nickname: "ann".into(), email: "ann@example.com".into(), profile_url: None };
        let (one, other) = (Speaker::new(ann.clone()), Speaker::new(ann.clone()));
        assert_ne!(one.key(), other.key());
        assert_eq!(*one, *other);
        assert_eq!(*one, ann);
    }
}
