//! What the public API's requests and WebSockets share: the chat, the limits, the phase of the server.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, header};
use tokio::sync::watch;

use crate::chat::Chat;
use crate::config::{Config, Limits, RefusalStyle};

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The server accepts connections and requests.
    Running,
    /// Nothing more is read from clients. What was accepted is finished, then connections are closed.
    Ending,
}

/// What belongs to a connection for as long as it is open, over HTTP and as a WebSocket.
#[derive(Clone)]
pub struct ConnContext {
    /// Counts the connection until dropped.
    pub slot: Arc<dyn std::any::Any + Send + Sync>,
    /// The limit, when this connection is over it: every request is refused.
    pub refused_at: Option<usize>,
}

/// Everything that a public request needs. One per listener.
pub(super) struct ApiState {
    pub(super) chat: Arc<Chat>,
    pub(super) limits: Limits,
    pub(super) refusal: RefusalStyle,
    pub(super) origins: Vec<String>,
    local: SocketAddr,
    /// Never marked as seen, so `has_changed` is true from the moment the shutdown begins.
    phase: watch::Receiver<Phase>,
}

impl ApiState {
    /// The state of a listener at `local`.
    pub(super) fn new(chat: Arc<Chat>, config: &Config, local: SocketAddr, phase: watch::Receiver<Phase>) -> Self {
        Self {
            chat,
            limits: config.limits.clone(),
            refusal: config.refusal,
            origins: config.origins.clone(),
            local,
            phase,
        }
    }

    /// Whether a shutdown has begun. Costs one atomic load.
    pub(super) fn is_ending(&self) -> bool {
        self.phase.has_changed().unwrap_or(true)
    }

    /// The phase right now.
    pub(super) fn current_phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase and its changes.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The host that the client addressed, for the URLs in a response.
    pub(super) fn host_of(&self, request: &Request<Incoming>) -> String {
        let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        header.map_or_else(|| self.local.to_string(), str::to_owned)
    }
}
