//! One open WebSocket: frames in, pings, and the end of it. What is sent goes past this task, straight from whoever sends
//! it to the socket; only what the socket did not take at once is written from here.
//!
//! tungstenite reads what clients send. It writes nothing by itself: its pongs and close frames go through the same outbox
//! as everything else, so frames never mix.

mod joining;
mod position;
mod stream;
mod wire;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::{Shutdown, shutdown};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::Edge;
use crate::chat::{CloseReason, Member, Outbox, OutboxState};
pub(super) use joining::Joining;
use ondol_host_model::Frame;
use ondol_host_model::frame;
use position::Position;
use stream::Stream;

/// What tungstenite reads at once. A buffer of this size is held by every connection.
const READ_BYTES: usize = 1_024;

/// How many frames of one client are taken before others have their turn.
const FRAMES_AT_ONCE: usize = 32;

/// The state of one open socket.
struct Session {
    edge: Arc<Edge>,
    outbox: Arc<Outbox>,
    socket: WebSocket<Stream>,
    member: Option<Member>,
    /// Rings when something may be due, or earlier.
    timer: Pin<Box<Sleep>>,
    /// When the next ping is due, or the answer to the last one.
    ping_due: Instant,
    awaiting_pong: bool,
    /// What had been received when the peer last showed that it lives.
    alive_at: u64,
    /// The client is not read: too much of what it said is in flight.
    held: bool,
    /// The close frame to end with, once all that the client said has its answer.
    last_words: Option<(u16, String)>,
    /// When the closing has to be over.
    end: Option<Instant>,
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
        reader: OwnedReadHalf,
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
        let mut position = Position::new(edge.limits.fragments_max);
        position.advance(read_already);
        let stream = Stream::new(reader, Arc::clone(&outbox), position);
        let socket = WebSocket::from_partially_read(stream, read_already.to_vec(), Role::Server, Some(config));
        let ping_due = Instant::now() + Duration::from_millis(edge.limits.ping_interval_ms);
        Self {
            edge,
            outbox,
            socket,
            member,
            timer: Box::pin(tokio::time::sleep_until(ping_due)),
            ping_due,
            awaiting_pong: false,
            alive_at: 0,
            held: false,
            last_words: None,
            end: None,
        }
    }

    /// Reads, pings and writes what waits, until either side closes. Before a close frame goes out, all that the client said
    /// before it has its answer.
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
            let more = next == Next::Again;
            if more && reading && self.may_read() {
                tokio::task::yield_now().await;
                next = self.read().await;
                continue;
            }
            self.arm(waiting);
            let wake = std::future::poll_fn(|context| self.poll_wake(context, reading, more, waiting)).await;
            next = match wake {
                Wake::Readable => self.read().await,
                Wake::Outbox if more => Next::Again,
                Wake::Outbox => Next::Wait,
                Wake::Due => match self.tick().await {
                    Next::Wait if more => Next::Again,
                    next => next,
                },
                Wake::Gone => Next::Over,
            };
        }
        if let Some((code, reason)) = self.last_words.take() {
            self.finish().await;
            self.outbox.close(code, &reason);
        }
    }

    /// Waits for whatever comes first. By hand, because a `select!` would enter and leave four lists of waiters for each
    /// frame. `more`: something that was read waits to be taken.
    fn poll_wake(&mut self, context: &mut Context<'_>, reading: bool, more: bool, waiting: bool) -> Poll<Wake> {
        if reading && self.poll_may_read(context).is_ready() {
            if more {
                return Poll::Ready(Wake::Readable);
            }
            if let Poll::Ready(ready) = self.socket.get_ref().tcp().poll_read_ready(context) {
                return Poll::Ready(if ready.is_ok() { Wake::Readable } else { Wake::Gone });
            }
        }
        if waiting && let Poll::Ready(ready) = self.socket.get_ref().tcp().poll_write_ready(context) {
            return Poll::Ready(if ready.is_ok() { Wake::Outbox } else { Wake::Gone });
        }
        if self.outbox.poll_changed(context).is_ready() {
            return Poll::Ready(Wake::Outbox);
        }
        self.timer.as_mut().poll(context).map(|()| Wake::Due)
    }

    /// Whether the client may be read: what it and its room have in flight allows it, and it takes what it is sent.
    fn may_read(&self) -> bool {
        self.takes_enough() && self.member.as_ref().is_none_or(Member::may_speak)
    }

    fn poll_may_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A socket that takes more wakes this task as well.
        let ready =
            self.takes_enough() && self.member.as_ref().is_none_or(|member| member.poll_may_speak(context).is_ready());
        if ready && std::mem::take(&mut self.held) {
            // What it could not send meanwhile does not count against it.
            self.socket.get_mut().position.begin_anew();
        }
        self.held = !ready;
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn takes_enough(&self) -> bool {
        self.outbox.waiting_bytes() <= self.edge.limits.outbox_bytes_max / 2
    }

    /// Sets the timer for what is due next. It may ring too early, which costs less than to move it each time.
    fn arm(&mut self, waiting: bool) {
        let limits = &self.edge.limits;
        let mut due = self.ping_due;
        if let Some(since) = waiting.then(|| self.outbox.waiting_since()).flatten() {
            due = due.min(Instant::from_std(since) + Duration::from_millis(limits.stall_ms_max));
        }
        // Only while the client can do something about it.
        let is_read = !self.held && !self.edge.is_ending();
        if let Some(begun) = is_read.then(|| self.socket.get_ref().position.begun()).flatten() {
            due = due.min(begun + Duration::from_millis(limits.frame_ms_max));
        }
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
    }

    /// Pings, or gives up a peer that is not there or too slow. Not before it was written to and all that it sent was
    /// read: after a pause of the whole process a peer is judged by what it did meanwhile.
    async fn tick(&mut self) -> Next {
        let limits = &self.edge.limits;
        let (stall, pong) = (Duration::from_millis(limits.stall_ms_max), Duration::from_millis(limits.pong_ms_max));
        self.outbox.flush();
        if self.outbox.drop_stalled(stall) {
            return Next::Over;
        }
        let now = Instant::now();
        let (mut next, mut has_unread) = (Next::Wait, false);
        // What it has sent is not read any more when the process ends, nor while it is held.
        let is_read = !self.edge.is_ending() && self.may_read();
        if is_read && (self.awaiting_pong && self.ping_due <= now || self.is_frame_overdue(now)) {
            next = self.read().await;
            if next == Next::Over {
                return next;
            }
            has_unread = self.socket.get_ref().has_unread();
        }
        if is_read && !has_unread && !self.held && self.is_frame_overdue(now) {
            let reason = format!("a message has to arrive within frame_ms_max = {} ms", self.edge.limits.frame_ms_max);
            self.last_words = Some((1008, reason));
            return Next::Over;
        }
        if self.ping_due > now {
            return next;
        }
        if self.awaiting_pong && is_read && !has_unread && self.socket.get_ref().received == self.alive_at {
            let reason = format!("no answer to a ping within pong_ms_max = {}", self.edge.limits.pong_ms_max);
            self.outbox.close(1008, &reason);
            return Next::Over;
        }
        let mut ping = BytesMut::new();
        frame::ping(&mut ping);
        self.outbox.send(&ping.freeze());
        self.awaiting_pong = true;
        self.alive_at = self.socket.get_ref().received;
        self.ping_due = Instant::now() + pong;
        next
    }

    fn is_frame_overdue(&self, now: Instant) -> bool {
        let frame = Duration::from_millis(self.edge.limits.frame_ms_max);
        self.socket.get_ref().position.begun().is_some_and(|begun| begun + frame <= now)
    }

    /// Takes what the client has sent, a few frames at once.
    async fn read(&mut self) -> Next {
        self.socket.get_mut().begin_turn();
        for _ in 0..FRAMES_AT_ONCE {
            if !self.may_read() {
                return Next::Again;
            }
            let frame = match self.socket.read() {
                Ok(frame) => frame,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return self.paused(),
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
                    self.ping_due = Instant::now() + Duration::from_millis(self.edge.limits.ping_interval_ms);
                }
                Message::Close(frame) => {
                    // The same code back, and nothing after it (section 5.5.1). tungstenite has checked the code.
                    self.last_words = Some((frame.map_or(1000, |frame| frame.code.into()), String::new()));
                    return Next::Over;
                }
                // tungstenite answers a ping by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Next::Again
    }

    /// All that was read is taken.
    fn paused(&mut self) -> Next {
        let stream = self.socket.get_ref();
        if stream.position.has_too_many_fragments() {
            let max = self.edge.limits.fragments_max;
            self.last_words = Some((1008, format!("a message has at most fragments_max = {max} fragments")));
            return Next::Over;
        }
        if stream.is_spent() { Next::Again } else { Next::Wait }
    }

    /// What a client hears of a frame that cannot be read (RFC 6455, section 7.4.1).
    fn broken(&mut self, error: &Error) -> Next {
        self.last_words = match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let max = self.edge.limits.frame_bytes_max;
                Some((1009, format!("a message has at most frame_bytes_max = {max} bytes")))
            }
            Error::Utf8(_) => Some((1007, "a text message has to be UTF-8".to_owned())),
            // The client has shut its sending side, and may well listen.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                if !self.socket.get_ref().position.is_unfinished() =>
            {
                Some((1000, String::new()))
            }
            Error::Protocol(error) => Some((1002, error.to_string())),
            // Closed in good order, or gone.
            _ => None,
        };
        Next::Over
    }

    /// Waits until all that the client said has its answer, for as long as a closing handshake may take.
    async fn finish(&mut self) {
        let end = Instant::now() + Duration::from_millis(self.edge.limits.close_ms_max);
        self.end = Some(end);
        let Some(member) = &self.member else { return };
        let settled = async {
            loop {
                let waiting = match self.outbox.flush() {
                    OutboxState::Idle => false,
                    OutboxState::Waiting => true,
                    OutboxState::Closing(_) | OutboxState::Closed(_) => return,
                };
                let settled = std::future::poll_fn(|context| {
                    if member.poll_settled(context).is_ready() {
                        return Poll::Ready(true);
                    }
                    let writable = waiting && self.socket.get_ref().tcp().poll_write_ready(context).is_ready();
                    if writable || self.outbox.poll_changed(context).is_ready() {
                        return Poll::Ready(false);
                    }
                    Poll::Pending
                });
                if settled.await {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout_at(end, settled).await;
    }

    /// Ends the connection in good order: what still has to go out goes out, then the peer has a while to close its side.
    /// Closing at once would make the kernel throw away what the peer has not read yet.
    async fn linger(&mut self) {
        let end = self.end.unwrap_or_else(|| Instant::now() + Duration::from_millis(self.edge.limits.close_ms_max));
        let _ = tokio::time::timeout_at(end, async {
            let tcp = self.socket.get_ref().tcp();
            while matches!(self.outbox.flush(), OutboxState::Waiting | OutboxState::Closing(_)) {
                tcp.writable().await?;
            }
            if self.outbox.state() == OutboxState::Closed(CloseReason::Broken) {
                return Ok(());
            }
            shutdown(tcp, Shutdown::Write)?;
            let mut ignored = [0; 512];
            loop {
                tcp.readable().await?;
                match tcp.try_read(&mut ignored) {
                    Ok(0) => return Ok(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
        })
        .await;
        self.outbox.abandon();
    }
}
