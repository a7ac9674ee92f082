//! Several hosts, one chat. Each room has one home, the host that numbers its messages and writes its events; the database
//! says which. Other hosts that have members of it attach themselves there: they send it their clients' frames as they are, and
//! write what comes back to their sockets.
//!
//! The database is what is safe: a host that is wrong about its role stores nothing. The bus between the hosts is for speed:
//! whatever it loses is read from the database.

mod agreeing;
mod attaching;
mod canaries;
mod dispatch;
mod early;
mod figures;
mod following;
mod idle;
mod link;
mod operating;
mod peer;
mod presence;
mod record;
mod release_record;
mod repairing;
mod reporting;
mod serving;
mod state;
mod suspecting;
mod unsettled;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::timeout;

pub use figures::ClusterFigures;
pub(super) use link::Link;
pub use operating::{ClusterError, ClusterStatus, DrainBegun, HostStatus, RoomHome};
pub(super) use peer::RemoteReply;
pub(super) use release_record::Proposal;
pub(super) use unsettled::DeletionAnswer;

use super::ChatError;
use super::connection_quota::ConnectionQuota;
use super::history::History;
use super::open_rooms::OpenRooms;
use super::releases::Releases;
use super::reply::SayError;
use super::room_queue::{ChatPipeline, RoomQueue};
use crate::config::{Config, HistoryForm};
use agreeing::Agreeing;
use canaries::Canaries;
use dispatch::Dispatch;
use figures::AttachedHosts;
use idle::Homes;
use ondol_host_cluster::{BusError, Cluster, Incoming};
use ondol_host_handlers::{Handlers, Release};
use ondol_host_model::RoomId;
use ondol_host_store::HostRow;
use record::Record;
use release_record::ReleaseNews;

/// The bits of the name of a frame below the number of its host.
const ORIGIN_BITS: u32 = 40;

/// How long a host that takes no more is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// The other hosts, to this one.
pub(super) struct Hosts {
    pub(super) no: i32,
    /// The name that all of them have in common.
    cluster: String,
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
    /// The rooms whose home this host is.
    homes: Homes,
    /// The database may have a release that no host tells of.
    must_look: AtomicBool,
    agreeing: Agreeing,
    canaries: Mutex<Canaries>,
    /// The hosts that are attached to rooms of this one.
    attached: AttachedHosts,
    is_asked_to_drain: watch::Sender<bool>,
}

/// The bus, before anything is said on it.
pub(super) struct Joined {
    bus: Cluster,
    incoming: Incoming,
    no: i32,
    name: String,
    cluster: String,
}

/// Joins the bus, if there is one, as a host of the chat in this store.
///
/// # Errors
///
/// When it cannot be reached.
pub(super) async fn join(config: &Config, pipeline: &ChatPipeline) -> anyhow::Result<Option<Joined>> {
    let store = &pipeline.store;
    let (Some(bus), Some(chat), Some(no)) = (config.bus(), store.chat_id(), store.host_no()) else { return Ok(None) };
    let (joined, incoming) = Cluster::join(&bus, chat, no).await.with_context(|| format!("the bus {}", bus.url))?;
    Ok(Some(Joined { bus: joined, incoming, no, name: config.host_name(), cluster: bus.cluster }))
}

impl Hosts {
    pub(super) fn new(
        Joined { bus, incoming, no, name, cluster }: Joined,
        handlers: &Arc<Handlers>,
        history: &Arc<History>,
        pipeline: &Arc<ChatPipeline>,
    ) -> (Arc<Self>, Incoming) {
        handlers.set_host(name);
        let hosts = Self {
            no,
            cluster,
            bus,
            handlers: Arc::clone(handlers),
            history: Arc::clone(history),
            pipeline: Arc::clone(pipeline),
            next_attachment: AtomicU64::new(1),
            next_origin: AtomicI64::new(1),
            known: RwLock::default(),
            is_leaving: AtomicBool::new(false),
            latest_release: watch::Sender::new(0),
            homes: Homes::default(),
            must_look: AtomicBool::new(false),
            agreeing: Agreeing::new(pipeline.limits.deploy_agree_ms),
            canaries: Mutex::new(Canaries::new(no)),
            attached: AttachedHosts::default(),
            is_asked_to_drain: watch::Sender::new(false),
        };
        (Arc::new(hosts), incoming)
    }

    /// Begins to listen, to say what this host has, to follow the releases of other hosts, and to give up rooms that are not used.
    pub(super) fn start(
        self: &Arc<Self>,
        rooms: Arc<OpenRooms>,
        releases: Arc<Releases>,
        connections: Arc<ConnectionQuota>,
        incoming: Incoming,
    ) {
        let Some(neighbours) = self.pipeline.store.hosts() else { return };
        releases.set_hosts(self);
        tokio::spawn(suspecting::run(Arc::clone(self)));
        tokio::spawn(idle::run(Arc::clone(self), Arc::clone(&rooms)));
        tokio::spawn(waiting::run(Arc::clone(self), Arc::clone(&rooms)));
        tokio::spawn(reporting::run(Arc::clone(self), connections));
        tokio::spawn(Dispatch::new(Arc::clone(self), rooms, Arc::clone(&releases)).run(incoming, neighbours));
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
        let wait_max = Duration::from_millis(self.pipeline.limits.bus_wait_ms);
        let unreachable = |_| ChatError::Say { error: SayError::Unreachable, client_id: None };
        timeout(wait_max, open).await.map_err(unreachable)
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

    /// Has this host stop, as at SIGTERM.
    fn ask_to_drain(&self) {
        self.is_asked_to_drain.send_replace(true);
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    fn send(&self, host: i32, record: &Record, body: &[u8]) -> Result<(), BusError> {
        self.bus.send(host, &record.encode(body))
    }

    /// Sends it as soon as the host takes more, for as long as that is alive.
    fn send_later(self: &Arc<Self>, host: i32, record: Record) {
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

    /// A release is active on another host.
    fn heard_of_release(&self, release: i64) {
        self.latest_release.send_if_modified(|latest| std::mem::replace(latest, release.max(*latest)) < release);
    }

    /// Has the database looked at for a release, at once.
    fn look_at_releases(&self) {
        self.must_look.store(true, Ordering::Release);
        self.follow_now();
    }

    /// Has what is heard of releases and canaries followed at once, and not only when it is noticed.
    fn follow_now(&self) {
        self.latest_release.send_modify(|_| ());
    }

    fn canaries(&self) -> MutexGuard<'_, Canaries> {
        self.canaries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a host of the canary: it may have missed that.
    fn tell_canary(&self, host: i32) {
        let latest = self.canaries().latest().cloned();
        if let Some(canary) = latest {
            let _ = self.send(host, &Record::Releases(ReleaseNews::Canary(canary)), &[]);
        }
    }

    fn set_known(&self, hosts: &BTreeMap<i32, HostRow>) {
        let known = hosts.keys().copied().collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// The hosts that are alive, as far as this one has seen.
    fn known(&self) -> BTreeSet<i32> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
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
