//! The bus between hosts: each host sends each other one a stream of records through NATS, in numbered packets. NATS promises
//! nothing, so the receiver hears what it missed, at the latest with the sender's next beat. Knows nothing of what a record says.

mod beat;
mod config;
mod figures;
mod incoming;
mod links;
mod nats;
mod packet;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use config::{BusConfig, BusLimits, check};
pub use figures::BusFigures;
pub use incoming::Incoming;
pub use packet::PROTO;

use figures::Counts;
use links::Links;
use nats::Nats;

/// What comes over the bus.
#[derive(Debug)]
pub enum Event {
    /// What a host tells this one, in its order.
    Record {
        /// The host.
        from: i32,
        /// What it says.
        record: Bytes,
    },
    /// What a host tells all others, in no order.
    ToAll {
        /// The host.
        from: i32,
        /// What it says.
        record: Bytes,
    },
    /// Something that a host told this one is lost.
    Missed {
        /// The host.
        host: i32,
    },
    /// A host shows that it lives.
    Beat {
        /// The host.
        host: i32,
        /// The release that it runs.
        release: i64,
    },
    /// This host's beats come back again.
    Echo,
    /// This host's beats do not come back any more.
    Silent,
}

/// Why the bus does not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// NATS cannot be reached, or refuses this host.
    #[error("NATS: {0}")]
    Nats(String),
    /// As much waits for a host as may.
    #[error("{0} bytes wait for host {1} already")]
    Full(usize, i32),
}

/// The bus, to one host.
#[derive(Clone)]
pub struct Cluster(Arc<Bus>);

struct Bus {
    no: i32,
    limits: BusLimits,
    nats: Nats,
    links: Links,
    counts: Counts,
    pulse: Mutex<Pulse>,
}

/// When beats were heard.
struct Pulse {
    echo: Instant,
    beats: BTreeMap<i32, Instant>,
    release: i64,
}

/// Connects to the bus, says something and hears it. Returns the version of NATS.
///
/// # Errors
///
/// As [`Cluster::join`].
pub async fn examine(config: &BusConfig) -> Result<String, BusError> {
    nats::examine(config).await
}

impl Cluster {
    /// Connects, and waits until this host hears itself. `chat` is the name of the chat in its database: chats that share
    /// NATS servers do not hear each other, even if their clusters are called alike.
    ///
    /// # Errors
    ///
    /// When NATS cannot be reached, refuses the credentials, or does not bring a beat back.
    pub async fn join(config: &BusConfig, chat: &str, no: i32) -> Result<(Self, Incoming), BusError> {
        let (nats, subscribed) = Nats::connect(config, chat, no).await?;
        let pulse = Mutex::new(Pulse { echo: Instant::now(), beats: BTreeMap::new(), release: 0 });
        let (links, counts) = (Links::new(config.limits.link_bytes_max), Counts::default());
        let bus = Arc::new(Bus { no, limits: config.limits, nats, links, counts, pulse });
        let incoming = incoming::receive(&bus, subscribed).await?;
        tokio::spawn(links::publish(Arc::downgrade(&bus)));
        Ok((Self(bus), incoming))
    }

    /// Tells a host something, after what it was told before. Does not wait.
    ///
    /// # Errors
    ///
    /// [`BusError::Full`].
    pub fn send(&self, to: i32, record: &[u8]) -> Result<(), BusError> {
        let waits = self.0.links.push(to, record).map_err(|waiting| BusError::Full(waiting, to))?;
        self.0.counts.records_sent.add(1);
        if waits {
            self.0.links.wake();
        }
        Ok(())
    }

    /// Tells all other hosts something. It may be lost, and then none of them knows.
    ///
    /// # Errors
    ///
    /// None today: it waits with what is on its way.
    pub fn tell_all(&self, record: &[u8]) -> Result<(), BusError> {
        self.0.links.push_to_all(record);
        self.0.links.wake();
        Ok(())
    }

    /// Sets the release that beats tell of.
    pub fn set_release(&self, release: i64) {
        self.0.pulse().release = release;
    }

    /// The release that beats tell of.
    #[must_use]
    pub fn release(&self) -> i64 {
        self.0.pulse().release
    }

    /// A host is gone: what waits for it is dropped, and what still comes of it.
    pub fn forget(&self, host: i32) {
        self.0.links.forget(host);
        self.0.pulse().beats.remove(&host);
    }

    /// Whether this host's beats come back.
    #[must_use]
    pub fn is_echoing(&self) -> bool {
        self.echo_age() < Duration::from_millis(self.0.limits.echo_ms_max)
    }

    /// How long ago the last beat came back.
    #[must_use]
    pub fn echo_age(&self) -> Duration {
        self.0.pulse().echo.elapsed()
    }

    /// How long ago a host was heard.
    #[must_use]
    pub fn beat_age(&self, host: i32) -> Option<Duration> {
        self.0.pulse().beats.get(&host).map(Instant::elapsed)
    }

    /// What the bus counts.
    #[must_use]
    pub fn figures(&self) -> BusFigures {
        self.0.counts.figures()
    }

    /// Waits until NATS has all that was said.
    pub async fn flush(&self) {
        self.0.links.emptied().await;
        self.0.nats.flush().await;
    }
}

impl Bus {
    fn pulse(&self) -> std::sync::MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
