//! How many connections each user has, and may have. Knows users by their id alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of all users.
pub(super) struct Seats {
    taken: Mutex<HashMap<String, usize>>,
    per_user_max: usize,
}

/// One connection's place, given back when dropped.
pub struct Seat {
    seats: Arc<Seats>,
    user: String,
}

impl Seats {
    pub(super) fn new(per_user_max: usize) -> Self {
        Self { taken: Mutex::default(), per_user_max }
    }

    /// A place for `user`, or none when they have as many as they may.
    pub(super) fn take(self: &Arc<Self>, user: &str) -> Option<Seat> {
        let mut taken = self.taken();
        let count = taken.entry(user.to_owned()).or_default();
        if *count >= self.per_user_max {
            return None;
        }
        *count += 1;
        Some(Seat { seats: Arc::clone(self), user: user.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_is_gone() {
        let seats = Arc::new(Seats::new(1));
        let seat = seats.take("ann");
        assert!(seat.is_some());
        assert!(seats.take("ann").is_none());
        assert!(seats.take("ben").is_some());
        drop(seat);
        assert!(seats.take("ann").is_some());
        assert!(seats.taken().is_empty(), "nobody is remembered who is not here");
    }
}
