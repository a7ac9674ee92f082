//! NATS: one subject for each host, one for all. The only file that names `async_nats`.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, ServerAddr, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::BusError;
use super::config::{BusConfig, check};

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a connection is checked that brings nothing.
const PING: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to connect again.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A connection to NATS.
pub(crate) struct Nats {
    client: Client,
    subjects: String,
    all: Subject,
}

/// What this host is sent.
pub(crate) struct Subscribed {
    own: Subscriber,
    all: Subscriber,
}

/// Something that was said.
pub(crate) enum Said {
    Packet(Bytes),
    ToAll(Bytes),
}

impl Nats {
    pub(crate) async fn connect(config: &BusConfig, chat: &str, no: i32) -> Result<(Self, Subscribed), BusError> {
        check(config)?;
        let client = options(config).await?.connect(servers(&config.url)?).await.map_err(|error| nats(&error))?;
        let subjects = format!("ondol.{}.{chat}", config.cluster);
        let all = Subject::from(format!("{subjects}.all"));
        let own = client.subscribe(format!("{subjects}.h.{no}")).await.map_err(|error| nats(&error))?;
        let subscribed = Subscribed { own, all: client.subscribe(all.clone()).await.map_err(|error| nats(&error))? };
        Ok((Self { client, subjects, all }, subscribed))
    }

    /// Sends a packet to a host. Waits while NATS takes no more.
    pub(crate) async fn send(&self, to: i32, packet: Bytes) {
        let sent = self.client.publish(format!("{}.h.{to}", self.subjects), packet).await;
        if let Err(error) = sent {
            tracing::warn!(to, %error, "a packet to host {to} was not sent: {error}");
        }
    }

    /// Says something to all hosts.
    pub(crate) async fn tell_all(&self, said: Bytes) {
        if let Err(error) = self.client.publish(self.all.clone(), said).await {
            tracing::warn!(%error, "nothing can be said on the bus: {error}");
        }
    }

    pub(crate) async fn flush(&self) {
        let _ = tokio::time::timeout(CONNECT_MAX, self.client.flush()).await;
    }
}

/// Connects, and hears itself. Returns the version of the server.
pub(crate) async fn examine(config: &BusConfig) -> Result<String, BusError> {
    check(config)?;
    let client = options(config).await?.connect(servers(&config.url)?).await.map_err(|error| nats(&error))?;
    let subject = format!("ondol.{}.check.{}", config.cluster, client.new_inbox());
    let mut heard = client.subscribe(subject.clone()).await.map_err(|error| nats(&error))?;
    client.publish(subject, Bytes::new()).await.map_err(|error| nats(&error))?;
    match tokio::time::timeout(CONNECT_MAX, heard.next()).await {
        Ok(Some(_)) => Ok(client.server_info().version),
        _ => Err(BusError::Nats("what this host says does not come back: may it publish and subscribe?".to_owned())),
    }
}

impl Subscribed {
    /// The next packet to this host, or what was said to all. Packets first.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        tokio::select! {
            biased;
            packet = self.own.next() => Some(Said::Packet(packet?.payload)),
            said = self.all.next() => Some(Said::ToAll(said?.payload)),
        }
    }
}

async fn options(config: &BusConfig) -> Result<ConnectOptions, BusError> {
    let options = ConnectOptions::new()
        .name("ondol")
        .connection_timeout(CONNECT_MAX)
        .ping_interval(PING)
        .reconnect_delay_callback(|attempts| {
            let pause = Duration::from_millis(10).saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX));
            pause.min(PAUSE_MAX)
        })
        .event_callback(|event| async move {
            tracing::info!("NATS: {event}");
        });
    let options = match &config.authority {
        Some(path) => options.add_root_certificates(path.clone()),
        None => options,
    };
    match &config.credentials {
        Some(path) => with_credentials(options, path).await,
        None => Ok(options),
    }
}

async fn with_credentials(options: ConnectOptions, path: &Path) -> Result<ConnectOptions, BusError> {
    let wrong = |why: &str| BusError::Config(format!("bus_credentials_file {}: {why}", path.display()));
    let read = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    if read.contains("-----BEGIN") {
        return options.credentials(&read).map_err(|error| wrong(&error.to_string()));
    }
    match read.trim_end_matches(['\r', '\n']).split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(options.user_and_password(user.to_owned(), password.to_owned()))
        }
        _ => Err(wrong("neither a .creds file of NATS nor a line user:password")),
    }
}

fn servers(url: &str) -> Result<Vec<ServerAddr>, BusError> {
    let server = |server: &str| server.parse().map_err(|error| BusError::Config(format!("`bus` {server}: {error}")));
    url.split(',').map(server).collect()
}

/// An error with what led to it.
fn nats(error: &dyn std::error::Error) -> BusError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    BusError::Nats(text)
}
