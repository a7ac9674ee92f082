//! The application: the only place that knows handlers, store and rooms. It decides what happens in which order, and
//! nothing about what is allowed or how it reads: that is the handlers'.
//!
//! A message: [`Chat::say`] asks `messages.receive`; the room's [`place`] numbers it and asks `events.message`; the store
//! commits it with whatever else has gathered; what is durable is published to the room.

mod ask;
mod claims;
mod ledger;
mod member;
mod opening;
mod place;
mod ready;
mod releases;
mod reply;
mod report;
mod say;
mod seats;
mod trials;
mod work;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use ledger::as_deployed;
pub use member::Member;
pub use ready::NotReady;
pub use releases::{Changed, Order, Part, ReleaseError, Target};
pub use reply::SayError;
pub use report::{Diff, HandlerRow, ReleaseRow, Status, VersionRow};
pub use seats::Seat;

// What the edge needs of the two below: it knows them by these names alone.
pub use ondol_host_handlers::{ActivateError, CanaryRow, HandlerKind, LoadError, ShadowRow, Stage};
pub use ondol_host_rooms::{Outbox, OutboxState, Why, Wire};
pub use ondol_host_store::Page;

use crate::config::Config;
use ondol_host_handlers::{Handlers, Known, Sandbox, VersionId, Watch};
use ondol_host_model::{Frame, Message, Refusal, RequestId, Room, RoomId, RoomRequest, Speaker, Standing, User};
use ondol_host_store::{RoomOutcome, Store, StoreError};
use place::Place;
use ready::Ready;
use releases::Releases;
use reply::{Reply, Unsaid};
use seats::Seats;
use work::Work;

/// The chat. One for a process.
pub struct Chat {
    handlers: Arc<Handlers>,
    releases: Arc<Releases>,
    ready: Ready,
    /// The handlers' files as they were when it opened.
    known: [Known; 3],
    work: Arc<Work>,
    places: Mutex<HashMap<RoomId, Weak<Place>>>,
    seats: Arc<Seats>,
}

/// Why a request of the edge's failed. Each is one answer there.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChatError {
    /// What was asked for is not there.
    #[error("not found")]
    NotFound,
    /// A considered no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// A handler failed.
    #[error("a handler failed")]
    HandlerFault,
    /// Too much waits for the store.
    #[error("too much is waiting, try again")]
    Busy,
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(StoreError),
    /// Something said came to nothing.
    #[error("{error}")]
    Say {
        /// Why.
        error: SayError,
        /// The client's own id for it.
        client_id: Option<String>,
    },
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(_) => Self::Busy,
            other => Self::Store(other),
        }
    }
}

/// What became of a request for a room.
#[derive(Debug)]
pub enum Creation {
    /// There is a new room.
    Created(Room),
    /// The post's standing room.
    Standing(Room),
}

/// What became of something said by request.
#[derive(Debug)]
pub enum Said {
    /// It is stored, and sent to the room.
    Stored(Box<Message>),
    /// It was sent to the room, or nothing was to be done.
    NotStored,
}

impl Chat {
    /// Opens the store, brings up the handlers and then the chat. On a runtime, beside its workers: it may compile.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened, or there are no three handlers that work: every reason.
    pub fn open(config: &Config, sandbox: Sandbox) -> anyhow::Result<Self> {
        let path = config.data.join("ondol.db");
        let store = Store::open(&path, config.synchronous, &config.limits.store()).context("the database")?;
        let work = Arc::new(Work::new(store, config.limits.clone(), Handle::current()));
        let seats = Arc::new(Seats::new(config.limits.connections_per_user_max));
        let (releases, known) = opening::open(&work, sandbox, config).context("the handlers")?;
        let (handlers, releases) = (Arc::clone(&releases.handlers), Arc::new(releases));
        handlers.sandbox().give_way();
        Ok(Self { handlers, releases, ready: Ready::new(), known, work, places: Mutex::default(), seats })
    }

    /// Watches the directory of handlers for as long as what is returned lives.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub fn watch(&self, directory: &Path) -> std::io::Result<Watch> {
        opening::follow(&self.releases, directory, self.known)
    }

    /// The versions that answer now, in the order of [`HandlerKind::ALL`].
    #[must_use]
    pub fn answering(&self) -> [VersionId; 3] {
        self.handlers.current().versions()
    }

    /// A place for one more connection of a user, or none when they have as many as they may.
    #[must_use]
    pub fn seat(&self, user: &User) -> Option<Seat> {
        self.seats.take(&user.id)
    }

    /// Creates a room, or finds the one that its post has.
    ///
    /// # Errors
    ///
    /// A refusal, a handler's fault, or the store's error.
    pub async fn create_room(
        &self,
        request: RoomRequest,
        creator: Option<&User>,
        id: &RequestId,
    ) -> Result<Creation, ChatError> {
        let release = self.handlers.for_post(request.post_id);
        let draft = match ask::create(&release, id, &request, creator) {
            Ok(draft) => draft.map_err(ChatError::Refused)?,
            Err(fault) => {
                fault.log(None, Some(id), "no room is created");
                return Err(ChatError::HandlerFault);
            }
        };
        let standing = draft.standing;
        let owner = creator.map(|user| user.id.clone());
        match self.work.store.create_room(draft, request.post_id, owner).await? {
            RoomOutcome::Created(room) => Ok(Creation::Created(room)),
            RoomOutcome::Standing(room) if standing == Standing::Reuse => Ok(Creation::Standing(room)),
            RoomOutcome::Standing(_) => {
                let message = "this post has a room already";
                Err(ChatError::Refused(Refusal::new("post_has_room", Some("post_id"), message)))
            }
        }
    }

    /// Rooms after a number, oldest first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, ChatError> {
        Ok(self.work.store.rooms(after, limit).await?)
    }

    /// A room.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn room(&self, id: RoomId) -> Result<Room, ChatError> {
        self.work.store.room(id).await?.ok_or(ChatError::NotFound)
    }

    /// Whether there is such a room.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn has_room(&self, id: RoomId) -> Result<bool, ChatError> {
        Ok(self.standing_place(id).is_some() || self.work.store.room(id).await?.is_some())
    }

    /// A page of a room's messages, oldest first.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, ChatError> {
        self.room(room).await?;
        Ok(self.work.store.messages(room, page, limit).await?)
    }

    /// Says something in a room by request, and waits for what becomes of it.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or why it came to nothing.
    pub async fn say_once(
        self: &Arc<Self>,
        room: RoomId,
        sender: Arc<Speaker>,
        body: String,
        id: RequestId,
    ) -> Result<Said, ChatError> {
        let place = self.place(room).await?;
        let (answer, answered) = oneshot::channel();
        // Begun is done: who asked may go away meanwhile, and somebody else may count on what was begun.
        let chat = Arc::clone(self);
        tokio::spawn(async move {
            chat.say(&place, &sender, Frame::Body(&body), Reply::waiting(answer, id)).await;
        });
        match answered.await {
            Ok(Ok(Some(message))) => Ok(Said::Stored(Box::new(message))),
            Ok(Ok(None)) => Ok(Said::NotStored),
            Ok(Err(Unsaid { error, client_id })) => Err(ChatError::Say { error, client_id }),
            Err(_) => Err(ChatError::Say { error: SayError::NotStored, client_id: None }),
        }
    }

    /// Brings a connection into a room.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn join(
        self: &Arc<Self>,
        room: RoomId,
        user: Arc<Speaker>,
        outbox: Arc<Outbox>,
    ) -> Result<Member, ChatError> {
        let place = self.place(room).await?;
        place.join(&user, &outbox, self.handlers.for_room(room));
        Ok(Member::new(self, place, user, outbox))
    }

    /// Takes nothing more, commits and publishes what was accepted, then closes every connection with 1001. Waits for the
    /// disk.
    pub fn close(&self) {
        self.work.close();
        let places: Vec<_> = self.places().values().filter_map(Weak::upgrade).collect();
        for place in places {
            place.room.close(1001, "the server is shutting down");
        }
    }

    /// The place of a room that exists.
    async fn place(&self, room: RoomId) -> Result<Arc<Place>, ChatError> {
        if let Some(place) = self.standing_place(room) {
            return Ok(place);
        }
        self.room(room).await?;
        let mut places = self.places();
        if let Some(place) = places.get(&room).and_then(Weak::upgrade) {
            return Ok(place);
        }
        if places.len() == places.capacity() {
            places.retain(|_, place| place.strong_count() > 0);
        }
        let place = Arc::new(Place::new(room, &self.work));
        places.insert(room, Arc::downgrade(&place));
        Ok(place)
    }

    fn standing_place(&self, room: RoomId) -> Option<Arc<Place>> {
        self.places().get(&room)?.upgrade()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<RoomId, Weak<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
