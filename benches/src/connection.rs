//! A client's connection, with TLS or without. Knows bytes only.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::certificate;

/// How long a server may take to accept a connection or to answer a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    pub(crate) tls: bool,
}

/// A connection to a server.
pub(crate) struct Connection {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Connection {
    pub(crate) fn open(address: Address) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(address.socket).with_context(|| format!("cannot connect to {address:?}"))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let mut connection = Self { tcp, tls: None };
        if address.tls {
            let name = ServerName::try_from(certificate::NAME)?;
            let mut tls = ClientConnection::new(certificate::client()?, name)?;
            tls.complete_io(&mut connection.tcp)?;
            connection.tls = Some(Box::new(tls));
        }
        Ok(connection)
    }

    /// Does not block from now on.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        self.tcp.set_nonblocking(true)
    }

    /// Whether a read that fills less than its buffer has emptied the socket.
    pub(crate) fn ends_with_a_short_read(&self) -> bool {
        self.tls.is_none()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            tls.read_tls(&mut self.tcp)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        send(tls, &mut self.tcp)?;
        let written = tls.writer().write(bytes)?;
        // What is encrypted counts as written: the next write begins with what the socket does not take.
        match send(tls, &mut self.tcp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends what is encrypted.
fn send(tls: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(tcp)?;
    }
    Ok(())
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}
