//! The quota of connections of each user, and the probe of those connections before a newcomer is refused: a client that
//! vanished may hold its place for as long as a ping may take. Knows users by their id alone, and outboxes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use ondol_host_rooms::{Outbox, Request};

/// The connections of all users.
pub(super) struct ConnectionQuota {
    users: Mutex<HashMap<String, Places>>,
    per_user_max: usize,
    /// How long a connection has to answer a probe. Zero: none is probed.
    probe_max: Duration,
}

/// The connections of one user.
#[derive(Default)]
struct Places {
    taken: Vec<Place>,
    /// The number of the next place.
    next: u64,
    /// The last probe of all of them, and when it began.
    probe: Option<(Probe, Instant)>,
}

struct Place {
    number: u64,
    /// None: it is not in a room yet.
    outbox: Option<Arc<Outbox>>,
}

/// A probe of a user's connections. Each holds a sender until it knows whether its peer is alive.
type Probe = watch::Receiver<()>;

/// The permit of one connection, given back when dropped.
pub struct Permit {
    quota: Arc<ConnectionQuota>,
    user: String,
    number: u64,
}

impl Permit {
    /// Names the connection that it is for, which is probed when another of its user finds no place.
    pub fn attach(&self, outbox: &Arc<Outbox>) {
        if let Some(places) = self.quota.users().get_mut(&self.user)
            && let Some(place) = places.taken.iter_mut().find(|place| place.number == self.number)
        {
            place.outbox = Some(Arc::clone(outbox));
        }
    }
}

impl ConnectionQuota {
    pub(super) fn new(per_user_max: usize, probe_max: Duration) -> Self {
        Self { users: Mutex::default(), per_user_max, probe_max }
    }

    /// The connections of all users.
    pub(super) fn open(&self) -> usize {
        self.users().values().map(|places| places.taken.len()).sum()
    }

    /// A permit for `user`. None: they have as many connections as they may, and all of them are alive.
    pub(super) async fn acquire(self: &Arc<Self>, user: &str) -> Option<Permit> {
        let mut probe = match self.take(user) {
            Ok(permit) => return Some(permit),
            Err(probe) => probe?,
        };
        // The second half is for connections that are busy.
        let _ = tokio::time::timeout(self.probe_max * 2, async { while probe.changed().await.is_ok() {} }).await;
        self.take(user).ok()
    }

    /// A permit, or the probe to wait for. None: one has just found that all are alive.
    fn take(self: &Arc<Self>, user: &str) -> Result<Permit, Option<Probe>> {
        let mut users = self.users();
        let places = users.entry(user.to_owned()).or_default();
        if places.taken.len() >= self.per_user_max {
            return Err(places.probe(self.probe_max));
        }
        let number = places.next;
        places.next += 1;
        places.taken.push(Place { number, outbox: None });
        Ok(Permit { quota: Arc::clone(self), user: user.to_owned(), number })
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Places>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// The probe that is running, or a new one. None: one has begun so recently that another would find the same.
    fn probe(&mut self, probe_max: Duration) -> Option<Probe> {
        if probe_max.is_zero() {
            return None;
        }
        if let Some((probe, since)) = &self.probe
            && since.elapsed() < probe_max
        {
            // It is over once every sender is gone.
            return probe.has_changed().is_ok().then(|| probe.clone());
        }
        let (sender, probe) = watch::channel(());
        let sender = Arc::new(sender);
        for outbox in self.taken.iter().filter_map(|place| place.outbox.as_ref()) {
            outbox.request(Request::Probe(Arc::clone(&sender) as Arc<_>));
        }
        self.probe = Some((probe.clone(), Instant::now()));
        Some(probe)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut users = self.quota.users();
        let Some(places) = users.get_mut(&self.user) else { return };
        if let Some(index) = places.taken.iter().position(|place| place.number == self.number) {
            places.taken.swap_remove(index);
        }
        if places.taken.is_empty() {
            users.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use ondol_host_rooms::FrameSink;

    use super::*;

    struct Nowhere;

    impl FrameSink for Nowhere {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
    }

    fn outbox() -> Arc<Outbox> {
        Arc::new(Outbox::new(Arc::new(Nowhere), 1_024))
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_permit_is_free_again_when_its_connection_is_gone() {
        let quota = Arc::new(ConnectionQuota::new(1, Duration::ZERO));
        let permit = quota.acquire("ann").await;
        assert!(permit.is_some());
        assert!(quota.acquire("ann").await.is_none());
        assert!(quota.acquire("ben").await.is_some());
        drop(permit);
        assert!(quota.acquire("ann").await.is_some());
        assert_eq!(quota.users().len(), 0, "users without a connection are forgotten");
    }

    #[tokio::test]
    async fn many_newcomers_share_one_probe() {
        let quota = Arc::new(ConnectionQuota::new(1, LONG));
        let (permit, outbox) = (quota.acquire("ann").await, outbox());
        permit.iter().for_each(|permit| permit.attach(&outbox));
        let newcomers: Vec<_> = (0..3).map(|_| quota.take("ann")).collect();
        assert!(newcomers.iter().all(|newcomer| matches!(newcomer, Err(Some(_)))));
        let Some(Request::Probe(asked)) = outbox.take_request() else { panic!("it was not probed") };
        assert!(outbox.take_request().is_none());
        drop(asked);
        assert!(matches!(quota.take("ann"), Err(None)), "it has just been found alive");
        assert!(outbox.take_request().is_none());
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_a_connection_that_is_found_dead() {
        let quota = Arc::new(ConnectionQuota::new(1, LONG));
        let (permit, outbox) = (quota.acquire("ann").await, outbox());
        permit.iter().for_each(|permit| permit.attach(&outbox));
        let (newcomer, ()) = tokio::join!(quota.acquire("ann"), async {
            let asked = outbox.take_request();
            assert!(asked.is_some());
            drop(permit);
            drop(asked);
        });
        assert!(newcomer.is_some());
    }
}
