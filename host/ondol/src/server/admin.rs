//! The operator's listener: on a port, or on a socket in the file system. Knows connections, and nothing of what is said
//! on them.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hyper::server::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{ACCEPT_PAUSE, http, serve_connection};
use crate::config::{AdminAddress, Config, Limits, Token};
use crate::http::{Admin, Caller, Paced, Times};

/// A listener that is open.
pub(super) enum AdminListener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A socket's file, until dropped.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl AdminListener {
    /// Opens it.
    pub(super) async fn bind(address: &AdminAddress) -> anyhow::Result<Self> {
        match address {
            AdminAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                Ok(Self::Tcp(listener.with_context(|| format!("the operator's API: listening on {address}"))?))
            }
            AdminAddress::Unix(path) => {
                let listener = bind_socket(path).await;
                let listener =
                    listener.with_context(|| format!("the operator's API: listening on {}", path.display()))?;
                Ok(Self::Unix(listener, SocketFile(path.clone())))
            }
        }
    }

    /// Where it is, as `--admin` takes it.
    pub(super) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => Ok(AdminAddress::Tcp(listener.local_addr()?)),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.0.clone())),
        }
    }

    /// Accepts connections for ever. One over the limit waits for another to end.
    pub(super) async fn serve(&self, admin: &Arc<Admin>, limits: &Limits) {
        let (http, times) = (Arc::new(http(limits)), Times::of(limits));
        let places = Arc::new(Semaphore::new(limits.admin_connections_max));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(tcp, _)| Connection::Tcp(tcp)),
                Self::Unix(listener, _) => listener.accept().await.map(|(unix, _)| Connection::Unix(unix)),
            };
            let connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the operator's API could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (http, admin) = (Arc::clone(&http), Arc::clone(admin));
            tokio::spawn(async move {
                match connection {
                    Connection::Tcp(tcp) => serve_operator(&http, Paced::new(tcp, times), admin, Caller::Network).await,
                    Connection::Unix(unix) => match unix.peer_cred() {
                        Ok(peer) => {
                            serve_operator(&http, Paced::new(unix, times), admin, Caller::User(peer.uid())).await;
                        }
                        Err(error) => tracing::warn!(%error, "nobody knows who called the operator's API"),
                    },
                }
                drop(place);
            });
        }
    }
}

enum Connection {
    Tcp(tokio::net::TcpStream),
    Unix(UnixStream),
}

/// Answers the requests of one connection.
async fn serve_operator(
    http: &http1::Builder,
    stream: Paced<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    admin: Arc<Admin>,
    caller: Caller,
) {
    let answer = |request| Arc::clone(&admin).answer(request, caller);
    serve_connection(http, stream, admin.phase(), answer, "a connection to the operator's API").await;
}

/// A socket that only this user may open, by the umask of the process: setting its mode afterwards would be too late. One that a process has left behind is taken away first.
async fn bind_socket(path: &Path) -> anyhow::Result<UnixListener> {
    if let Ok(file) = std::fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            bail!("there is a file, and it is no socket");
        }
        if UnixStream::connect(path).await.is_ok() {
            bail!("another process listens there");
        }
        std::fs::remove_file(path)?;
    }
    Ok(UnixListener::bind(path)?)
}

/// The token that is needed, if one is.
///
/// # Errors
///
/// When the file cannot be read, or others than this machine can reach a listener without a token.
pub(crate) fn token(config: &Config, address: &AdminAddress) -> anyhow::Result<Option<Token>> {
    let token = read_token(config)?;
    if token.is_none() && !address.is_local() {
        bail!("the operator's API on {address} can be reached from elsewhere: give it a token with admin_token_file");
    }
    Ok(token)
}

/// The token as the config gives it: in a file, or itself.
pub(crate) fn read_token(config: &Config) -> anyhow::Result<Option<Token>> {
    let Some(path) = &config.admin_token_file else { return Ok(config.admin_token.clone()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("admin_token_file {}", path.display()))?;
    let token = Token::new(&text).with_context(|| format!("admin_token_file {} is empty", path.display()))?;
    Ok(Some(token))
}
