//! A socket as an outbox writes to it. Knows nothing of who reads from it.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::net::tcp::OwnedWriteHalf;

use crate::chat::{FrameSink, Outbox};

/// The socket, once it is there.
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
    /// Writes without asking tokio whether the socket is writable, which would cost as much as all else here. A full
    /// socket goes through tokio, which then says when there is room again.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tcp) = self.tcp.get() else { return Err(io::ErrorKind::WouldBlock.into()) };
        match send(tcp.as_ref(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => tcp.try_write(bytes),
            written => Ok(written?),
        }
    }
}
