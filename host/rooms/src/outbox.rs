//! The frames that wait for one connection. Knows the socket only as a sink that takes bytes or would block.
//!
//! If nothing waits, frames are written at once, so a peer that reads costs no task and no copy. What a full socket
//! does not take is kept as a slice of the buffer that all members share. The slice keeps its messages in flight, so
//! the speakers of the room are read less until the socket takes it. A peer whose socket takes nothing for long, or for
//! which too much waits, is disconnected, and no message is dropped for the others: the peer reconnects and asks for
//! what it missed by `seq`.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};

use super::figures::WaitingBytes;
use ondol_host_model::frame;

/// What a chunk in the queue costs in addition to its bytes.
const CHUNK_BYTES: usize = 64;

/// Takes the bytes of frames without waiting. A socket, except in tests.
pub trait FrameSink: Send + Sync {
    /// Writes what fits, and returns how much that was. The next call begins with the bytes that did not fit: TLS may have
    /// encrypted some of them.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing fits now; any other error is final.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer reads too slowly.
    TooSlow,
    /// The socket is broken.
    Broken,
    /// The caller asked for it.
    Asked,
}

/// Whether an outbox accepts frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxState {
    /// It accepts frames, and none wait.
    Idle,
    /// It accepts frames, and some wait for the socket, or will if they are sent.
    Waiting,
    /// It rejects frames, and the last ones wait for the socket.
    Closing(CloseReason),
    /// It rejects frames, and none wait.
    Closed(CloseReason),
}

/// What the task that waits for the socket is asked to do.
pub enum Request {
    /// Close with this code and reason, once every frame of the client has its reply.
    Close(u16, String),
    /// Find out whether the peer is alive, and drop this once that is known.
    Probe(Arc<dyn Any + Send + Sync>),
}

/// The frames that wait for one connection.
pub struct Outbox {
    /// Unique in this process.
    pub id: u64,
    sink: Arc<dyn FrameSink>,
    bytes_max: usize,
    /// There is a request: looked at for each frame, which must cost nothing.
    is_requested: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Chunk>,
    /// The bytes that wait, without those of a replay.
    bytes: WaitingBytes,
    /// Frames are held back: how many chunks the replay that they wait for comes after.
    held: Option<usize>,
    /// When the socket last took something, or when the first frame began to wait.
    since: Option<Instant>,
    closing: Option<CloseReason>,
    /// A frame began to wait, closing began, or something was requested, since the last [`Outbox::poll_changed`].
    changed: bool,
    waker: Option<Waker>,
    request: Option<Request>,
}

/// Frames that wait.
struct Chunk {
    frames: Bytes,
    /// It is paced by the socket, so it does not count toward `bytes_max`.
    is_replay: bool,
}

impl Outbox {
    /// An empty outbox of `sink`. It accepts frames while at most `bytes_max` bytes wait.
    #[must_use]
    pub fn new(sink: Arc<dyn FrameSink>, bytes_max: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, sink, bytes_max, is_requested: AtomicBool::new(false), queue: Mutex::default() }
    }

    /// Sends whole frames, and keeps what the socket does not take now. False: it takes none any more.
    pub fn send(&self, frames: &Bytes) -> bool {
        let mut queue = self.queue();
        if queue.closing.is_some() {
            return false;
        }
        let mut written = 0;
        if queue.waiting.is_empty() && queue.held.is_none() {
            match self.sink.try_write(frames) {
                Ok(all) if all == frames.len() => return true,
                Ok(some) => written = some,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    queue.discard();
                    Queue::wake(queue);
                    return false;
                }
            }
        }
        // What waited before these frames tells whether the peer reads; the size of the frames does not.
        let takes = queue.bytes.get() <= self.bytes_max;
        if takes {
            let rest = frames.slice(written..);
            queue.push(rest);
        } else {
            let max = self.bytes_max;
            queue.close_slow_peer(&format!("too slow to read: more than outbox_bytes_max = {max} bytes waited"));
        }
        Queue::wake(queue);
        takes
    }

    /// Holds back what is sent from now on, until [`release`](Self::release).
    pub fn hold(&self) {
        let mut queue = self.queue();
        queue.held = Some(queue.waiting.len());
    }

    /// Sends `frames` ahead of what was held back, if anything was. They do not count toward `bytes_max`.
    pub fn release(&self, frames: Bytes) {
        let mut queue = self.queue();
        let before = queue.held.take().unwrap_or(queue.waiting.len());
        let is_cut = matches!(queue.closing, Some(CloseReason::TooSlow | CloseReason::Broken));
        if !is_cut && !frames.is_empty() {
            queue.since.get_or_insert_with(Instant::now);
            queue.waiting.insert(before, Chunk { frames, is_replay: true });
        }
        Queue::wake(queue);
    }

    /// Sends a close frame after what waits, and rejects frames from now on.
    pub fn close(&self, code: u16, reason: &str) {
        let mut queue = self.queue();
        if queue.closing.is_none() {
            queue.closing = Some(CloseReason::Asked);
            queue.push_close(code, reason);
        }
        Queue::wake(queue);
    }

    /// Asks the task that waits for the socket. A probe does not replace a request to close.
    pub fn request(&self, request: Request) {
        let mut queue = self.queue();
        if !matches!(queue.request, Some(Request::Close(..))) {
            queue.request = Some(request);
        }
        self.is_requested.store(true, Ordering::Release);
        Queue::wake(queue);
    }

    /// Takes what was requested.
    pub fn take_request(&self) -> Option<Request> {
        if !self.is_requested.load(Ordering::Acquire) {
            return None;
        }
        let mut queue = self.queue();
        self.is_requested.store(false, Ordering::Release);
        queue.request.take()
    }

    /// Discards what was held back, and closes: without what should come ahead of it, it would be a gap.
    pub fn close_held(&self, code: u16, reason: &str) {
        let mut queue = self.queue();
        if let Some(held) = queue.held.take() {
            let close = queue.closing.is_some().then(|| queue.waiting.pop_back()).flatten();
            let before = held.min(queue.waiting.len());
            for Chunk { frames, .. } in queue.waiting.split_off(before) {
                queue.bytes.subtract(frames.len() + CHUNK_BYTES);
            }
            queue.waiting.extend(close);
        }
        drop(queue);
        self.close(code, reason);
    }

    /// Writes what waits, as far as the socket takes it. For the one task that waits for the socket.
    pub fn flush(&self) -> OutboxState {
        let mut queue = self.queue();
        let mut taken = false;
        while queue.held.is_none()
            && let Some(Chunk { frames, is_replay }) = queue.waiting.front_mut()
        {
            match self.sink.try_write(frames) {
                Ok(written) => {
                    taken |= written > 0;
                    frames.advance(written);
                    let (done, is_counted) = (frames.is_empty(), !*is_replay);
                    if is_counted {
                        queue.bytes.subtract(written + if done { CHUNK_BYTES } else { 0 });
                    }
                    if done {
                        queue.waiting.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => queue.discard(),
            }
        }
        if queue.waiting.is_empty() {
            queue.since = None;
        } else if taken {
            queue.since = Some(Instant::now());
        }
        queue.state()
    }

    /// When the socket last took something, or when the first frame began to wait. None: nothing waits.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.queue().since
    }

    /// The number of bytes that wait, without those of a replay.
    pub fn waiting_bytes(&self) -> usize {
        self.queue().bytes.get()
    }

    /// Closes a peer whose socket has taken nothing for `stall` although something waited. Call it after a
    /// [`flush`](Self::flush), so that a pause of the whole process closes no peer.
    pub fn drop_stalled(&self, stall: Duration) -> bool {
        let mut queue = self.queue();
        if queue.closing.is_some() || queue.since.is_none_or(|since| since.elapsed() < stall) {
            return false;
        }
        queue.close_slow_peer(&format!("too slow to read: took nothing for stall_ms_max = {} ms", stall.as_millis()));
        Queue::wake(queue);
        true
    }

    /// Discards what waits, because it will not be written any more.
    pub fn abandon(&self) {
        self.queue().discard();
    }

    /// Whether it accepts frames, and whether any wait.
    pub fn state(&self) -> OutboxState {
        self.queue().state()
    }

    /// Ready if a frame began to wait, closing began, or something was requested, since the last call. For the one task
    /// that waits for the socket.
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
    /// Wakes the waiting task, after the lock is released.
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
        self.bytes.add(rest.len() + CHUNK_BYTES);
        self.waiting.push_back(Chunk { frames: rest, is_replay: false });
    }

    /// Begins to close. The socket may have taken half a frame, so the chunk that was begun is sent whole before the
    /// close frame, and the others are discarded. The chunk is copied, so that its messages are no longer in flight.
    fn close_slow_peer(&mut self, reason: &str) {
        // What is held back is not begun.
        let begun = self.waiting.pop_front().filter(|_| self.held != Some(0));
        self.waiting.clear();
        self.bytes.clear();
        self.held = None;
        if let Some(Chunk { frames, .. }) = begun {
            self.push(Bytes::copy_from_slice(&frames));
        }
        self.closing = Some(CloseReason::TooSlow);
        self.push_close(1008, reason);
    }

    /// Discards everything: the socket is broken.
    fn discard(&mut self) {
        self.waiting.clear();
        self.bytes.clear();
        self.held = None;
        self.since = None;
        self.closing = Some(CloseReason::Broken);
    }

    fn state(&self) -> OutboxState {
        match (self.closing, self.waiting.is_empty() && self.held.is_none()) {
            (None, true) => OutboxState::Idle,
            (None, false) => OutboxState::Waiting,
            (Some(reason), false) => OutboxState::Closing(reason),
            (Some(reason), true) => OutboxState::Closed(reason),
        }
    }
}
