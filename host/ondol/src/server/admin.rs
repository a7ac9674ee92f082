//! The listener of the admin API: a TCP port or a Unix socket. Knows connections, and nothing of the requests on them.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::activation::AdminSocket;
use super::connection::{ACCEPT_PAUSE, http, serve_connection};
use super::tls::{self, Opened};
use crate::config::{AdminAddress, Config, Limits, Token};
use crate::http::{AdminApi, Caller, TimedStream, Timeouts, tls_required};

/// The name of a connection in the log.
const NAME: &str = "an admin connection";

/// An open listener.
pub(super) enum AdminListener {
    Tcp(TcpListener, Option<Arc<ServerConfig>>),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket. Removed on drop, if it is this process's own.
pub(super) struct SocketFile {
    path: PathBuf,
    is_own: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_own {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AdminListener {
    /// Opens the listener, with TLS if there are settings for it.
    pub(super) async fn bind(address: &AdminAddress, tls: Option<Arc<ServerConfig>>) -> anyhow::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                Ok(Self::Tcp(listener.with_context(|| format!("admin API: cannot listen on {address}"))?, tls))
            }
            AdminAddress::Http { host, port } | AdminAddress::Https { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port)).await;
                Ok(Self::Tcp(listener.with_context(|| format!("admin API: cannot listen on {address}"))?, tls))
            }
            AdminAddress::Unix(path) => {
                let listener = bind_socket(path).await;
                let listener = listener.with_context(|| format!("admin API: cannot listen on {}", path.display()))?;
                Ok(Self::Unix(listener, SocketFile { path: path.clone(), is_own: true }))
            }
        }
    }

    /// Takes a socket that a supervisor has opened.
    pub(super) fn passed(socket: AdminSocket, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(match socket {
            AdminSocket::Tcp(tcp) => Self::Tcp(TcpListener::from_std(tcp)?, tls),
            AdminSocket::Unix(unix, path) => {
                Self::Unix(UnixListener::from_std(unix)?, SocketFile { path, is_own: false })
            }
        })
    }

    /// The address, in the form of `--admin`.
    pub(super) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener, None) => Ok(AdminAddress::Tcp(listener.local_addr()?)),
            Self::Tcp(listener, Some(_)) => Ok(AdminAddress::https(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.path.clone())),
        }
    }

    /// Accepts connections forever. One over the limit waits until another ends.
    pub(super) async fn serve(&self, api: &Arc<AdminApi>, limits: &ArcSwap<Limits>) {
        let permits = Arc::new(Semaphore::new(limits.load().admin_connections_max));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = match self {
                Self::Tcp(listener, tls) => {
                    listener.accept().await.map(|(tcp, _)| Connection::Tcp(tcp, tls.as_ref().map(Arc::clone)))
                }
                Self::Unix(listener, _) => listener.accept().await.map(|(unix, _)| Connection::Unix(unix)),
            };
            let connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an admin connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let admin = Admin::new(api, &limits.load());
            tokio::spawn(async move {
                admin.serve(connection).await;
                drop(permit);
            });
        }
    }
}

enum Connection {
    Tcp(TcpStream, Option<Arc<ServerConfig>>),
    Unix(UnixStream),
}

/// What a connection has of the listener, with the limits in force as it begins.
struct Admin {
    api: Arc<AdminApi>,
    http: http1::Builder,
    timeouts: Timeouts,
    handshake_ms_max: u64,
}

impl Admin {
    fn new(api: &Arc<AdminApi>, limits: &Limits) -> Self {
        let (http, timeouts) = (http(limits), Timeouts::of(limits));
        Self { api: Arc::clone(api), http, timeouts, handshake_ms_max: limits.header_ms_max }
    }

    async fn serve(&self, connection: Connection) {
        match connection {
            Connection::Tcp(tcp, None) => self.serve_http(tcp, Caller::Network).await,
            Connection::Tcp(tcp, Some(tls)) => self.serve_tls(tcp, &tls).await,
            Connection::Unix(unix) => match unix.peer_cred() {
                Ok(peer) => self.serve_http(unix, Caller::User(peer.uid())).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the peer credentials of an admin connection: {error}");
                }
            },
        }
    }

    async fn serve_tls(&self, tcp: TcpStream, tls: &Arc<ServerConfig>) {
        match tls::open(tcp, tls, self.handshake_ms_max, self.api.phase(), NAME).await {
            Some(Opened::Http1(stream) | Opened::Http2(stream)) => self.serve_http(stream, Caller::Network).await,
            Some(Opened::Plain(tcp)) => {
                let answer = |_| std::future::ready(Ok(tls_required()));
                let stream = TimedStream::new(tcp, self.timeouts);
                serve_connection(&self.http, stream, self.api.phase(), answer, NAME).await;
            }
            None => {}
        }
    }

    async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, caller: Caller) {
        let answer = |request| Arc::clone(&self.api).answer(request, caller);
        let stream = TimedStream::new(stream, self.timeouts);
        serve_connection(&self.http, stream, self.api.phase(), answer, NAME).await;
    }
}

/// Binds a Unix socket, which the process's umask keeps to this user. Removes a stale socket first.
async fn bind_socket(path: &Path) -> anyhow::Result<UnixListener> {
    if let Ok(file) = std::fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            bail!("the path exists and is not a socket");
        }
        if UnixStream::connect(path).await.is_ok() {
            bail!("another process is listening on it");
        }
        std::fs::remove_file(path)?;
    }
    Ok(UnixListener::bind(path)?)
}

/// The token that admin requests need, if any.
///
/// # Errors
///
/// When the token file cannot be read, or when a listener beyond this machine has no token.
pub(crate) fn token(config: &Config, address: &AdminAddress) -> anyhow::Result<Option<Token>> {
    let token = read_token(config)?;
    if matches!(address, AdminAddress::Https { .. }) && config.admin_tls().is_none() {
        bail!("the admin API on {address} needs admin_tls_certificate and admin_tls_key");
    }
    if token.is_none() && !address.is_local() {
        bail!("the admin API on {address} is reachable from other machines and has no token: set admin_token_file");
    }
    Ok(token)
}

/// The token from the config: from the file if there is one, otherwise from `admin_token`.
pub(crate) fn read_token(config: &Config) -> anyhow::Result<Option<Token>> {
    let Some(path) = &config.admin_token_file else { return Ok(config.admin_token.clone()) };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read admin_token_file {}", path.display()))?;
    let token = Token::new(&text).with_context(|| format!("admin_token_file {} is empty", path.display()))?;
    Ok(Some(token))
}
