//! One open WebSocket: frames in, pings, and the end of it. What is sent goes past this task, straight from whoever sends
//! it to the socket; only what the socket did not take at once is written from here.
//!
//! tungstenite reads what clients send. It writes nothing by itself: its pongs and close frames go through the same outbox
//! as everything else, so frames never mix.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::{Edge, Paced};
use crate::chat::{ChatError, Member, Outbox, OutboxState, Seat, Why, Wire};
use crate::frame;
use crate::model::{Frame, RoomId, Speaker};

/// What tungstenite reads at once. A buffer of this size is held by every connection.
const READ_BYTES: usize = 1_024;

/// How many frames of one client are taken before others have their turn.
const FRAMES_AT_ONCE: usize = 32;

/// A connection that is being upgraded: in its room already, while its socket is still on the way.
pub(super) struct Joining {
    wire: Arc<SocketWire>,
    outbox: Arc<Outbox>,
    member: Option<Member>,
    seat: Option<Seat>,
}

impl Joining {
    /// Brings a user's new connection into a room. `seat` counts it among theirs until it is closed.
    pub(super) async fn join(edge: &Edge, room: RoomId, user: Arc<Speaker>, seat: Seat) -> Result<Self, ChatError> {
        let (wire, outbox) = SocketWire::with_outbox(edge);
        let member = edge.chat.join(room, user, Arc::clone(&outbox)).await?;
        Ok(Self { wire, outbox, member: Some(member), seat: Some(seat) })
    }

    /// A connection that is only told why it is closed.
    pub(super) fn refused(edge: &Edge, code: u16, reason: &str) -> Self {
        let (wire, outbox) = SocketWire::with_outbox(edge);
        outbox.close(code, reason);
        Self { wire, outbox, member: None, seat: None }
    }

    /// Serves the socket, now that it is there, until it is closed.
    pub(super) async fn serve(self, edge: Arc<Edge>, upgraded: Upgraded) {
        let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Paced<TcpStream>>>() else {
            tracing::error!("an upgraded connection is no TCP stream");
            return;
        };
        let tcp = Arc::clone(self.wire.tcp.get_or_init(|| Arc::new(io.into_inner().into_inner())));
        let mut session = Session::new(edge, tcp, self.outbox, self.member, &read_buf);
        drop(read_buf);
        session.talk().await;
        // The room hears of it now, the socket may linger.
        session.member = None;
        drop(self.seat);
        session.linger().await;
    }
}

/// The socket as an outbox writes to it, once it is there.
#[derive(Default)]
struct SocketWire {
    tcp: OnceLock<Arc<TcpStream>>,
}

impl SocketWire {
    fn with_outbox(edge: &Edge) -> (Arc<Self>, Arc<Outbox>) {
        let wire = Arc::new(Self::default());
        let outbox = Outbox::new(Arc::clone(&wire) as Arc<dyn Wire>, edge.limits.outbox_bytes_max);
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
struct Stream {
    tcp: Arc<TcpStream>,
    outbox: Arc<Outbox>,
}

impl io::Read for Stream {
    /// A read that does not fill the buffer has emptied the socket, and is taken as the sign to wait for more, which saves
    /// the read that would only say so.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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

impl io::Write for Stream {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.outbox.send(&Bytes::copy_from_slice(frames));
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The state of one open socket.
struct Session {
    edge: Arc<Edge>,
    tcp: Arc<TcpStream>,
    outbox: Arc<Outbox>,
    socket: WebSocket<Stream>,
    member: Option<Member>,
    /// Rings when the next ping is due, or the answer to the last one.
    timer: Pin<Box<Sleep>>,
    awaiting_pong: bool,
}

/// Why a session goes on after a pause.
enum Wake {
    Readable,
    /// Something waits to be written and may be, or began to close.
    Outbox,
    Due,
    Gone,
}

/// Whether a socket goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait,
    /// There is more to read than one turn allows.
    Again,
    Over,
}

impl Session {
    fn new(
        edge: Arc<Edge>,
        tcp: Arc<TcpStream>,
        outbox: Arc<Outbox>,
        member: Option<Member>,
        read_already: &[u8],
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BYTES)
            .max_message_size(Some(edge.limits.frame_bytes_max))
            .max_frame_size(Some(edge.limits.frame_bytes_max));
        let stream = Stream { tcp: Arc::clone(&tcp), outbox: Arc::clone(&outbox) };
        let socket = WebSocket::from_partially_read(stream, read_already.to_vec(), Role::Server, Some(config));
        let timer = Box::pin(tokio::time::sleep(Duration::from_millis(edge.limits.ping_interval_ms)));
        Self { edge, tcp, outbox, socket, member, timer, awaiting_pong: false }
    }

    /// Reads, pings and writes what waits, until either side closes.
    async fn talk(&mut self) {
        let mut next = self.read().await;
        while next != Next::Over {
            let waiting = match self.outbox.flush() {
                OutboxState::Idle => false,
                OutboxState::Waiting => true,
                OutboxState::Closing(_) | OutboxState::Closed(_) => return,
            };
            // What was accepted is being finished, when the process ends; nothing more is.
            let reading = !self.edge.is_ending();
            if next == Next::Again && reading {
                tokio::task::yield_now().await;
                next = self.read().await;
                continue;
            }
            next = match std::future::poll_fn(|context| self.poll_wake(context, reading, waiting)).await {
                Wake::Readable => self.read().await,
                Wake::Outbox => Next::Wait,
                Wake::Due => self.tick(),
                Wake::Gone => Next::Over,
            };
        }
    }

    /// Waits for whatever comes first. By hand, because a `select!` would enter and leave four lists of waiters for each
    /// frame.
    fn poll_wake(&mut self, context: &mut Context<'_>, reading: bool, waiting: bool) -> Poll<Wake> {
        if reading && let Poll::Ready(ready) = self.tcp.poll_read_ready(context) {
            return Poll::Ready(if ready.is_ok() { Wake::Readable } else { Wake::Gone });
        }
        if waiting && let Poll::Ready(ready) = self.tcp.poll_write_ready(context) {
            return Poll::Ready(if ready.is_ok() { Wake::Outbox } else { Wake::Gone });
        }
        if self.outbox.poll_changed(context).is_ready() {
            return Poll::Ready(Wake::Outbox);
        }
        self.timer.as_mut().poll(context).map(|()| Wake::Due)
    }

    /// Pings, or gives up a peer that has not answered the last one.
    fn tick(&mut self) -> Next {
        let limits = &self.edge.limits;
        // What it has answered is not read any more when the process ends.
        if self.awaiting_pong && !self.edge.is_ending() {
            self.outbox.close(1008, &format!("no answer to a ping within pong_ms_max = {}", limits.pong_ms_max));
            return Next::Over;
        }
        let mut ping = BytesMut::new();
        frame::ping(&mut ping);
        self.outbox.send(&ping.freeze());
        self.awaiting_pong = true;
        self.timer.as_mut().reset(Instant::now() + Duration::from_millis(limits.pong_ms_max));
        Next::Wait
    }

    /// Takes what the client has sent, a few frames at once.
    async fn read(&mut self) -> Next {
        for _ in 0..FRAMES_AT_ONCE {
            let frame = match self.socket.read() {
                Ok(frame) => frame,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Next::Wait,
                Err(error) => return self.broken(&error),
            };
            match frame {
                Message::Text(text) => {
                    if let Some(member) = &self.member {
                        member.say(Frame::Text(text.as_str())).await;
                    }
                }
                Message::Binary(bytes) => {
                    if let Some(member) = &self.member {
                        member.say(Frame::Binary(&bytes)).await;
                    }
                }
                Message::Pong(_) if self.awaiting_pong => {
                    self.awaiting_pong = false;
                    let next_ping = Duration::from_millis(self.edge.limits.ping_interval_ms);
                    self.timer.as_mut().reset(Instant::now() + next_ping);
                }
                Message::Close(frame) => {
                    // The same code back, and nothing after it (section 5.5.1). tungstenite has checked the code.
                    self.outbox.close(frame.map_or(1000, |frame| frame.code.into()), "");
                    return Next::Over;
                }
                // tungstenite answers a ping by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Next::Again
    }

    /// What a client hears of a frame that cannot be read (RFC 6455, section 7.4.1).
    fn broken(&self, error: &Error) -> Next {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let reason =
                    format!("a message has at most frame_bytes_max = {} bytes", self.edge.limits.frame_bytes_max);
                self.outbox.close(1009, &reason);
            }
            Error::Utf8(_) => self.outbox.close(1007, "a text message has to be UTF-8"),
            Error::Protocol(error) => self.outbox.close(1002, &error.to_string()),
            // Closed in good order, or gone.
            _ => {}
        }
        Next::Over
    }

    /// Ends the connection in good order: what still has to go out goes out, then the peer has a while to close its side.
    /// Closing at once would make the kernel throw away what the peer has not read yet.
    async fn linger(&mut self) {
        let end = Instant::now() + Duration::from_millis(self.edge.limits.close_ms_max);
        let _ = tokio::time::timeout_at(end, async {
            while matches!(self.outbox.flush(), OutboxState::Waiting | OutboxState::Closing(_)) {
                self.tcp.writable().await?;
            }
            if self.outbox.state() == OutboxState::Closed(Why::Broken) {
                return Ok(());
            }
            shutdown(&self.tcp, Shutdown::Write)?;
            let mut ignored = [0; 512];
            loop {
                self.tcp.readable().await?;
                match self.tcp.try_read(&mut ignored) {
                    Ok(0) => return Ok(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        })
        .await;
    }
}
