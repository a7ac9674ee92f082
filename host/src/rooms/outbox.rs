//! What waits to be written to one connection. Knows the wire only as something that takes bytes or would block.
//!
//! Bytes go out at once when nothing waits before them, so a peer that reads costs no task and no copy. What a full
//! socket does not take is kept as a slice of the run that all members share, up to a bound. Past the bound the peer is
//! dropped, not the message: it comes back and asks for what it missed by `seq`.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes, BytesMut};

use crate::frame;

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
            self.drop_peer(&mut queue);
        } else {
            let rest = run.slice(written..);
            queue.bytes += rest.len() + CHUNK_BYTES;
            queue.waiting.push_back(rest);
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
        while let Some(front) = queue.waiting.front_mut() {
            match self.wire.try_write(front) {
                Ok(written) => {
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
        queue.state()
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

    /// The socket may stand in the middle of a frame, so the run that it is in goes out whole before the close frame;
    /// what came after is left out. The room's other runs are shared, so this keeps no memory of the peer's own.
    fn drop_peer(&self, queue: &mut Queue) {
        queue.waiting.truncate(1);
        queue.bytes = queue.waiting.iter().map(|begun| begun.len() + CHUNK_BYTES).sum();
        queue.closing = Some(Why::TooSlow);
        queue.push_close(1008, &format!("too slow to read: more than outbox_bytes_max = {} waited", self.bytes_max));
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
        self.bytes += frame.len() + CHUNK_BYTES;
        self.waiting.push_back(frame.freeze());
    }

    fn break_off(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
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
