//! A socket as tungstenite sees it. Knows nothing of what is said on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::position::Position;
use crate::chat::Outbox;

/// How many bytes of one client are read before others have their turn. tungstenite reads until a message is whole, and one
/// of empty fragments never is.
const BYTES_AT_ONCE: usize = 65_536;

/// The socket as tungstenite reads from it, and the outbox as it writes to it.
pub(super) struct Stream {
    half: OwnedReadHalf,
    outbox: Arc<Outbox>,
    /// Where the client's frames stand, as far as they were read.
    pub(super) position: Position,
    /// How many bytes were read.
    pub(super) received: u64,
    /// What may still be read in this turn.
    budget: usize,
}

impl Stream {
    pub(super) fn new(half: OwnedReadHalf, outbox: Arc<Outbox>, position: Position) -> Self {
        Self { half, outbox, position, received: 0, budget: BYTES_AT_ONCE }
    }

    /// The socket itself.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Whether the system has received something that was not read. tokio may not have heard of it yet.
    pub(super) fn has_unread(&self) -> bool {
        ioctl_fionread(self.tcp()).is_ok_and(|bytes| bytes > 0)
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&mut self) {
        self.budget = BYTES_AT_ONCE;
    }

    /// Whether the turn is over, whatever there is to read.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position.has_too_many_fragments() || self.budget == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The session's task is woken by what it waits for itself, once there is nothing more to read.
        let (mut buffer, mut context) = (ReadBuf::new(buffer), Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = Pin::new(&mut self.half).poll_read(&mut context, &mut buffer) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        outcome?;
        let read = buffer.filled().len();
        self.budget = self.budget.saturating_sub(read);
        self.received += read as u64;
        self.position.advance(buffer.filled());
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
