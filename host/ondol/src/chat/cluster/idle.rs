//! Rooms that are not used any more have no home: the next host that needs one becomes its home, and no host keeps a room for
//! ever because it was the first. A room that is being given up is claimed again once that is done.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Hosts;
use crate::chat::open_rooms::OpenRooms;
use crate::chat::room_queue::RoomQueue;
use ondol_host_model::RoomId;
use ondol_host_store::{Claimed, StoreError};

/// How many rooms are given up in one statement: beats wait for it.
const ROOMS_MAX: usize = 1_000;

/// How often rooms are looked at.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_secs(15);

/// The rooms whose home this host is.
#[derive(Default)]
pub(super) struct Homes {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Default)]
struct State {
    /// When each was last seen in use.
    used: HashMap<RoomId, Instant>,
    /// Those that are being given up.
    releasing: HashSet<RoomId>,
}

impl Homes {
    /// Makes this host the home of a room, unless another one is.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn claim(&self, room: &RoomQueue) -> Result<Claimed, StoreError> {
        self.until_released(room.id).await;
        let claimed = room.pipeline.store.claim(room.id).await?;
        if matches!(claimed, Claimed::Here { .. }) {
            self.state().used.insert(room.id, Instant::now());
        }
        Ok(claimed)
    }

    /// Waits until a room is not being given up. It is not begun afterwards, since it is in use.
    async fn until_released(&self, room: RoomId) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.state().releasing.contains(&room) {
                return;
            }
            released.await;
        }
    }

    /// Some of the rooms that were not used for so long. They are being given up from now on, until [`Homes::end_release`].
    fn begin_release(&self, now: Instant, idle: Duration, is_used: impl Fn(RoomId) -> bool) -> Vec<RoomId> {
        let mut state = self.state();
        let mut due = Vec::new();
        for (room, used) in &mut state.used {
            if is_used(*room) {
                *used = now;
            } else if now.saturating_duration_since(*used) >= idle && due.len() < ROOMS_MAX {
                due.push(*room);
            }
        }
        state.releasing.extend(&due);
        due
    }

    fn end_release(&self, rooms: &[RoomId], is_done: bool) {
        let mut state = self.state();
        for room in rooms {
            state.releasing.remove(room);
            if is_done {
                state.used.remove(room);
            }
        }
        drop(state);
        self.released.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up rooms for as long as the host does not leave, which gives up all.
pub(super) async fn run(hosts: Arc<Hosts>, rooms: Arc<OpenRooms>) {
    let idle = Duration::from_millis(hosts.pipeline.limits.room_idle_ms);
    while !hosts.is_leaving() {
        let due = hosts.homes.begin_release(Instant::now(), idle, |room| rooms.get(room).is_some());
        if due.is_empty() {
            sleep((idle / 4).clamp(LOOK_MIN, LOOK_MAX)).await;
            continue;
        }
        let released = hosts.pipeline.store.release(&due).await;
        hosts.homes.end_release(&due, released.is_ok());
        match released {
            Ok(()) => tracing::debug!(rooms = due.len(), "{} rooms were given up, since they were not used", due.len()),
            Err(error) => {
                tracing::debug!(%error, "rooms that are not used are not given up: {error}");
                sleep(LOOK_MAX).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const IDLE: Duration = Duration::from_secs(60);

    fn homes(rooms: impl IntoIterator<Item = u64>, used: Instant) -> Homes {
        let homes = Homes::default();
        homes.state().used.extend(rooms.into_iter().map(|room| (RoomId(room), used)));
        homes
    }

    #[test]
    fn a_room_is_given_up_when_it_was_not_used_for_long() {
        let start = Instant::now();
        let homes = homes([1, 2], start);
        let due = |seconds: u64, used: &[u64]| {
            let now = start + Duration::from_secs(seconds);
            homes.begin_release(now, IDLE, |room| used.contains(&room.0))
        };
        assert!(due(59, &[]).is_empty());
        assert_eq!(due(60, &[2]), [RoomId(1)]);
        homes.end_release(&[RoomId(1)], true);
        assert!(due(119, &[]).is_empty(), "it was seen in use, and the other one is gone");
        assert_eq!(due(120, &[]), [RoomId(2)]);
        homes.end_release(&[RoomId(2)], false);
        assert_eq!(due(121, &[]), [RoomId(2)], "it was not given up");
    }

    #[test]
    fn so_many_are_given_up_at_once_and_the_others_next() {
        let start = Instant::now();
        let homes = homes(0..ROOMS_MAX as u64 + 7, start);
        for expected in [ROOMS_MAX, 7, 0] {
            let due = homes.begin_release(start + IDLE, IDLE, |_| false);
            assert_eq!(due.len(), expected);
            homes.end_release(&due, true);
        }
    }

    #[tokio::test]
    async fn a_claim_waits_for_a_room_that_is_being_given_up_and_for_no_other() {
        let start = Instant::now();
        let homes = homes([1], start);
        let due = homes.begin_release(start + IDLE, IDLE, |_| false);
        homes.until_released(RoomId(2)).await;
        let waiting = homes.until_released(RoomId(1));
        tokio::pin!(waiting);
        assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
        homes.end_release(&due, true);
        timeout(Duration::from_secs(10), waiting).await.unwrap();
    }
}
