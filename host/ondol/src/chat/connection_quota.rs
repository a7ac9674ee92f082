//! The quota of connections of each user. Knows users by their id alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of all users.
pub(super) struct ConnectionQuota {
    open: Mutex<HashMap<String, usize>>,
    per_user_max: usize,
}

/// The permit of one connection, given back when dropped.
pub struct Permit {
    quota: Arc<ConnectionQuota>,
    user: String,
}

impl ConnectionQuota {
    pub(super) fn new(per_user_max: usize) -> Self {
        Self { open: Mutex::default(), per_user_max }
    }

    /// A permit for `user`. None: they have as many connections as they may.
    pub(super) fn acquire(self: &Arc<Self>, user: &str) -> Option<Permit> {
        let mut open = self.open();
        let count = open.entry(user.to_owned()).or_default();
        if *count >= self.per_user_max {
            return None;
        }
        *count += 1;
        Some(Permit { quota: Arc::clone(self), user: user.to_owned() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.quota.open();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_free_again_when_its_connection_is_gone() {
        let quota = Arc::new(ConnectionQuota::new(1));
        let permit = quota.acquire("ann");
        assert!(permit.is_some());
        assert!(quota.acquire("ann").is_none());
        assert!(quota.acquire("ben").is_some());
        drop(permit);
        assert!(quota.acquire("ann").is_some());
        assert_eq!(quota.open().len(), 0, "users without a connection are forgotten");
    }
}
