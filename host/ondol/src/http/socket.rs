//! One open WebSocket: reads frames, sends pings, and closes. Events go to the socket directly from the task that
//! publishes them; this task only writes what the socket did not accept at once.
//!
//! tungstenite parses the client's frames. Its pongs and close frames go through the same outbox as everything else, so
//! frames never mix.

mod closing;
mod joining;
mod linger;
mod own_frames;
mod position;
mod probe;
mod rates;
mod sink;
mod stream;
mod tls_socket;
mod transport;

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::figures::{OpenSocket, SocketEnd};
use super::state::{ApiState, Phase};
use crate::chat::{Member, Outbox, OutboxState, Resumed, Resumption, going_away_outside};
pub(super) use joining::Joining;
use ondol_host_model::Frame;
pub(super) use own_frames::Expiry;
use position::Position;
use rates::ConnectionRates;
use stream::Stream;
use transport::Reader;

/// The size of tungstenite's read buffer, which every connection has.
const READ_BYTES: usize = 1_024;

/// How many frames of one client are handled before the task yields.
const FRAMES_AT_ONCE: usize = 32;

/// The state of one open socket.
struct Session {
    state: Arc<ApiState>,
    outbox: Arc<Outbox>,
    socket: WebSocket<Stream>,
    member: Option<Member>,
    /// What the client missed is not all sent yet. Until then it is not read.
    resumption: Option<Resumption>,
    /// Until when the client's token holds, if it has one.
    expiry: Option<Expiry>,
    /// The rates of a client that is in a room.
    rates: Option<ConnectionRates>,
    /// Fires when something is due, or earlier.
    timer: Pin<Box<Sleep>>,
    /// When the next ping is due, or the pong for the last one.
    ping_due: Instant,
    awaiting_pong: bool,
    /// The count of received bytes when the last ping was sent.
    alive_at: u64,
    /// Dropped once it is known whether the peer is alive, for the one who waits to know.
    probed_for: Option<Arc<dyn Any + Send + Sync>>,
    /// The client is not read, because too much of it is in flight.
    reading_paused: bool,
    /// The close frame to send once every frame of the client has its reply.
    close_frame: Option<(u16, String)>,
    /// Counts it, with what has ended it.
    counted: OpenSocket,
    /// When the closing handshake has to be over.
    close_deadline: Option<Instant>,
}

/// What woke a session.
enum Wake {
    Readable,
    /// Waiting data can be written, or the outbox began to close.
    Outbox,
    Due,
    Gone,
}

/// What a session does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait,
    /// Read again after a yield: one turn was not enough.
    Again,
    Closed,
}

impl Session {
    fn new(
        state: Arc<ApiState>,
        reader: Reader,
        outbox: Arc<Outbox>,
        member: Option<Member>,
        read_already: &[u8],
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BYTES)
            .max_message_size(Some(state.limits.frame_bytes_max))
            .max_frame_size(Some(state.limits.frame_bytes_max));
        let mut position = Position::new(state.limits.fragments_max);
        position.advance(read_already);
        let stream = Stream::new(reader, Arc::clone(&outbox), position);
        let socket = WebSocket::from_partially_read(stream, read_already.to_vec(), Role::Server, Some(config));
        let ping_due = Instant::now() + Duration::from_millis(state.limits.ping_interval_ms);
        let counted = state.counters.socket();
        Self {
            state,
            outbox,
            socket,
            member,
            resumption: None,
            expiry: None,
            rates: None,
            timer: Box::pin(tokio::time::sleep_until(ping_due)),
            ping_due,
            awaiting_pong: false,
            alive_at: 0,
            probed_for: None,
            reading_paused: false,
            close_frame: None,
            counted,
            close_deadline: None,
        }
    }

    /// Reads, pings and writes waiting data until either side closes. The close frame follows the replies to everything
    /// that the client sent before it.
    async fn run(&mut self) {
        self.reading_paused = self.resumption.is_some();
        let mut next = self.read().await;
        while next != Next::Closed {
            let waiting = match self.outbox.flush() {
                OutboxState::Idle => false,
                OutboxState::Waiting => true,
                OutboxState::Closing(_) | OutboxState::Closed(_) => return,
            };
            if self.follow_request() == Next::Closed {
                break;
            }
            if !waiting && let Some(resumption) = self.resumption.take() {
                self.resume(resumption).await;
                continue;
            }
            // During a shutdown accepted messages are finished and nothing more is read.
            let reading = !self.state.is_ending() && self.resumption.is_none();
            let more = next == Next::Again;
            if more && reading && self.may_read() {
                tokio::task::yield_now().await;
                next = self.read().await;
                continue;
            }
            self.arm(waiting);
            next = match self.wake(reading, more, waiting).await {
                Wake::Readable => self.read().await,
                Wake::Outbox if more => Next::Again,
                Wake::Outbox => Next::Wait,
                Wake::Due => match self.tick().await {
                    Next::Wait if more => Next::Again,
                    next => next,
                },
                Wake::Gone => Next::Closed,
            };
        }
        if let Some((code, reason)) = self.close_frame.take() {
            self.wait_for_replies().await;
            self.outbox.close(code, &reason);
        }
    }

    /// Sends the next of what the client missed.
    async fn resume(&mut self, mut resumption: Resumption) {
        let Some(member) = &self.member else { return };
        let stops = |state: &ApiState| state.current_phase() >= Phase::Draining;
        if stops(&self.state) {
            return self.outbox.close(1001, &going_away_outside());
        }
        match resumption.step(member).await {
            Ok(Resumed::Live) => {}
            Ok(Resumed::Partly) => self.resumption = Some(resumption),
            // The store may be closed by now.
            Err(_) if stops(&self.state) => self.outbox.close_held(1001, &going_away_outside()),
            Err(error) => {
                tracing::error!(%error, "the messages that a client missed cannot be read: {error}");
                self.counted.end = SocketEnd::Error;
                self.outbox.close_held(1011, "the missed messages cannot be read");
            }
        }
    }

    /// Waits for the first event. A client that resumes is in no room, so a stop of the server has to reach it here.
    async fn wake(&mut self, reading: bool, more: bool, waiting: bool) -> Wake {
        let mut phase = self.resumption.is_some().then(|| self.state.phase());
        let wake = std::future::poll_fn(|context| self.poll_wake(context, reading, more, waiting));
        let Some(phase) = &mut phase else { return wake.await };
        tokio::select! {
            wake = wake => return wake,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
        }
        self.outbox.close(1001, &going_away_outside());
        Wake::Outbox
    }

    /// Polls by hand because a `select!` would enter and leave four wait lists for each
    /// frame. `more`: unhandled data is already in the buffer.
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

    /// Whether the client may be read: it and its room are below their limits in flight, and its outbox drains.
    fn may_read(&self) -> bool {
        self.resumption.is_none() && self.outbox_drains() && self.member.as_ref().is_none_or(Member::may_speak)
    }

    fn poll_may_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A socket that drains wakes this task as well.
        let ready =
            self.outbox_drains() && self.member.as_ref().is_none_or(|member| member.poll_may_speak(context).is_ready());
        if ready && std::mem::take(&mut self.reading_paused) {
            // The pause must not count toward frame_ms_max.
            self.socket.get_mut().position.begin_anew();
        }
        self.reading_paused = !ready;
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    fn outbox_drains(&self) -> bool {
        self.outbox.waiting_bytes() <= self.state.limits.outbox_bytes_max / 2
    }

    /// Sets the timer to the next deadline. It may fire too early, which is cheaper than moving it for every frame.
    fn arm(&mut self, waiting: bool) {
        let limits = &self.state.limits;
        let mut due = self.expiry.as_ref().map_or(self.ping_due, |expiry| self.ping_due.min(expiry.due_at()));
        if let Some(since) = waiting.then(|| self.outbox.waiting_since()).flatten() {
            due = due.min(Instant::from_std(since) + Duration::from_millis(limits.stall_ms_max));
        }
        // A client that is not read cannot finish its message.
        let is_read = !self.reading_paused && !self.state.is_ending();
        if let Some(begun) = is_read.then(|| self.socket.get_ref().position.begun()).flatten() {
            due = due.min(begun + Duration::from_millis(limits.frame_ms_max));
        }
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
    }

    /// Sends a ping, or closes the connection of a peer that is gone or too slow. Flushes and reads first: after a
    /// pause of the whole process a peer is judged by what it did meanwhile.
    async fn tick(&mut self) -> Next {
        let limits = &self.state.limits;
        let (stall, pong) = (Duration::from_millis(limits.stall_ms_max), Duration::from_millis(limits.pong_ms_max));
        self.outbox.flush();
        if self.outbox.drop_stalled(stall) {
            self.counted.end = SocketEnd::Stalled;
            return Next::Closed;
        }
        if let Some(due) = self.expiry.as_mut().and_then(Expiry::due)
            && self.give(due) == Next::Closed
        {
            return Next::Closed;
        }
        let now = Instant::now();
        let (mut next, mut has_unread) = (Next::Wait, false);
        // Nothing is read during a shutdown or while the client is paused.
        let is_read = !self.state.is_ending() && self.may_read();
        if is_read && (self.awaiting_pong && self.ping_due <= now || self.is_frame_overdue(now)) {
            next = self.read().await;
            if next == Next::Closed {
                return next;
            }
            has_unread = self.socket.get_ref().has_unread();
        }
        if is_read && !has_unread && !self.reading_paused && self.is_frame_overdue(now) {
            let reason =
                format!("the message did not arrive within frame_ms_max = {} ms", self.state.limits.frame_ms_max);
            return self.close_with(SocketEnd::BadFrame, 1008, reason);
        }
        if self.ping_due > now {
            return next;
        }
        if self.awaiting_pong && is_read && !has_unread && self.socket.get_ref().received == self.alive_at {
            self.counted.end = SocketEnd::NoPong;
            self.outbox.close(1008, &self.no_pong());
            return Next::Closed;
        }
        self.probed_for = None;
        self.ping(pong);
        next
    }

    fn is_frame_overdue(&self, now: Instant) -> bool {
        let frame = Duration::from_millis(self.state.limits.frame_ms_max);
        self.socket.get_ref().position.begun().is_some_and(|begun| begun + frame <= now)
    }

    /// Handles what the client has sent, up to `FRAMES_AT_ONCE` frames.
    async fn read(&mut self) -> Next {
        self.socket.get_mut().begin_turn();
        for _ in 0..FRAMES_AT_ONCE {
            if !self.may_read() {
                return Next::Again;
            }
            let frame = match self.socket.read() {
                Ok(frame) if self.is_too_fast(&frame) => match self.close_frame {
                    Some(_) => return Next::Closed,
                    None => continue,
                },
                Ok(frame) => frame,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return self.on_would_block(),
                Err(error) => return self.on_read_error(&error),
            };
            match frame {
                Message::Text(text) => {
                    if let Some(answer) = own_frames::answer(text.as_str(), &self.state, self.expiry.as_mut()) {
                        if self.give(answer) == Next::Closed {
                            return Next::Closed;
                        }
                    } else if let Some(member) = &self.member {
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
                    self.ping_due = Instant::now() + Duration::from_millis(self.state.limits.ping_interval_ms);
                }
                Message::Close(frame) => {
                    // Echoes the code (RFC 6455, section 5.5.1), which tungstenite has checked.
                    let code = frame.map_or(1000, |frame| frame.code.into());
                    return self.close_with(SocketEnd::Client, code, String::new());
                }
                // tungstenite answers pings itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Next::Again
    }

    /// Everything that was read has been handled.
    fn on_would_block(&mut self) -> Next {
        let stream = self.socket.get_ref();
        if stream.position.has_too_many_fragments() {
            let max = self.state.limits.fragments_max;
            let reason = format!("the message has more than fragments_max = {max} fragments");
            return self.close_with(SocketEnd::BadFrame, 1008, reason);
        }
        if stream.is_spent() { Next::Again } else { Next::Wait }
    }
}
