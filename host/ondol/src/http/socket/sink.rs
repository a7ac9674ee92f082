//! The socket as an outbox writes to it.

use std::io;
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::net::tcp::OwnedWriteHalf;

use crate::chat::{FrameSink, Outbox};

/// The socket, once the upgrade is complete.
#[derive(Default)]
pub(super) struct SocketSink {
    pub(super) tcp: OnceLock<OwnedWriteHalf>,
}

impl SocketSink {
    pub(super) fn with_outbox(outbox_bytes_max: usize) -> (Arc<Self>, Arc<Outbox>) {
        let sink = Arc::new(Self::default());
        let outbox = Outbox::new(Arc::clone(&sink) as Arc<dyn FrameSink>, outbox_bytes_max);
        (sink, Arc::new(outbox))
    }
}

impl FrameSink for SocketSink {
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
