//! The opening of a connection with TLS: the handshake, within its time, and which protocol follows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Config;
use crate::http::Phase;
use crate::tls::{HTTP_1, HTTP_2};

/// The first byte of a TLS connection: the type of a record that holds a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// The settings of TLS of both listeners.
pub(super) struct TlsConfigs {
    pub(super) public: Option<Arc<ServerConfig>>,
    pub(super) admin: Option<Arc<ServerConfig>>,
}

impl TlsConfigs {
    /// Reads the certificates.
    ///
    /// # Errors
    ///
    /// When one cannot be used.
    pub(super) fn read(config: &Config) -> anyhow::Result<Self> {
        let server = |name, files: Option<_>, protocols| {
            files.map(|files| crate::tls::server(name, files, protocols)).transpose()
        };
        Ok(Self {
            public: server("tls: the certificate and key", config.tls(), &[HTTP_2, HTTP_1])?,
            admin: server("admin_tls: the certificate and key", config.admin_tls(), &[HTTP_1])?,
        })
    }
}

/// What a client has opened.
pub(super) enum Opened {
    /// HTTP/1.1 over TLS.
    Http1(Box<TlsStream<TcpStream>>),
    /// HTTP/2 over TLS.
    Http2(Box<TlsStream<TcpStream>>),
    /// Something else than TLS, such as plain HTTP.
    Plain(TcpStream),
}

/// Shakes hands. None: the client did not, within `ms_max`, or a shutdown has begun.
pub(super) async fn open(
    tcp: TcpStream,
    config: &Arc<ServerConfig>,
    ms_max: u64,
    mut phase: watch::Receiver<Phase>,
    name: &str,
) -> Option<Opened> {
    let handshake = tokio::time::timeout(Duration::from_millis(ms_max), shake_hands(tcp, config));
    let opened = tokio::select! {
        opened = handshake => opened,
        _ = phase.wait_for(|phase| *phase > Phase::NotReady) => return None,
    };
    match opened {
        Ok(Ok(opened)) => Some(opened),
        Ok(Err(error)) => {
            tracing::debug!(%error, "{name}: the TLS handshake failed: {error}");
            None
        }
        Err(_) => {
            tracing::debug!("{name}: no TLS handshake within header_ms_max = {ms_max} ms");
            None
        }
    }
}

async fn shake_hands(tcp: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Opened> {
    let mut first = [0];
    if tcp.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
        return Ok(Opened::Plain(tcp));
    }
    let tls = Box::new(TlsAcceptor::from(Arc::clone(config)).accept(tcp).await?);
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(HTTP_2);
    Ok(if is_http2 { Opened::Http2(tls) } else { Opened::Http1(tls) })
}
