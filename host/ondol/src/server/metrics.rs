//! The listener of metrics alone, and where metrics come from. Bounded and timed as the listener of the admin API.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::connection::{ACCEPT_PAUSE, http, serve_connection};
use super::log::Log;
use super::open_connections::OpenConnections;
use crate::chat::Chat;
use crate::config::Limits;
use crate::http::{MetricsApi, Phase, PublicApi, TimedStream, Timeouts, WriteMetrics};
use crate::metrics::{self, Measured};

/// The name of a connection in the log.
const NAME: &str = "a metrics connection";

/// What metrics are read from.
pub(super) struct Sources {
    pub(super) chat: Arc<Chat>,
    pub(super) api: Arc<PublicApi>,
    pub(super) open: Arc<OpenConnections>,
    pub(super) log: Log,
}

impl Sources {
    /// Writes them, at each call anew.
    pub(super) fn write(self) -> WriteMetrics {
        Arc::new(move |open_metrics| metrics::text(self.measure(), open_metrics).unwrap_or_default())
    }

    fn measure(&self) -> Measured {
        Measured {
            chat: self.chat.figures(),
            listener: self.api.figures(),
            connections: self.open.figures(),
            log_dropped: self.log.dropped(),
            is_stopping: *self.api.phase().borrow() > Phase::Running,
        }
    }
}

/// An open listener.
pub(super) struct MetricsListener(TcpListener);

impl MetricsListener {
    /// Opens the listener.
    pub(super) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await;
        Ok(Self(listener.with_context(|| format!("metrics: cannot listen on {address}"))?))
    }

    /// Takes a socket that a supervisor has opened.
    pub(super) fn passed(socket: std::net::TcpListener) -> io::Result<Self> {
        TcpListener::from_std(socket).map(Self)
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts connections forever. One over the limit waits until another ends.
    pub(super) async fn serve(&self, write: &WriteMetrics, phase: watch::Receiver<Phase>, limits: &ArcSwap<Limits>) {
        let api = Arc::new(MetricsApi::new(Arc::clone(write), phase));
        let permits = Arc::new(Semaphore::new(limits.load().admin_connections_max));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let tcp = match self.0.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (api, limits) = (Arc::clone(&api), limits.load());
            let (http, timeouts) = (http(&limits), Timeouts::of(&limits));
            tokio::spawn(async move {
                let answer = |request| Arc::clone(&api).answer(request);
                serve_connection(&http, TimedStream::new(tcp, timeouts), api.phase(), answer, NAME).await;
                drop(permit);
            });
        }
    }
}
