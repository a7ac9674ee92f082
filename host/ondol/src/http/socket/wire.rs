//! The socket as an outbox writes to it.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::net::tcp::OwnedWriteHalf;

use crate::chat::{FrameSink, Outbox};

/// The socket, once the upgrade is complete.
#[derive(Default)]
pub(super) struct SocketWire {
    pub(super) tcp: OnceLock<OwnedWriteHalf>,
}

impl SocketWire {
    pub(super) fn with_outbox(outbox_bytes_max: usize) -> (Arc<Self>, Arc<Outbox>) {
        let wire = Arc::new(Self::default());
        let outbox = Outbox::new(Arc::clone(&wire) as Arc<dyn FrameSink>, outbox_bytes_max);
        (wire, Arc::new(outbox))
    }
}

impl FrameSink for SocketWire {
    /// Writes without consulting tokio's readiness, which would double the cost of a write. Only a full socket goes
    /// through tokio, which then reports when it drains.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tcp) = self.tcp.get() else { return Err(io::ErrorKind::WouldBlock.into()) };
        match send(tcp.as_ref(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => tcp.try_write(bytes),
            written => Ok(written?),
        }
    }
}
