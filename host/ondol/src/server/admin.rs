//! The listener of the admin API: a TCP port or a Unix socket. Knows connections, and nothing of the requests on them.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::connection::{ACCEPT_PAUSE, http, serve_connection};
use crate::config::{AdminAddress, Config, Limits, Token};
use crate::http::{AdminApi, Caller, TimedStream, Timeouts};

/// An open listener.
pub(super) enum AdminListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket. Removed on drop.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl AdminListener {
    /// Opens the listener.
    pub(super) async fn bind(address: &AdminAddress) -> anyhow::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                Ok(Self::Tcp(listener.with_context(|| format!("admin API: cannot listen on {address}"))?))
            }
            AdminAddress::Unix(path) => {
                let listener = bind_socket(path).await;
                let listener = listener.with_context(|| format!("admin API: cannot listen on {}", path.display()))?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// The address, in the form of `--admin`.
    pub(super) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => Ok(AdminAddress::Tcp(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.0.clone())),
        }
    }

    /// Accepts connections forever. One over the limit waits until another ends.
    pub(super) async fn serve(&self, api: &Arc<AdminApi>, limits: &Limits) {
        let (http, timeouts) = (Arc::new(http(limits)), Timeouts::of(limits));
        let permits = Arc::new(Semaphore::new(limits.admin_connections_max));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(tcp, _)| Connection::Tcp(tcp)),
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
            let (http, api) = (Arc::clone(&http), Arc::clone(api));
            tokio::spawn(async move {
                match connection {
                    Connection::Tcp(tcp) => {
                        serve_admin(&http, TimedStream::new(tcp, timeouts), api, Caller::Network).await
                    }
                    Connection::Unix(unix) => match unix.peer_cred() {
                        Ok(peer) => {
                            serve_admin(&http, TimedStream::new(unix, timeouts), api, Caller::User(peer.uid())).await;
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot read the peer credentials of an admin connection: {error}")
                        }
                    },
                }
                drop(permit);
            });
        }
    }
}

enum Connection {
    Tcp(tokio::net::TcpStream),
    Unix(UnixStream),
}

/// Serves the requests of one connection.
async fn serve_admin(
    http: &http1::Builder,
    stream: TimedStream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    api: Arc<AdminApi>,
    caller: Caller,
) {
    let answer = |request| Arc::clone(&api).answer(request, caller);
    serve_connection(http, stream, api.phase(), answer, "an admin connection").await;
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
