//! Flow control: how many bytes of messages are in flight, and which tasks wait until there are fewer.
//!
//! A message is in flight from when it is accepted until the last socket of its room has taken it, or until it fails.
//! An [`InFlight`] travels with it and counts it until dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a message counts in addition to its bytes, so that the number of empty messages is bounded as well.
const MESSAGE_BYTES: usize = 256;

/// A count of bytes in flight: of a connection, of a room, or of the whole server.
pub struct Flow {
    bytes: AtomicUsize,
    /// Waiting tasks are woken when the count falls below this, and when it reaches zero.
    threshold: usize,
    /// A larger count that includes these bytes.
    parent: Option<Arc<Self>>,
    waiting: Mutex<Vec<Waker>>,
}

impl Flow {
    /// A count that is too high from `threshold` bytes on.
    #[must_use]
    pub fn new(threshold: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), threshold, parent: None, waiting: Mutex::default() })
    }

    /// A count whose bytes count in `self` as well.
    #[must_use]
    pub fn child(self: &Arc<Self>, threshold: usize) -> Arc<Self> {
        let parent = Some(Arc::clone(self));
        Arc::new(Self { bytes: AtomicUsize::new(0), threshold, parent, waiting: Mutex::default() })
    }

    /// Counts a message of `bytes` bytes.
    #[must_use]
    pub fn begin(self: &Arc<Self>, bytes: usize) -> InFlight {
        let bytes = bytes.saturating_add(MESSAGE_BYTES);
        self.add(bytes);
        InFlight { flow: Arc::clone(self), bytes }
    }

    /// The number of bytes in flight.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether the count is below its threshold.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.bytes() < self.threshold
    }

    /// Ready if `done`; otherwise the task is woken when the count falls below its threshold or to zero.
    pub fn poll_until(&self, context: &Context<'_>, done: impl Fn() -> bool) -> Poll<()> {
        if done() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        // The count may have fallen before the task was in the list.
        if done() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if let Some(parent) = &self.parent {
            parent.add(bytes);
        }
    }

    fn subtract(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let now = before.saturating_sub(bytes);
        if now == 0 || (before >= self.threshold && now < self.threshold) {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.into_iter().for_each(Waker::wake);
        }
        if let Some(parent) = &self.parent {
            parent.subtract(bytes);
        }
    }
}

/// A message in flight, until dropped.
pub struct InFlight {
    flow: Arc<Flow>,
    bytes: usize,
}

impl InFlight {
    /// The number of bytes that it counts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Raises the count to the size of the message's event, which is usually larger. Returns how much was added.
    pub fn grow_to(&mut self, event_bytes: usize) -> usize {
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
