//! Tells the supervisor how far the server has come (sd_notify(3)). Knows the protocol, and nothing of the server.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a message may wait for a supervisor that does not read.
const SEND_MAX: Duration = Duration::from_millis(100);

/// Where the supervisor listens, if there is one. Clones share it.
#[derive(Clone)]
pub(super) struct Notifier(Option<Arc<Supervisor>>);

struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether it did not hear the last message.
    is_deaf: AtomicBool,
}

impl Notifier {
    /// Speaks to this address.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(super) fn new(address: Option<OsString>) -> io::Result<Self> {
        let Some(address) = address else { return Ok(Self(None)) };
        let address = read(&address)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_MAX))?;
        Ok(Self(Some(Arc::new(Supervisor { socket, address, is_deaf: AtomicBool::new(false) }))))
    }

    /// The server accepts connections.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its configuration again, until it is [ready](Notifier::ready) again. The time is that of notify-reload.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reloading"));
    }

    /// It ends.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=draining, then ending");
    }

    /// It works.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        let Some(supervisor) = self.0.as_deref() else { return };
        let sent = supervisor.socket.send_to_addr(message.as_bytes(), &supervisor.address);
        let was_deaf = supervisor.is_deaf.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Err(error) if !was_deaf => {
                tracing::warn!(%error, "the supervisor at NOTIFY_SOCKET does not hear: {error}");
            }
            Ok(_) if was_deaf => tracing::info!("the supervisor at NOTIFY_SOCKET hears again"),
            _ => {}
        }
    }
}

/// Reads a path, or the name of an abstract socket after `@`.
fn read(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(address),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "expected an absolute path, or @ and a name")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_name() {
        assert!(read(OsStr::new("/run/systemd/notify")).unwrap().as_pathname().is_some());
        assert_eq!(read(OsStr::new("@ondol")).unwrap().as_abstract_name(), Some(&b"ondol"[..]));
        for bad in ["", "run/notify", "vsock:2:1234"] {
            assert!(read(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
