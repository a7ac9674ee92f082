//! Hands on what other hosts say, in its order: to the room that it is about, or to the task that serves the host there. Notices
//! hosts that are gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::Hosts;
use super::agreeing;
use super::link::Link;
use super::record::{Asked, Record};
use super::serving::{Event, Serving};
use crate::chat::open_rooms::OpenRooms;
use crate::chat::releases::Releases;
use ondol_host_cluster as bus;
use ondol_host_model::RoomId;
use ondol_host_store::HostRow;

/// The hosts that share the database, by number.
pub(super) type Neighbours = watch::Receiver<Arc<BTreeMap<i32, HostRow>>>;

/// What hands on.
pub(super) struct Dispatch {
    pub(super) hosts: Arc<Hosts>,
    pub(super) rooms: Arc<OpenRooms>,
    releases: Arc<Releases>,
    /// The tasks that serve hosts: by the number of the room and that of the host.
    serving: HashMap<(u64, i32), mpsc::UnboundedSender<Event>>,
}

impl Dispatch {
    pub(super) fn new(hosts: Arc<Hosts>, rooms: Arc<OpenRooms>, releases: Arc<Releases>) -> Self {
        Self { hosts, rooms, releases, serving: HashMap::new() }
    }

    /// Runs for as long as the process.
    pub(super) async fn run(mut self, mut incoming: bus::Incoming, mut neighbours: Neighbours) {
        let mut known = neighbours.borrow_and_update().clone();
        self.hosts.set_known(&known);
        loop {
            tokio::select! {
                event = incoming.next() => self.handle(event),
                changed = neighbours.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = neighbours.borrow_and_update().clone();
                    self.hosts.set_known(&now);
                    for host in known.keys().filter(|host| !now.contains_key(host)) {
                        self.gone(*host);
                    }
                    known = now;
                }
            }
        }
    }

    fn handle(&mut self, event: bus::Event) {
        match event {
            bus::Event::Record { from, record } => match Record::decode(record) {
                Some((record, body)) => self.record(from, record, body),
                None => tracing::error!(from, "host {from} says something that this host does not understand"),
            },
            bus::Event::ToAll { from, record } => {
                if let Some((Record::Leaving, _)) = Record::decode(record) {
                    tracing::info!(from, "host {from} leaves");
                    self.hosts.look();
                }
            }
            bus::Event::Missed { host } => self.missed(host),
            bus::Event::Silent => {
                tracing::warn!(
                    "the bus does not bring back what this host says: other hosts' rooms are read from the database"
                );
                self.hosts.look();
                // Each tries again until its home answers.
                self.repair_where(|_| true);
            }
            bus::Event::Echo => tracing::info!("the bus brings back what this host says"),
            bus::Event::Beat { host, release } => {
                if self.hosts.agreeing.runs(host, release) {
                    self.hosts.tell_canary(host);
                }
                self.hosts.heard_of_release(release);
            }
        }
    }

    fn record(&mut self, from: i32, record: Record, body: Bytes) {
        match record {
            Record::FromHome(at, news) => {
                if let Some(room) = self.rooms.get(RoomId(at.room))
                    && let Some(link) = &room.link
                    && link.hear(&room, from, at.attachment, news, body)
                {
                    link.repair(&room);
                }
            }
            Record::ToHome(at, asked) => self.serve(from, at.room, Event::Asked(at.attachment, asked, body)),
            Record::Resync => {
                self.repair_all_at(from);
                self.hosts.tell_canary(from);
            }
            Record::Releases(news) => agreeing::hear(&self.hosts, &self.releases, from, news),
            Record::Drain => {
                tracing::info!(from, "host {from} was asked to have this host drained");
                self.hosts.ask_to_drain();
            }
            Record::Leaving => {}
        }
    }

    /// Hands it to the task that serves the host in the room. A new one begins when a host attaches itself.
    fn serve(&mut self, host: i32, room: u64, event: Event) {
        let event = match self.serving.get(&(room, host)) {
            Some(serving) => match serving.send(event) {
                Ok(()) => return,
                Err(mpsc::error::SendError(event)) => event,
            },
            None => event,
        };
        self.serving.remove(&(room, host));
        if matches!(event, Event::Asked(_, Asked::Attach { .. }, _)) {
            let (serving, events) = mpsc::unbounded_channel();
            let _ = serving.send(event);
            self.serving.insert((room, host), serving);
            let who = [u64::try_from(host).unwrap_or_default(), room];
            tokio::spawn(Serving::run(Arc::clone(&self.rooms), Arc::clone(&self.hosts), who, events));
        }
    }

    /// Some of what a host said is lost. It has to attach again to rooms of this host, and this one to its rooms.
    fn missed(&mut self, host: i32) {
        tracing::debug!(host, "something that host {host} said is lost");
        self.tell_serving(host, || Event::Missed);
        if self.hosts.send(host, &Record::Resync, &[]).is_err() {
            self.hosts.send_later(host, Record::Resync);
        }
        self.hosts.tell_canary(host);
        self.repair_all_at(host);
    }

    fn gone(&mut self, host: i32) {
        tracing::info!(host, "host {host} is gone");
        self.hosts.bus.forget(host);
        self.hosts.agreeing.forget(host);
        // It may have recorded a release without saying so.
        self.hosts.look_at_releases();
        self.tell_serving(host, || Event::Gone);
        self.serving.retain(|(_, of), _| *of != host);
        self.repair_all_at(host);
        self.rooms.all().iter().filter_map(|room| room.link.as_ref()).for_each(Link::hurry);
    }

    fn tell_serving(&self, host: i32, event: impl Fn() -> Event) {
        for ((_, of), serving) in &self.serving {
            if *of == host {
                let _ = serving.send(event());
            }
        }
    }

    fn repair_all_at(&self, home: i32) {
        self.repair_where(|of| of == home);
    }

    fn repair_where(&self, is_lost: impl Fn(i32) -> bool) {
        for room in self.rooms.all() {
            if let Some(link) = &room.link
                && link.lose_home(&is_lost)
            {
                link.repair(&room);
            }
        }
    }
}
