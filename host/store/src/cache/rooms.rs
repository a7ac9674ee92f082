//! Rooms, which never change. Simultaneous requests for one share a read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use tokio::sync::OnceCell;

use crate::error::StoreError;
use ondol_host_model::{Room, RoomId};

/// How many rooms are remembered: those that were asked for last.
const ROOMS_MAX: usize = 4_096;

/// The outcome of a read.
type Found = Result<Option<Room>, StoreError>;

/// The rooms that were asked for last, each read or being read.
type Entries = LruCache<RoomId, Arc<OnceCell<Found>>>;

/// Rooms in memory.
pub(crate) struct Rooms(Mutex<Entries>);

impl Default for Rooms {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ROOMS_MAX)))
    }
}

impl Rooms {
    /// A room from memory, or by `read`.
    pub(crate) async fn find<R: Future<Output = Found>>(&self, id: RoomId, read: impl Fn() -> R) -> Found {
        let cell = Arc::clone(self.lock().entry(id).or_insert_with(Arc::default));
        let mut is_own_read = false;
        let found = cell.get_or_init(|| {
            is_own_read = true;
            read()
        });
        let found = found.await.clone();
        if matches!(found, Ok(Some(_))) {
            return found;
        }
        self.forget(id, &cell);
        // A read that began earlier may have missed a room that was created meanwhile.
        if is_own_read { found } else { read().await }
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn forget(&self, id: RoomId, cell: &Arc<OnceCell<Found>>) {
        let mut entries = self.lock();
        if entries.peek(&id).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            entries.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
