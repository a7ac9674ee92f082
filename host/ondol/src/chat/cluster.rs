//! Several hosts, one chat. Each room has one home, the host that numbers its messages and writes its events; the database
//! says which. Other hosts that have members of it attach themselves there: they send it their clients' frames as they are, and
//! write what comes back to their sockets.
//!
//! The database is what is safe: a host that is wrong about its role stores nothing. The bus between the hosts is for speed:
//! whatever it loses is read from the database.

mod attaching;
mod dispatch;
mod early;
mod following;
mod link;
mod peer;
mod record;
mod repairing;
mod serving;
mod state;
mod unsettled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::timeout;

pub(super) use link::Link;
pub(super) use peer::RemoteReply;
pub(super) use unsettled::DeletionAnswer;

use super::ChatError;
use super::history::History;
use super::open_rooms::OpenRooms;
use super::releases::Releases;
use super::room_queue::{ChatPipeline, RoomQueue};
use crate::config::{Config, HistoryForm};
use dispatch::Dispatch;
use ondol_host_cluster::{BusError, Cluster, Incoming};
use ondol_host_handlers::{Handlers, Release};
use ondol_host_model::RoomId;
use ondol_host_store::{HostRow, StoreError};
use record::Record;

/// The bits of the name of a frame below the number of its host.
const ORIGIN_BITS: u32 = 40;

/// How long a client that comes into a room waits for its home.
const OPENING_MAX: Duration = Duration::from_secs(5);

/// How long a host that takes no more is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// The other hosts, to this one.
pub(super) struct Hosts {
    pub(super) no: i32,
    bus: Cluster,
    handlers: Arc<Handlers>,
    history: Arc<History>,
    pipeline: Arc<ChatPipeline>,
    next_attachment: AtomicU64,
    next_origin: AtomicI64,
    known: RwLock<BTreeSet<i32>>,
    is_leaving: AtomicBool,
    /// The latest release that another host tells of.
    latest_release: watch::Sender<i64>,
}

/// The bus, before anything is said on it.
pub(super) struct Joined {
    bus: Cluster,
    incoming: Incoming,
    no: i32,
}

/// Joins the bus, if there is one.
///
/// # Errors
///
/// When it cannot be reached.
pub(super) async fn join(config: &Config, no: Option<i32>) -> anyhow::Result<Option<Joined>> {
    let (Some(bus), Some(no)) = (config.bus(), no) else { return Ok(None) };
    let (bus, incoming) = Cluster::join(&bus, no).await.with_context(|| format!("the bus {}", bus.url))?;
    Ok(Some(Joined { bus, incoming, no }))
}

impl Hosts {
    pub(super) fn new(
        Joined { bus, incoming, no }: Joined,
        handlers: &Arc<Handlers>,
        history: &Arc<History>,
        pipeline: &Arc<ChatPipeline>,
    ) -> (Arc<Self>, Incoming) {
        let hosts = Self {
            no,
            bus,
            handlers: Arc::clone(handlers),
            history: Arc::clone(history),
            pipeline: Arc::clone(pipeline),
            next_attachment: AtomicU64::new(1),
            next_origin: AtomicI64::new(1),
            known: RwLock::default(),
            is_leaving: AtomicBool::new(false),
            latest_release: watch::Sender::new(0),
        };
        (Arc::new(hosts), incoming)
    }

    /// Begins to listen, and to follow the releases of other hosts.
    pub(super) fn start(self: &Arc<Self>, rooms: Arc<OpenRooms>, releases: Arc<Releases>, incoming: Incoming) {
        let Some(neighbours) = self.pipeline.store.hosts() else { return };
        tokio::spawn(Dispatch::new(Arc::clone(self), rooms).run(incoming, neighbours));
        tokio::spawn(following::run(Arc::clone(self), releases));
    }

    /// Why the bus does not bring what hosts say. None: it does.
    pub(super) fn failure(&self) -> Option<String> {
        (!self.bus.is_echoing()).then(|| {
            format!("the bus has not brought back what this host says for {} s", self.bus.echo_age().as_secs())
        })
    }

    /// Waits until a room is heard: it is claimed for this host, or its home has attached this host to it.
    pub(super) async fn open(&self, room: &Arc<RoomQueue>) -> Result<(), ChatError> {
        let Some(link) = &room.link else { return Ok(()) };
        if link.is_open() {
            return Ok(());
        }
        link.open(room);
        let open = async {
            loop {
                let changed = link.changed();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if link.is_open() {
                    return;
                }
                changed.await;
            }
        };
        timeout(OPENING_MAX, open).await.map_err(|_| ChatError::Store(StoreError::HomeElsewhere))
    }

    /// This host stops: what others ask for is left to the next home of its rooms.
    pub(super) fn begin_to_leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Its rooms have no home any more.
    pub(super) async fn leave(&self) {
        let _ = self.bus.tell_all(&Record::Leaving.encode(&[]));
        self.bus.flush().await;
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    fn send(&self, host: i32, record: &Record, body: &[u8]) -> Result<(), BusError> {
        self.bus.send(host, &record.encode(body))
    }

    /// Sends what must arrive to a host that takes no more at the moment.
    fn send_once_it_takes_more(self: &Arc<Self>, host: i32, record: Record) {
        let hosts = Arc::clone(self);
        tokio::spawn(async move {
            while hosts.is_known(host) && hosts.send(host, &record, &[]).is_err() {
                tokio::time::sleep(FULL_PAUSE).await;
            }
        });
    }

    /// Looks which hosts are alive.
    fn look(&self) {
        self.pipeline.store.look_at_hosts();
    }

    fn set_known(&self, hosts: &BTreeMap<i32, HostRow>) {
        let known = hosts.keys().copied().collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn is_known(&self, host: i32) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&host)
    }

    fn next_attachment(&self) -> u64 {
        self.next_attachment.fetch_add(1, Ordering::Relaxed)
    }

    /// A name for a frame, unlike that of any other frame of any host.
    fn next_origin(&self) -> i64 {
        i64::from(self.no) << ORIGIN_BITS | self.next_origin.fetch_add(1, Ordering::Relaxed)
    }

    fn release_for(&self, room: RoomId) -> Arc<Release> {
        self.handlers.for_room(room)
    }

    fn form(&self) -> HistoryForm {
        self.history.form
    }
}
