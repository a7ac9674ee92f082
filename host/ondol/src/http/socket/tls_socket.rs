//! A socket with TLS, which is read and written by different threads. Knows records, and nothing of frames.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use rustls::ServerConnection;
use tokio::net::TcpStream;

/// A socket with TLS.
pub(super) struct TlsSocket {
    tcp: TcpStream,
    tls: Mutex<Tls>,
}

struct Tls {
    connection: ServerConnection,
    /// What was encrypted of the bytes that are to be written, while the socket is too full for all of it.
    encrypted: usize,
}

impl TlsSocket {
    pub(super) fn new(tcp: TcpStream, connection: ServerConnection) -> Self {
        Self { tcp, tls: Mutex::new(Tls { connection, encrypted: 0 }) }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Reads what has arrived, and takes it off `budget`. 0: the peer has ended its side.
    pub(super) fn read(&self, buffer: &mut [u8], budget: &mut usize) -> io::Result<usize> {
        let mut tls = self.lock();
        loop {
            match tls.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without the end of TLS: a WebSocket has its own.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if *budget == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let arrived = tls.connection.read_tls(&mut Receiving(&self.tcp))?;
            *budget = budget.saturating_sub(arrived);
            let processed = tls.connection.process_new_packets();
            if tls.connection.wants_write() {
                // An alert, or an answer of TLS itself. What the socket does not take goes before the next frames, and a peer
                // that takes no more is found then: what it sent before is still read.
                let _ = tls.flush(&self.tcp);
            }
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Encrypts and writes what fits, in one record and one write if it is small. If this fails with `WouldBlock`, some of
    /// the bytes may be encrypted already, so the next call has to begin with the same ones.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut tls = self.lock();
        let mut written = 0;
        loop {
            if !tls.flush(&self.tcp)? {
                return if written > 0 { Ok(written) } else { Err(io::ErrorKind::WouldBlock.into()) };
            }
            written += std::mem::take(&mut tls.encrypted);
            match bytes.get(written..) {
                None | Some([]) => return Ok(written.min(bytes.len())),
                Some(rest) => match tls.connection.writer().write(rest)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    some => tls.encrypted = some,
                },
            }
        }
    }

    /// Tells the peer that nothing follows (RFC 8446, section 6.1), if the socket takes it.
    pub(super) fn finish(&self) {
        let mut tls = self.lock();
        tls.connection.send_close_notify();
        let _ = tls.flush(&self.tcp);
    }

    fn lock(&self) -> MutexGuard<'_, Tls> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tls {
    /// Writes what is encrypted. False: the socket is full.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Sending(tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

struct Receiving<'a>(&'a TcpStream);

impl io::Read for Receiving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

struct Sending<'a>(&'a TcpStream);

impl io::Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// As a plain socket: only a full one goes through tokio, which then reports when it drains.
    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(self.0, records, &mut SendAncillaryBuffer::default(), flags) {
            Err(Errno::AGAIN) => self.0.try_write_vectored(records),
            written => Ok(written?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
