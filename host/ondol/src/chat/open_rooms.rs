//! The rooms that have members or anything in flight, by number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::ChatError;
use super::cluster::{Hosts, Link};
use super::room_queue::{ChatPipeline, RoomQueue};
use ondol_host_model::RoomId;

/// The rooms that are open.
pub(super) struct OpenRooms {
    by_id: Mutex<HashMap<RoomId, Weak<RoomQueue>>>,
    pipeline: Arc<ChatPipeline>,
    /// The other hosts, if the chat has several.
    hosts: Option<Arc<Hosts>>,
}

impl OpenRooms {
    pub(super) fn new(pipeline: &Arc<ChatPipeline>, hosts: Option<Arc<Hosts>>) -> Arc<Self> {
        Arc::new(Self { by_id: Mutex::default(), pipeline: Arc::clone(pipeline), hosts })
    }

    /// A room that is open.
    pub(super) fn get(&self, id: RoomId) -> Option<Arc<RoomQueue>> {
        self.by_id().get(&id)?.upgrade()
    }

    /// Opens a room that exists.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub(super) async fn open(&self, id: RoomId) -> Result<Arc<RoomQueue>, ChatError> {
        let room = match self.get(id) {
            Some(room) => room,
            None => {
                self.pipeline.store.room(id).await?.ok_or(ChatError::NotFound)?;
                self.insert(id)
            }
        };
        if let Some(hosts) = &self.hosts {
            hosts.open(&room).await?;
        }
        Ok(room)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<RoomQueue>> {
        self.by_id().values().filter_map(Weak::upgrade).collect()
    }

    /// Waits until they can be used: a test of whether the chat hangs.
    pub(super) fn touch(&self) {
        drop(self.by_id());
    }

    fn insert(&self, id: RoomId) -> Arc<RoomQueue> {
        let mut rooms = self.by_id();
        if let Some(room) = rooms.get(&id).and_then(Weak::upgrade) {
            return room;
        }
        if rooms.len() == rooms.capacity() {
            rooms.retain(|_, room| room.strong_count() > 0);
        }
        let link = self.hosts.as_ref().map(|hosts| Link::new(Arc::clone(hosts)));
        let room = Arc::new(RoomQueue::new(id, &self.pipeline, link));
        rooms.insert(id, Arc::downgrade(&room));
        room
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<RoomId, Weak<RoomQueue>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
