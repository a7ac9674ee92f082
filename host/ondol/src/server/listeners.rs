//! The listeners: opened by the server, or passed to it by its supervisor. Knows addresses, and nothing of connections.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::activation::Sockets;
use super::admin::{AdminListener, token};
use super::metrics::MetricsListener;
use super::tls::TlsConfigs;
use crate::chat::Chat;
use crate::config::{Config, Token};

/// What is open before the first connection is accepted.
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) admin: Option<(AdminListener, Option<Token>)>,
    pub(super) metrics: Option<MetricsListener>,
}

impl Listeners {
    /// Takes the sockets that were passed, and opens the others at the addresses of the configuration.
    ///
    /// # Errors
    ///
    /// When an address is not usable, or the admin API there needs a token.
    pub(super) async fn open(config: &Config, sockets: Sockets, tls: TlsConfigs) -> anyhow::Result<Self> {
        let public = match sockets.public {
            Some(passed) => TcpListener::from_std(passed)?,
            None => bind(config.listen).await?,
        };
        let admin = match &config.admin {
            None => None,
            Some(address) => {
                let listener = match sockets.admin {
                    Some(passed) => AdminListener::passed(passed, tls.admin)?,
                    None => AdminListener::bind(address, tls.admin).await?,
                };
                Some((listener, token(config, address)?))
            }
        };
        let metrics = match (config.metrics, sockets.metrics) {
            (_, Some(passed)) => Some(MetricsListener::passed(passed)?),
            (Some(address), None) => Some(MetricsListener::bind(address).await?),
            (None, None) => None,
        };
        Ok(Self { public, tls: tls.public, admin, metrics })
    }

    /// Prints the startup line, the only one on standard output.
    pub(super) fn announce(&self, config: &Config, chat: &Chat) -> anyhow::Result<()> {
        let [rooms, messages, events] = chat.answering();
        let address = self.public.local_addr()?;
        let place = match &config.store {
            Some(url) => format!("store={url}"),
            None => format!("data={}", config.database_file().display()),
        };
        let admin = self.admin.as_ref().map(|(listener, _)| listener.address()).transpose()?;
        let metrics = self.metrics.as_ref().map(MetricsListener::address).transpose()?;
        let mut out = std::io::stdout().lock();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(
            out,
            "ondol {} listening on {scheme}://{address} {place} rooms={rooms} messages={messages} events={events}",
            env!("CARGO_PKG_VERSION"),
        )?;
        let admin = admin.map(|admin| format!(" admin={admin}")).unwrap_or_default();
        let metrics = metrics.map(|metrics| format!(" metrics=http://{metrics}/metrics")).unwrap_or_default();
        writeln!(out, "{metrics}{admin}")?;
        Ok(out.flush()?)
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}
