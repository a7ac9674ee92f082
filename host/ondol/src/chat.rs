//! The application: the only place that knows handlers, store and rooms. It decides what happens in which order, and
//! nothing about what is allowed or how it reads: that is the handlers'.
//!
//! A message: [`say`] calls `messages.receive`; the room's [`room_queue`] numbers it and calls `events.message`; the
//! [`commit_pipeline`] commits it with what else has gathered; [`delivery`] publishes what is durable to the room.

mod activity;
mod claims;
mod cluster;
mod commit_pipeline;
mod connection_quota;
mod deletion;
mod delivery;
mod drain;
mod figures;
mod history;
mod member;
mod open_rooms;
mod opening;
mod operator;
mod pulse;
mod readiness;
mod release_store;
mod releases;
mod reply;
mod report;
mod resume;
mod room_queue;
mod say;
mod ticket;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use activity::{ActivityReport, CallSample, Sample};
pub use cluster::{ClusterError, ClusterFigures, ClusterStatus, DrainBegun, HostStatus, RoomHome};
pub use connection_quota::Permit;
pub(crate) use drain::going_away_outside;
pub use figures::ChatFigures;
pub use history::Shown;
pub use member::Member;
pub use operator::{Operator, StartedCanary, StartedShadow};
pub use readiness::NotReady;
pub use release_store::as_deployed;
pub use releases::{ChangeRequest, Changed, HandlerChange, ReleaseError, RollbackTarget, SettingsRow, SettingsRows};
pub use reply::SayError;
pub(crate) use reply::{RATE_LIMITED, own_error, rate_limited, send};
pub use report::{Diff, HandlerRow, ReleaseRow, Status, VersionRow};
pub use resume::{LastSeen, Resumed, Resumption};
pub(crate) use say::client_id;

// What the edge needs of the two below: it knows them by these names alone.
pub use ondol_host_handlers::{
    ActivateError, AdmissionError, CanaryRow, HandlerKind, ShadowRow, SlownessOverride, Stage, setting_text,
};
pub use ondol_host_rooms::{CloseReason, FrameSink, Outbox, OutboxState, Request};
pub use ondol_host_store::Page;

use crate::config::{Config, HistoryForm, StorePlace};
use activity::Activity;
use cluster::Hosts;
use commit_pipeline::Pipeline;
use connection_quota::ConnectionQuota;
use history::History;
use ondol_host_handlers::{Admission, Handlers, LastOffered, VersionId, Watch};
use ondol_host_model::trace;
use ondol_host_model::{Frame, OnExistingRoom, Refusal, RequestId, Room, RoomId, RoomRequest, Seq, Speaker, User};
use ondol_host_store::{RoomOutcome, Store, StoreError};
use open_rooms::OpenRooms;
use readiness::Readiness;
use releases::Releases;
use reply::{Reply, Unsaid};
use room_queue::{ChatPipeline, RoomQueue};

/// The reason of a close frame at the end of the server.
pub const SHUTTING_DOWN: &str = "the server is shutting down";

/// The chat. One for a process.
pub struct Chat {
    handlers: Arc<Handlers>,
    releases: Arc<Releases>,
    operator: Operator,
    readiness: Arc<Readiness>,
    /// The handlers' files as they were when it opened.
    last_offered: [Option<LastOffered>; 3],
    pipeline: Arc<ChatPipeline>,
    rooms: Arc<OpenRooms>,
    /// The other hosts, if the chat has several.
    hosts: Option<Arc<Hosts>>,
    connections: Arc<ConnectionQuota>,
    history: Arc<History>,
    activity: Activity,
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
    Stored(Box<Shown>),
    /// It was sent to the room, or nothing was to be done.
    NotStored,
}

impl Chat {
    /// Takes over what can change of a config that was read again: the settings of handlers, and the limits of releases.
    /// Returns the handlers that do not take their settings, each with the reason. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// The store's. Nothing is changed then.
    pub fn reload(&self, config: &Config) -> Result<Vec<(HandlerKind, String)>, StoreError> {
        // What can fail comes first: then nothing is changed.
        let seen = self.releases.pipeline.store.releases().directory_snapshots()?;
        self.handlers.set_limits(config.limits.handlers().rollout);
        Ok(self.releases.reload(opening::settings_of(config), &seen))
    }

    /// Opens the store, brings up the handlers and then the chat. On a runtime, beside its workers: it may compile.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened, or there are no three handlers that work: every reason.
    pub fn open(config: &Config, admission: Admission) -> anyhow::Result<Self> {
        let limits = config.limits.store();
        let store = match config.store_place()? {
            StorePlace::File(path) => Store::open(&path, config.synchronous, &limits),
            StorePlace::Postgres(place) => Store::connect(&place, &limits),
        };
        let store = store.context("the database")?;
        let pipeline = Pipeline::new(store, config.limits.clone(), Handle::current(), delivery::deliver);
        let pipeline = Arc::new(pipeline);
        let probe_max = Duration::from_millis(config.limits.probe_ms_max);
        let connections = Arc::new(ConnectionQuota::new(config.limits.connections_per_user_max, probe_max));
        let (releases, last_offered) = opening::open(&pipeline, admission, config).context("the handlers")?;
        let (handlers, releases) = (Arc::clone(&releases.handlers), Arc::new(releases));
        let (history, activity) = (Arc::new(History::new(config)), Activity::new());
        let joined = Handle::current().block_on(cluster::join(config, &pipeline))?;
        let (hosts, incoming) = joined.map(|joined| Hosts::new(joined, &handlers, &history, &pipeline)).unzip();
        let rooms = OpenRooms::new(&pipeline, hosts.clone());
        if let (Some(hosts), Some(incoming)) = (&hosts, incoming) {
            hosts.start(Arc::clone(&rooms), Arc::clone(&releases), Arc::clone(&connections), incoming);
        }
        let readiness = Arc::new(Readiness::new(Arc::clone(&handlers), Arc::clone(&pipeline), hosts.clone()));
        let operator = Operator::new(Arc::clone(&releases), Arc::clone(&readiness));
        Ok(Self {
            handlers,
            releases,
            operator,
            readiness,
            last_offered,
            pipeline,
            rooms,
            hosts,
            connections,
            history,
            activity,
        })
    }

    /// Watches the directory of handlers for as long as what is returned lives.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub fn watch(&self, directory: &Path) -> std::io::Result<Watch> {
        opening::follow(&self.releases, directory, self.last_offered)
    }

    /// What an operator asks for and changes.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Whether messages can be stored and all three handlers answer.
    ///
    /// # Errors
    ///
    /// What keeps the chat from serving. A built-in handler's answer does not count.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.readiness.check()
    }

    /// The versions that answer now, in the order of [`HandlerKind::ALL`].
    #[must_use]
    pub fn answering(&self) -> [VersionId; 3] {
        self.handlers.current().versions().ids()
    }

    /// A permit for one more connection of a user. None: `connections_per_user_max` are open and alive.
    pub async fn connection_permit(&self, user: &User) -> Option<Permit> {
        self.connections.acquire(&user.id).await
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
        let draft = release.create(id, &request, creator).map_err(|_| ChatError::HandlerFault)?;
        let draft = draft.map_err(ChatError::Refused)?;
        let on_existing = draft.on_existing;
        let owner = creator.map(|user| user.id.clone());
        match self.pipeline.store.create_room(draft, request.post_id, owner).await? {
            RoomOutcome::Created(room) => Ok(Creation::Created(room)),
            RoomOutcome::Existing(room) if on_existing == OnExistingRoom::Reuse => Ok(Creation::Standing(room)),
            RoomOutcome::Existing(_) => {
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
        Ok(self.pipeline.store.rooms(after, limit).await?)
    }

    /// A room.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn room(&self, id: RoomId) -> Result<Room, ChatError> {
        self.pipeline.store.room(id).await?.ok_or(ChatError::NotFound)
    }

    /// Whether there is such a room.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn has_room(&self, id: RoomId) -> Result<bool, ChatError> {
        Ok(self.rooms.get(id).is_some() || self.pipeline.store.room(id).await?.is_some())
    }

    /// The epoch of the database.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.pipeline.store.epoch()
    }

    /// The last `seq` of a room, 0 if it has no message.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn last_seq(&self, room: RoomId) -> Result<Seq, ChatError> {
        match self.rooms.get(room).and_then(|room| room.members.last()) {
            Some(last) => Ok(last),
            None => Ok(self.pipeline.store.last_seq(room).await?),
        }
    }

    /// A page of a room's messages, oldest first.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], the store's, or a handler's fault.
    pub async fn messages(
        &self,
        room: RoomId,
        page: Page,
        limit: usize,
        id: RequestId,
    ) -> Result<Vec<Shown>, ChatError> {
        self.room(room).await?;
        let messages = self.pipeline.store.messages(room, page, limit).await?;
        match self.history.form {
            HistoryForm::Host => Ok(messages.into_iter().map(Shown::Message).collect()),
            HistoryForm::Events => self.history.write(self.handlers.for_room(room), id, messages, page).await,
        }
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
        let room = self.room_queue(room).await?;
        let release = self.handlers.for_room(room.id);
        let (answer, answered) = oneshot::channel();
        let reply = Reply::waiting(answer, self.history.form, id);
        // A task of its own: the client may go away meanwhile, and a second request with the same id may count on this one.
        let saying = Arc::clone(&room);
        tokio::spawn(trace::within(trace::current(), async move {
            say::say(&saying, release, &sender, Frame::Body(&body), reply).await;
        }));
        let answer = answered.await;
        // Until here it is open, so that an answer of its home arrives.
        drop(room);
        match answer {
            Ok(Ok(Some(shown))) => Ok(Said::Stored(Box::new(shown))),
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
        Ok(Member::join(&self.handlers, self.room_queue(room).await?, user, outbox))
    }

    /// The queue of a room that exists.
    async fn room_queue(&self, id: RoomId) -> Result<Arc<RoomQueue>, ChatError> {
        self.rooms.open(id).await
    }
}
