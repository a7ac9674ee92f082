//! Flow control: how many bytes of messages are in flight, and who waits until they are fewer. Knows nothing of sockets or
//! rooms.
//!
//! A message is in flight from when it is accepted until the last socket of its room has taken it, or it has failed. An
//! [`InFlight`] travels with it, and counts it until dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a message counts beside its bytes, so that empty ones are bounded as well.
const MESSAGE_BYTES: usize = 256;

/// A count of bytes in flight: those of a connection, of a room, or of all.
pub struct Flow {
    bytes: AtomicUsize,
    /// Those who wait are woken when the count falls below this, and when it falls to nothing.
    mark: usize,
    /// What counts the same bytes among others.
    whole: Option<Arc<Self>>,
    waiting: Mutex<Vec<Waker>>,
}

impl Flow {
    /// A count that is too high from `mark` bytes on.
    #[must_use]
    pub fn new(mark: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), mark, whole: None, waiting: Mutex::default() })
    }

    /// A count whose bytes count in `self` as well.
    #[must_use]
    pub fn part(self: &Arc<Self>, mark: usize) -> Arc<Self> {
        let whole = Some(Arc::clone(self));
        Arc::new(Self { bytes: AtomicUsize::new(0), mark, whole, waiting: Mutex::default() })
    }

    /// Counts a message of so many bytes.
    #[must_use]
    pub fn begin(self: &Arc<Self>, bytes: usize) -> InFlight {
        let bytes = bytes.saturating_add(MESSAGE_BYTES);
        self.add(bytes);
        InFlight { flow: Arc::clone(self), bytes }
    }

    /// The bytes in flight.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether the count is below its mark.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.bytes() < self.mark
    }

    /// Ready when `done`; until then the task is woken when the count has fallen below its mark or to nothing.
    pub fn poll_until(&self, context: &Context<'_>, done: impl Fn() -> bool) -> Poll<()> {
        if done() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        // It may have fallen before the task was in the list.
        if done() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if let Some(whole) = &self.whole {
            whole.add(bytes);
        }
    }

    fn subtract(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let now = before.saturating_sub(bytes);
        if now == 0 || (before >= self.mark && now < self.mark) {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
        if let Some(whole) = &self.whole {
            whole.subtract(bytes);
        }
    }
}

/// A message in flight, until dropped.
pub struct InFlight {
    flow: Arc<Flow>,
    bytes: usize,
}

impl InFlight {
    /// What it counts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts the message's event where that is the larger one, as it usually is. Gives how much was added.
    pub fn cover(&mut self, event_bytes: usize) -> usize {
        let more = event_bytes.saturating_add(MESSAGE_BYTES).saturating_sub(self.bytes);
        self.flow.add(more);
        self.bytes += more;
        more
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.flow.subtract(self.bytes);
    }
}
