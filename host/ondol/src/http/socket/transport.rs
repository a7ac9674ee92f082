//! The two halves of a socket, with TLS or without.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use super::tls_socket::TlsSocket;
use crate::http::timed_stream::TimedStream;

/// The half that is read.
pub(super) enum Reader {
    Plain(OwnedReadHalf),
    Tls(Arc<TlsSocket>),
}

/// The half that is written.
pub(super) enum Writer {
    Plain(OwnedWriteHalf),
    Tls(Arc<TlsSocket>),
}

/// Takes an upgraded connection apart, into its halves and what was read of it already. None: it is of another kind.
pub(super) fn split(upgraded: Upgraded) -> Option<(Reader, Writer, bytes::Bytes)> {
    match upgraded.downcast::<TokioIo<TimedStream<TcpStream>>>() {
        Ok(Parts { io, read_buf, .. }) => {
            let (reader, writer) = io.into_inner().into_inner().into_split();
            Some((Reader::Plain(reader), Writer::Plain(writer), read_buf))
        }
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<TimedStream<Box<TlsStream<TcpStream>>>>>().ok()?;
            let (tcp, connection) = parts.io.into_inner().into_inner().into_inner();
            let socket = Arc::new(TlsSocket::new(tcp, connection));
            Some((Reader::Tls(Arc::clone(&socket)), Writer::Tls(socket), parts.read_buf))
        }
    }
}

impl Reader {
    /// The TCP connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(half) => half.as_ref(),
            Self::Tls(socket) => socket.tcp(),
        }
    }

    /// Reads what has arrived, and takes it off `budget`.
    pub(super) fn read(&mut self, buffer: &mut [u8], budget: &mut usize) -> io::Result<usize> {
        match self {
            Self::Plain(half) => {
                // The session registers its own waker once there is nothing more to read.
                let (mut buffer, mut context) = (ReadBuf::new(buffer), Context::from_waker(Waker::noop()));
                let Poll::Ready(outcome) = Pin::new(half).poll_read(&mut context, &mut buffer) else {
                    return Err(io::ErrorKind::WouldBlock.into());
                };
                outcome?;
                let read = buffer.filled().len();
                *budget = budget.saturating_sub(read);
                Ok(read)
            }
            Self::Tls(socket) => socket.read(buffer, budget),
        }
    }

    /// Ends the sending side.
    pub(super) fn finish_sending(&self) -> io::Result<()> {
        if let Self::Tls(socket) = self {
            socket.finish();
        }
        Ok(shutdown(self.tcp(), Shutdown::Write)?)
    }
}

impl Writer {
    /// Writes without consulting tokio's readiness, which would double the cost of a write. Only a full socket goes
    /// through tokio, which then reports when it drains.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => match send(tcp.as_ref(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN) => tcp.try_write(bytes),
                written => Ok(written?),
            },
            Self::Tls(socket) => socket.try_write(bytes),
        }
    }
}
