//! The latest messages of the rooms that were read last. A room's first reader reads them for all who ask meanwhile; from then
//! on commits add to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use tokio::sync::OnceCell;

use super::ring::{MESSAGES_MAX, Ring, bytes};
use crate::error::StoreError;
use crate::page::Page;
use ondol_host_model::{Message, RoomId, Seq};

/// What a room takes in memory beside its messages.
const ROOM_BYTES: usize = 512;

/// The share of the memory that one room may take.
const ROOM_SHARE: usize = 8;

/// The latest messages of rooms.
pub(crate) struct Latest {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

struct Inner {
    rooms: LruCache<RoomId, State>,
    bytes: usize,
}

/// One read of a room's latest messages, for all who wait for it.
type Reading = Arc<OnceCell<Result<(), StoreError>>>;

enum State {
    /// They are being read. With them, what was committed since the read began, which may have missed it.
    Reading {
        reading: Reading,
        since: Vec<Arc<Message>>,
        bytes: usize,
    },
    Loaded(Ring),
}

/// A page that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) room: RoomId,
    pub(crate) page: Page,
    pub(crate) limit: usize,
    pub(crate) bytes_max: usize,
}

impl Latest {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::new(Inner { rooms: LruCache::new_unbounded(), bytes: 0 }), bytes_max }
    }

    /// The most bytes of one room.
    pub(crate) fn room_bytes_max(&self) -> usize {
        self.bytes_max / ROOM_SHARE
    }

    /// A page from memory, after a `read` of the room's latest messages if there are none. None: it has to be read.
    pub(crate) async fn page<R>(
        &self,
        asked: Asked,
        read: impl FnOnce() -> R,
    ) -> Result<Option<Vec<Message>>, StoreError>
    where
        R: Future<Output = Result<Ring, StoreError>>,
    {
        let Some(reading) = self.reading(&asked) else { return Ok(self.known(&asked)) };
        let landed = reading.get_or_init(async || {
            let ring = read().await;
            self.land(asked.room, &reading, ring)
        });
        landed.await.clone()?;
        // Not what the read has brought: the caller may have heard of a later message.
        Ok(self.known(&asked))
    }

    /// The read to wait for. None: the messages are known, or need not be.
    fn reading(&self, asked: &Asked) -> Option<Reading> {
        let mut inner = self.lock();
        match inner.rooms.get(&asked.room) {
            Some(State::Loaded(_)) => return None,
            Some(State::Reading { reading, .. }) => return Some(Arc::clone(reading)),
            None => {}
        }
        // A client that goes back in the history does not want the latest messages.
        if matches!(asked.page, Page::Before(_)) || self.bytes_max == 0 {
            return None;
        }
        let reading = Reading::default();
        let state = State::Reading { reading: Arc::clone(&reading), since: Vec::new(), bytes: 0 };
        inner.replace(asked.room, state);
        inner.shrink_to(self.bytes_max);
        Some(reading)
    }

    fn known(&self, asked: &Asked) -> Option<Vec<Message>> {
        let page = {
            let mut inner = self.lock();
            let Some(State::Loaded(ring)) = inner.rooms.get(&asked.room) else { return None };
            ring.page(asked.page, asked.limit, asked.bytes_max)?
        };
        // The texts are copied without the lock.
        Some(page.iter().map(|message| Message::clone(message)).collect())
    }

    /// Takes what was read, if the room was not forgotten meanwhile.
    fn land(&self, room: RoomId, own: &Reading, ring: Result<Ring, StoreError>) -> Result<(), StoreError> {
        let mut inner = self.lock();
        match inner.rooms.peek(&room) {
            Some(State::Reading { reading, .. }) if Arc::ptr_eq(reading, own) => {}
            _ => return ring.map(drop),
        }
        let Some(State::Reading { since, .. }) = inner.remove(room) else { return ring.map(drop) };
        let (mut ring, room_max) = (ring?, self.room_bytes_max());
        if since.iter().all(|message| ring.push(message, room_max)) {
            inner.replace(room, State::Loaded(ring));
            inner.shrink_to(self.bytes_max);
        }
        Ok(())
    }

    /// Adds what was committed to the rooms that are known.
    pub(super) fn committed<'a>(&self, messages: impl Iterator<Item = &'a Arc<Message>>) {
        let mut inner = self.lock();
        if inner.rooms.is_empty() {
            return;
        }
        for message in messages {
            inner.push(message, self.room_bytes_max());
        }
        inner.shrink_to(self.bytes_max);
    }

    pub(super) fn forget(&self, room: RoomId) {
        self.lock().remove(room);
    }

    pub(super) fn forget_before(&self, room: RoomId, seq: Seq) {
        let mut inner = self.lock();
        if !matches!(inner.rooms.peek(&room), Some(State::Loaded(ring)) if ring.first() >= seq) {
            inner.remove(room);
        }
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.rooms.clear();
        inner.bytes = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, message: &Arc<Message>, room_bytes_max: usize) {
        let Some(state) = self.rooms.peek_mut(&message.room) else { return };
        let before = state.bytes();
        let is_next = match state {
            State::Loaded(ring) => ring.push(message, room_bytes_max),
            State::Reading { since, bytes: size, .. } => {
                since.push(Arc::clone(message));
                *size += bytes(message);
                since.len() <= MESSAGES_MAX
            }
        };
        self.bytes = self.bytes + state.bytes() - before;
        if !is_next {
            self.remove(message.room);
        }
    }

    fn replace(&mut self, room: RoomId, state: State) {
        self.bytes += state.bytes();
        if let Some(replaced) = self.rooms.insert(room, state) {
            self.bytes -= replaced.bytes();
        }
    }

    fn remove(&mut self, room: RoomId) -> Option<State> {
        let state = self.rooms.remove(&room)?;
        self.bytes -= state.bytes();
        Some(state)
    }

    /// Forgets the rooms that were not read for longest.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, state)) = self.rooms.remove_lru()
        {
            self.bytes -= state.bytes();
        }
    }
}

impl State {
    fn bytes(&self) -> usize {
        ROOM_BYTES
            + match self {
                Self::Reading { bytes, .. } => *bytes,
                Self::Loaded(ring) => ring.bytes(),
            }
    }
}

#[cfg(test)]
mod tests;
