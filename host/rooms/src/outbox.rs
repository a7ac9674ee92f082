//! What waits to be written to one connection. Knows the wire only as something that takes bytes or would block.
//!
//! Bytes go out at once when nothing waits before them, so a peer that reads costs no task and no copy. What a full
//! socket does not take is kept as a slice of the run that all members share. Such a slice keeps its messages in flight, so
//! those who speak are read less until it is taken. A peer that takes nothing for long, or for whom more waits than may, is
//! dropped, not the message: it comes back and asks for what it missed by `seq`.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};

use ondol_host_model::frame;

/// What a run in the queue takes beside its bytes.
const CHUNK_BYTES: usize = 64;

/// Something that takes bytes without waiting: a socket, outside of tests.
pub trait Wire: Send + Sync {
    /// Writes what fits, and says how much that was.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing fits now; any other for good.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Why a connection is being closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It read too slowly.
    TooSlow,
    /// The wire is broken.
    Broken,
    /// The edge asked for it.
    Asked,
}

/// Whether an outbox still takes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does, and nothing waits.
    Idle,
    /// It does, and some wait for the socket.
    Waiting,
    /// It does not, and what still has to go out waits for the socket.
    Closing(Why),
    /// It does not, and nothing waits.
    Closed(Why),
}

/// The way to one connection.
pub struct Outbox {
    /// Tells it from all others of this process.
    pub id: u64,
    wire: Arc<dyn Wire>,
    bytes_max: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// When the socket last took some of what waits, or it began to wait.
    since: Option<Instant>,
    closing: Option<Why>,
    /// Something has come to wait, or it began to close, since the one task that waits for it has looked.
    changed: bool,
    waker: Option<Waker>,
}

impl Outbox {
    /// An empty outbox before `wire`. More than `bytes_max` bytes may wait only by what came last.
    #[must_use]
    pub fn new(wire: Arc<dyn Wire>, bytes_max: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, wire, bytes_max, queue: Mutex::default() }
    }

    /// Sends a run of whole frames, or keeps what the socket does not take now.
    pub fn send(&self, run: &Bytes) {
        let mut queue = self.queue();
        if queue.closing.is_some() {
            return;
        }
        let mut written = 0;
        if queue.waiting.is_empty() {
            match self.wire.try_write(run) {
                Ok(all) if all == run.len() => return,
                Ok(some) => written = some,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    queue.break_off();
                    return Queue::wake(queue);
                }
            }
        }
        // What waited before this run tells whether the peer reads; how long the run is does not.
        if queue.bytes > self.bytes_max {
            let max = self.bytes_max;
            queue.drop_peer(&format!("too slow to read: more than outbox_bytes_max = {max} bytes waited"));
        } else {
            let rest = run.slice(written..);
            queue.push(rest);
        }
        Queue::wake(queue);
    }

    /// Sends a close frame after what waits, and takes nothing more.
    pub fn close(&self, code: u16, reason: &str) {
        let mut queue = self.queue();
        if queue.closing.is_none() {
            queue.closing = Some(Why::Asked);
            queue.push_close(code, reason);
        }
        Queue::wake(queue);
    }

    /// Writes what waits, as far as the socket takes it. For the one task that waits for the socket.
    pub fn flush(&self) -> State {
        let mut queue = self.queue();
        let mut taken = false;
        while let Some(front) = queue.waiting.front_mut() {
            match self.wire.try_write(front) {
                Ok(written) => {
                    taken |= written > 0;
                    front.advance(written);
                    let done = front.is_empty();
                    queue.bytes -= written;
                    if done {
                        queue.bytes -= CHUNK_BYTES;
                        queue.waiting.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => queue.break_off(),
            }
        }
        if queue.waiting.is_empty() {
            queue.since = None;
        } else if taken {
            queue.since = Some(Instant::now());
        }
        queue.state()
    }

    /// When the socket last took some of what waits, or it began to wait. None: nothing waits.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.queue().since
    }

    /// How many bytes wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue().bytes
    }

    /// Closes a peer whose socket has taken nothing for `stall` although something waited. To be asked after a
    /// [`flush`](Self::flush), so that a pause of the process itself closes no peer.
    pub fn drop_stalled(&self, stall: Duration) -> bool {
        let mut queue = self.queue();
        if queue.closing.is_some() || queue.since.is_none_or(|since| since.elapsed() < stall) {
            return false;
        }
        queue.drop_peer(&format!("too slow to read: took nothing for stall_ms_max = {} ms", stall.as_millis()));
        Queue::wake(queue);
        true
    }

    /// Lets go of what waits, once it will not be written any more.
    pub fn abandon(&self) {
        self.queue().break_off();
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.queue().state()
    }

    /// Ready when something has come to wait, or it began to close, since the last time. For the one task that waits for
    /// the socket.
    pub fn poll_changed(&self, context: &Context<'_>) -> Poll<()> {
        let mut queue = self.queue();
        if std::mem::take(&mut queue.changed) {
            return Poll::Ready(());
        }
        if !queue.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            queue.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Lets the waiting task know, without holding it up by the lock.
    fn wake(mut queue: MutexGuard<'_, Self>) {
        queue.changed = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn push_close(&mut self, code: u16, reason: &str) {
        let mut frame = BytesMut::new();
        frame::close(&mut frame, code, reason);
        self.push(frame.freeze());
    }

    fn push(&mut self, rest: Bytes) {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += rest.len() + CHUNK_BYTES;
        self.waiting.push_back(rest);
    }

    /// The socket may stand in the middle of a frame, so the run that it is in goes out whole before the close frame;
    /// what came after is left out. A copy of that run, so that its messages are not in flight any more.
    fn drop_peer(&mut self, reason: &str) {
        let begun = self.waiting.pop_front();
        self.waiting.clear();
        self.bytes = 0;
        if let Some(begun) = begun {
            self.push(Bytes::copy_from_slice(&begun));
        }
        self.closing = Some(Why::TooSlow);
        self.push_close(1008, reason);
    }

    fn break_off(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
        self.since = None;
        self.closing = Some(Why::Broken);
    }

    fn state(&self) -> State {
        match (self.closing, self.waiting.is_empty()) {
            (None, true) => State::Idle,
            (None, false) => State::Waiting,
            (Some(why), false) => State::Closing(why),
            (Some(why), true) => State::Closed(why),
        }
    }
}
