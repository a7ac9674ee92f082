//! What an operator asks of the hosts together: what each of them says of itself, which is the home of a room, and that one of
//! them drains.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::Hosts;
use super::dispatch::Neighbours;
use super::record::Record;
use crate::chat::{Chat, ChatError};
use ondol_host_model::RoomId;
use ondol_host_store::{HostRow, HostState, StoreError};

/// How long a host may take to begin its drain.
const DRAIN_BEGINS_MAX: Duration = Duration::from_secs(5);

/// How long to wait before it is asked again: the bus may have lost it.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why an operator gets no answer about the hosts.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There are no others.
    #[error("this server is the only host of its chat: `bus` is not set")]
    Alone,
    /// There is no such room.
    #[error("there is no room {0}")]
    NoRoom(RoomId),
    /// There is no such host.
    #[error("there is no host {name}: the hosts are {}", .known.join(", "))]
    NoHost {
        /// The name that was given.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The host does not do as it is asked.
    #[error(
        "the host {0} was asked and has not begun to drain within {1} s: ask it by its own admin API, or send SIGTERM"
    )]
    Silent(String, u64),
    /// The database does not answer.
    #[error(transparent)]
    Chat(ChatError),
}

/// The hosts of the chat, as one of them sees them.
#[derive(Debug, Serialize)]
pub struct ClusterStatus {
    /// The name that they have in common.
    pub cluster: String,
    /// The host that answers.
    pub host: String,
    /// Its number.
    pub no: i32,
    /// Why it cannot store anything. None: it can.
    pub database_fault: Option<String>,
    /// Whether its beats come back over the bus.
    pub echo: bool,
    /// How long ago the last one did.
    pub echo_age_ms: u64,
    /// How often packets of other hosts were missed since its start.
    pub missed: u64,
    /// How often a room was caught up since its start, because something of it was lost.
    pub repairs: u64,
    /// The frames of its clients of which is not known yet what became of them at other hosts.
    pub unsettled: usize,
    /// All hosts that use the database.
    pub hosts: Vec<HostStatus>,
}

/// A host, by its row in the database, and as the host that answers hears it.
#[derive(Debug, Serialize)]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its number. Each start has its own.
    pub no: i32,
    /// `joining`, `live` or `draining`.
    pub state: &'static str,
    /// How long ago the database saw it beat.
    pub beat_age_ms: u64,
    /// How long ago it was heard over the bus. None: it never was.
    pub heard_age_ms: Option<u64>,
    /// The version of its server.
    pub version: String,
    /// The version of what it says to other hosts.
    pub proto: i32,
    /// Its active release. None: it has not said so yet.
    pub release: Option<i64>,
    /// The rooms whose home it is.
    pub rooms: Option<u32>,
    /// Its WebSockets.
    pub connections: Option<u32>,
    /// To how many rooms of the host that answers it is attached.
    pub attached: usize,
}

/// The home of a room.
#[derive(Debug, Serialize)]
pub struct RoomHome {
    /// The room.
    pub room: u64,
    /// The number of the host that is its home. None: no host is.
    pub no: Option<i32>,
    /// Its name.
    pub host: Option<String>,
}

/// A host that has begun to drain.
#[derive(Debug, Serialize)]
pub struct DrainBegun {
    /// Its name.
    pub host: String,
    /// Its number.
    pub no: i32,
    /// What it does from now on.
    pub detail: String,
}

impl Chat {
    /// The hosts of the chat. Looks at each room that is open.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Alone`].
    pub fn cluster(&self) -> Result<ClusterStatus, ClusterError> {
        let (hosts, neighbours) = self.several()?;
        let rows = neighbours.borrow().clone();
        let figures = hosts.figures(&self.rooms);
        Ok(ClusterStatus {
            cluster: hosts.cluster.clone(),
            host: rows.get(&hosts.no).map(|row| row.name.clone()).unwrap_or_default(),
            no: hosts.no,
            database_fault: self.pipeline.store.failure(),
            echo: hosts.bus.is_echoing(),
            echo_age_ms: ms(figures.echo_age),
            missed: figures.missed,
            repairs: figures.repairs,
            unsettled: figures.unsettled,
            hosts: rows.values().map(|row| hosts.status_of(row)).collect(),
        })
    }

    /// The home of a room. Claims nothing.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Alone`], [`ClusterError::NoRoom`], or the store's.
    pub async fn home_of(&self, room: RoomId) -> Result<RoomHome, ClusterError> {
        self.several()?;
        let home = self.pipeline.store.home_of(room).await;
        let home = home.map_err(|error| match error {
            StoreError::NoRoom => ClusterError::NoRoom(room),
            error => ClusterError::Chat(error.into()),
        })?;
        let (no, host) = home.unzip();
        Ok(RoomHome { room: room.0, no, host })
    }

    /// Has the host of this name stop, as at SIGTERM. Returns once it has begun to.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Alone`], [`ClusterError::NoHost`] or [`ClusterError::Silent`].
    pub async fn drain_host(&self, name: &str) -> Result<DrainBegun, ClusterError> {
        let (hosts, mut neighbours) = self.several()?;
        let rows = neighbours.borrow().clone();
        let Some(row) = rows.values().find(|row| row.name == name) else {
            let mut known: Vec<String> = rows.values().map(|row| row.name.clone()).collect();
            known.sort();
            return Err(ClusterError::NoHost { name: name.to_owned(), known });
        };
        if row.no == hosts.no {
            hosts.ask_to_drain();
        } else {
            hosts.ask_other_to_drain(row, &mut neighbours).await?;
        }
        let detail = "it is not ready any more; then it closes its sockets with 1001 and the time after which to come back, \
                      gives up its rooms, and its process ends";
        Ok(DrainBegun { host: name.to_owned(), no: row.no, detail: detail.to_owned() })
    }

    /// Waits until an operator asks for the end of this host.
    pub async fn asked_to_drain(&self) {
        let Some(hosts) = &self.hosts else { return std::future::pending().await };
        if hosts.is_asked_to_drain.subscribe().wait_for(|is_asked| *is_asked).await.is_err() {
            std::future::pending().await
        }
    }

    /// Tells the other hosts that this one is about to leave. Does not wait for that.
    pub fn announce_drain(&self) {
        let pipeline = Arc::clone(&self.pipeline);
        tokio::spawn(async move {
            if let Err(error) = pipeline.store.drain().await {
                tracing::debug!(%error, "the database was not told that this host drains: {error}");
            }
        });
    }

    fn several(&self) -> Result<(&Hosts, Neighbours), ClusterError> {
        let hosts = self.hosts.as_deref().ok_or(ClusterError::Alone)?;
        Ok((hosts, self.pipeline.store.hosts().ok_or(ClusterError::Alone)?))
    }
}

impl Hosts {
    fn status_of(&self, row: &HostRow) -> HostStatus {
        let heard = if row.no == self.no { Some(self.bus.echo_age()) } else { self.bus.beat_age(row.no) };
        HostStatus {
            name: row.name.clone(),
            no: row.no,
            state: match row.state {
                HostState::Joining => "joining",
                HostState::Live => "live",
                HostState::Draining => "draining",
            },
            beat_age_ms: ms(row.beat_age),
            heard_age_ms: heard.map(ms),
            version: row.version.clone(),
            proto: row.proto,
            release: Some(row.release).filter(|release| *release > 0),
            rooms: row.rooms,
            connections: row.connections,
            attached: self.attached.of(row.no),
        }
    }

    /// Asks until the database shows that it drains, or that it is gone.
    async fn ask_other_to_drain(&self, row: &HostRow, neighbours: &mut Neighbours) -> Result<(), ClusterError> {
        let no = row.no;
        let asking = async {
            loop {
                if let Err(error) = self.send(no, &Record::Drain, &[]) {
                    tracing::debug!(no, %error, "host {no} is not asked to drain: {error}");
                }
                let is_draining = |rows: &Arc<BTreeMap<i32, HostRow>>| {
                    rows.get(&no).is_none_or(|row| row.state == HostState::Draining)
                };
                let has_begun = timeout(ASK_AGAIN, neighbours.wait_for(is_draining)).await.is_ok();
                if has_begun {
                    return;
                }
            }
        };
        let begun = timeout(DRAIN_BEGINS_MAX, asking).await;
        begun.map_err(|_| ClusterError::Silent(row.name.clone(), DRAIN_BEGINS_MAX.as_secs()))
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
