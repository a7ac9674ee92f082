//! What the public API's requests and WebSockets share: the chat, the limits, the phase of the server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request};
use tokio::sync::watch;
use url::Url;

use super::figures::Counters;
use super::host;
use super::identity::{Asked, Identity, IdentityError};
use super::origin::{Origins, Own};
use super::page;
use super::rates::{Address, Rates};
use crate::chat::Chat;
use crate::config::{Config, Limits, RefusalStyle};

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The server accepts connections and requests.
    Running,
    /// It still does, and says that it will not for long.
    NotReady,
    /// It accepts no connections, and closes those it has one after another.
    Draining,
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
    /// The address of the other end.
    pub peer: IpAddr,
}

/// Everything that a public request needs. One per listener.
pub(super) struct ApiState {
    pub(super) chat: Arc<Chat>,
    pub(super) limits: Limits,
    pub(super) refusal: RefusalStyle,
    pub(super) origins: Origins,
    pub(super) identity: Arc<Identity>,
    pub(super) rates: Arc<Rates>,
    pub(super) counters: Arc<Counters>,
    /// The subprotocols that a client may choose from.
    pub(super) subprotocols: Vec<String>,
    /// Whether the host answers the heartbeats of clients' libraries.
    pub(super) heartbeats: bool,
    /// The content security policy of the page.
    pub(super) page_policy: HeaderValue,
    public_url: Option<Url>,
    local: SocketAddr,
    /// Whether the listener has TLS.
    tls: bool,
    /// Never marked as seen, so `has_changed` is true from the first change on.
    phase: watch::Receiver<Phase>,
}

impl ApiState {
    /// The state of a listener at `local`.
    ///
    /// # Errors
    ///
    /// When a key of the identity cannot be read.
    pub(super) fn new(
        chat: Arc<Chat>,
        config: &Config,
        local: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            chat,
            limits: config.limits.clone(),
            refusal: config.refusal,
            origins: Origins::new(config),
            public_url: config.public_url.clone(),
            identity: Arc::new(Identity::new(config)?),
            rates: Arc::new(Rates::new(&config.limits)),
            counters: Arc::default(),
            subprotocols: config.subprotocols.clone(),
            heartbeats: config.heartbeats,
            page_policy: page::policy(&config.img_src)?,
            local,
            tls: config.tls().is_some(),
            phase,
        })
    }

    /// The state after a reload, for requests and connections from then on. Rates that did not change go on.
    ///
    /// # Errors
    ///
    /// When the page cannot have this policy.
    pub(super) fn reloaded(&self, config: &Config) -> anyhow::Result<Self> {
        let rates = if Rates::are_equal(&self.limits, &config.limits) {
            Arc::clone(&self.rates)
        } else {
            Arc::new(self.rates.renewed(&config.limits))
        };
        Ok(Self {
            chat: Arc::clone(&self.chat),
            limits: config.limits.clone(),
            refusal: config.refusal,
            origins: Origins::new(config),
            public_url: config.public_url.clone(),
            identity: Arc::clone(&self.identity),
            rates,
            counters: Arc::clone(&self.counters),
            subprotocols: config.subprotocols.clone(),
            heartbeats: config.heartbeats,
            page_policy: page::policy(&config.img_src)?,
            local: self.local,
            tls: self.tls,
            phase: self.phase.clone(),
        })
    }

    /// Whether nothing more is read. Costs one atomic load while the server runs.
    pub(super) fn is_ending(&self) -> bool {
        self.phase.has_changed().unwrap_or(true) && self.current_phase() == Phase::Ending
    }

    /// The phase right now.
    pub(super) fn current_phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The phase and its changes.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The address that a request counts for.
    pub(super) fn address(&self, headers: &HeaderMap, peer: IpAddr) -> Option<Address> {
        Address::of(headers, peer, |address| self.identity.trusts(address))
    }

    /// Establishes who calls, `by` one of the functions of [`Identity`].
    ///
    /// # Errors
    ///
    /// Its own, and when too many identities from the same address were rejected.
    pub(super) fn identify<T>(
        &self,
        asked: &Asked<'_>,
        by: impl FnOnce(&Identity, &Asked<'_>) -> Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        let address = self.address(asked.headers, asked.peer);
        self.rates.establish(address, || by(&self.identity, asked))
    }

    /// The server as the client of a request addresses it. A trusted gateway forwards that (`X-Forwarded-Host`,
    /// `X-Forwarded-Proto`). With TLS and without a gateway the scheme is https.
    pub(super) fn own<B>(&self, request: &Request<B>, peer: IpAddr) -> Own {
        if let Some(public) = &self.public_url {
            return Own::Origin(public.clone());
        }
        let forwarded = |name: &str| {
            let mut values = request.headers().get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            (values.next().is_none() && !value.contains(',')).then_some(value.trim())
        };
        let scheme = || forwarded("x-forwarded-proto").filter(|scheme| matches!(*scheme, "http" | "https"));
        if let Some(host) =
            forwarded("x-forwarded-host").filter(|host| self.identity.trusts(peer) && host::is_host(host))
        {
            let origin = scheme().and_then(|scheme| Url::parse(&format!("{scheme}://{host}")).ok());
            return origin.map_or_else(|| Own::Host(host.to_owned()), Own::Origin);
        }
        let named = host::of(request).ok().flatten();
        let host = named.map_or_else(|| self.local.to_string(), str::to_owned);
        let forwarded = scheme().filter(|_| self.identity.trusts(peer));
        let origin = self.tls.then(|| Url::parse(&format!("{}://{host}", forwarded.unwrap_or("https"))).ok()).flatten();
        origin.map_or(Own::Host(host), Own::Origin)
    }
}
