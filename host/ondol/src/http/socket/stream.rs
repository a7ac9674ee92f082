//! A socket as an outbox and tungstenite see it. Knows nothing of what is said on it.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::position::Position;
use crate::chat::{Outbox, Wire};

/// How many bytes of one client are read before others have their turn. tungstenite reads until a message is whole, and one
/// of empty fragments never is.
const BYTES_AT_ONCE: usize = 65_536;

/// The socket as an outbox writes to it, once it is there.
#[derive(Default)]
pub(super) struct SocketWire {
    pub(super) tcp: OnceLock<Arc<TcpStream>>,
}

impl SocketWire {
    pub(super) fn with_outbox(outbox_bytes_max: usize) -> (Arc<Self>, Arc<Outbox>) {
        let wire = Arc::new(Self::default());
        let outbox = Outbox::new(Arc::clone(&wire) as Arc<dyn Wire>, outbox_bytes_max);
        (wire, Arc::new(outbox))
    }
}

impl Wire for SocketWire {
    /// Past tokio's book of what is writable, which costs as much as all else here, unless the socket is full: then tokio has to
    /// know, so that it says when there is room again.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tcp) = self.tcp.get() else { return Err(io::ErrorKind::WouldBlock.into()) };
        match send(tcp, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => tcp.try_write(bytes),
            written => Ok(written?),
        }
    }
}

/// The socket as tungstenite reads from it, and the outbox as it writes to it.
pub(super) struct Stream {
    tcp: Arc<TcpStream>,
    outbox: Arc<Outbox>,
    /// Where the client's frames stand, as far as they were read.
    pub(super) position: Position,
    /// How many bytes were read.
    pub(super) received: u64,
    /// What may still be read in this turn.
    budget: usize,
    /// The socket is read whatever tokio knows of it.
    unasked: bool,
}

impl Stream {
    pub(super) fn new(tcp: Arc<TcpStream>, outbox: Arc<Outbox>, position: Position) -> Self {
        Self { tcp, outbox, position, received: 0, budget: BYTES_AT_ONCE, unasked: false }
    }

    /// Begins a turn. `unasked`: the socket is read even if tokio has not heard yet that there is something, as after a pause
    /// of the whole process.
    pub(super) fn begin_turn(&mut self, unasked: bool) {
        self.budget = BYTES_AT_ONCE;
        self.unasked = unasked;
    }

    /// Whether the turn is over, whatever there is to read.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// A read that does not fill the buffer has emptied the socket, and is taken as the sign to wait for more, which saves
    /// the read that would only say so.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unasked {
            let (read, _) = recv(&self.tcp, &mut *buffer, RecvFlags::DONTWAIT)?;
            return Ok(read);
        }
        let mut emptied = None;
        let outcome = self.tcp.try_io(Interest::READABLE, || {
            let (read, _) = recv(&self.tcp, &mut *buffer, RecvFlags::DONTWAIT)?;
            if read == 0 || read == buffer.len() {
                return Ok(read);
            }
            emptied = Some(read);
            Err(io::ErrorKind::WouldBlock.into())
        });
        emptied.map_or(outcome, Ok)
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position.has_too_many_fragments() || self.budget == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.receive(buffer)?;
        self.budget = self.budget.saturating_sub(read);
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
