//! The byte stream under tungstenite: reads from the socket, writes to the outbox.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::ioctl_fionread;
use tokio::net::TcpStream;

use super::position::Position;
use super::transport::Reader;
use crate::chat::Outbox;

/// How many bytes of one client are read in a turn. tungstenite reads until a message is complete, and a message of
/// empty fragments never is.
const BYTES_AT_ONCE: usize = 65_536;

/// What tungstenite reads from and writes to.
pub(super) struct Stream {
    reader: Reader,
    outbox: Arc<Outbox>,
    /// The position in the client's frames.
    pub(super) position: Position,
    /// The number of bytes read so far.
    pub(super) received: u64,
    /// The bytes that may still be read in this turn.
    budget: usize,
}

impl Stream {
    pub(super) fn new(reader: Reader, outbox: Arc<Outbox>, position: Position) -> Self {
        Self { reader, outbox, position, received: 0, budget: BYTES_AT_ONCE }
    }

    /// The half that is read.
    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The TCP connection.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.reader.tcp()
    }

    /// Whether the kernel has unread data. tokio's readiness may lag behind.
    pub(super) fn has_unread(&self) -> bool {
        ioctl_fionread(self.tcp()).is_ok_and(|bytes| bytes > 0)
    }

    /// Starts a turn.
    pub(super) fn begin_turn(&mut self) {
        self.budget = BYTES_AT_ONCE;
    }

    /// Whether this turn has used up its budget.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position.has_too_many_fragments() || self.budget == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.reader.read(buffer, &mut self.budget)?;
        self.received += read as u64;
        self.position.advance(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl io::Write for Stream {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.outbox.send(&Bytes::copy_from_slice(frames));
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
