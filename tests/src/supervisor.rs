//! What systemd is to a service: it has the listening sockets, passes them on, and hears how far the service has come. Knows
//! sd_notify(3) and sd_listen_fds(3).

use std::{
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    },
    time::Duration,
};

use anyhow::Result;
use tempfile::TempDir;
use tokio::{
    net::{TcpSocket, UnixDatagram},
    time::timeout,
};

use crate::{deadline::within, setup::Setup};

/// Connections that may wait for a server, as systemd sets it: as many as the system allows.
const BACKLOG: u32 = 4_096;

/// The end of it that hears.
pub struct Supervisor {
    socket: UnixDatagram,
    address: String,
    _directory: TempDir,
}

impl Supervisor {
    /// One that hears at a path.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn start() -> Result<Self> {
        let directory = TempDir::with_prefix("ondol-story-")?;
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, address: path.display().to_string(), _directory: directory })
    }

    /// One that hears at a name without a file.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn start_abstract() -> Result<Self> {
        let directory = TempDir::with_prefix("ondol-story-")?;
        let name = format!("ondol-story/{}", directory.path().display());
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, address: format!("@{name}"), _directory: directory })
    }

    /// The setup of a server that it supervises.
    #[must_use]
    pub fn of(&self, setup: Setup) -> Setup {
        setup.env("NOTIFY_SOCKET", &self.address)
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes.
    pub async fn hear(&self) -> Result<String> {
        let mut message = vec![0; 4_096];
        let length = within("a message to the supervisor", self.socket.recv(&mut message)).await??;
        message.truncate(length);
        Ok(String::from_utf8(message)?)
    }

    /// The next message that contains `part`.
    ///
    /// # Errors
    /// When none comes.
    pub async fn expect(&self, part: &str) -> Result<String> {
        within(format!("a message with {part}"), async {
            loop {
                let message = self.hear().await?;
                if message.contains(part) {
                    return Ok(message);
                }
            }
        })
        .await?
    }

    /// Waits until nothing is heard for so long.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn expect_silence(&self, time: Duration) -> Result<()> {
        within("silence", async { while timeout(time, self.hear()).await.is_ok() {} }).await
    }
}

/// A listening socket on a port of its own, and its address.
///
/// # Errors
/// When the system gives none.
pub fn listening_socket() -> Result<(OwnedFd, String)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let address = listener.local_addr()?.to_string();
    Ok((listener.into(), address))
}
