//! The socket as an outbox writes to it.

use std::io;
use std::sync::{Arc, OnceLock};

use super::transport::Writer;
use crate::chat::{FrameSink, Outbox};

/// The socket, once the upgrade is complete.
#[derive(Default)]
pub(super) struct SocketSink {
    pub(super) writer: OnceLock<Writer>,
}

impl SocketSink {
    pub(super) fn with_outbox(outbox_bytes_max: usize) -> (Arc<Self>, Arc<Outbox>) {
        let sink = Arc::new(Self::default());
        let outbox = Outbox::new(Arc::clone(&sink) as Arc<dyn FrameSink>, outbox_bytes_max);
        (sink, Arc::new(outbox))
    }
}

impl FrameSink for SocketSink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.writer.get() {
            Some(writer) => writer.try_write(bytes),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
