//! Stored messages as REST answers and clients that resume receive them: in the host's form, or as the `events` handler writes
//! them. Knows nothing of how they are chosen.
//!
//! A page in the handler's words costs a call for each message. They are made on a thread for blocking work, so that they hold
//! up no worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::ChatError;
use crate::config::{Config, HistoryForm};
use ondol_host_handlers::{HandlerKind, Release};
use ondol_host_model::{Message, RequestId, Speaker, trace};
use ondol_host_store::Page;

/// How many pages may be written at once, beyond as many as there may be slow calls: so a slow page holds up no quick one.
const QUICK_PAGES_MAX: usize = 4;

/// A stored message as it is shown.
#[derive(Debug)]
pub enum Shown {
    /// In the host's form.
    Message(Message),
    /// What the `events` handler wrote.
    Event(Box<RawValue>),
}

impl Shown {
    /// An event. It is JSON: the host has checked every payload.
    pub(super) fn event(payload: String) -> Self {
        Self::Event(RawValue::from_string(payload).unwrap_or_default())
    }
}

/// Writes pages of stored messages.
pub(super) struct History {
    pub(super) form: HistoryForm,
    turns: Semaphore,
    bounds: Bounds,
}

/// Where a page ends, unless it has no message yet.
#[derive(Clone, Copy)]
struct Bounds {
    bytes_max: usize,
    time_max: Duration,
}

impl History {
    pub(super) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let deadline_ms = limits.of(HandlerKind::Events.name()).handler_deadline_ms;
        Self {
            form: config.history,
            turns: Semaphore::new(limits.handler_slow_calls_max + QUICK_PAGES_MAX),
            bounds: Bounds { bytes_max: limits.page_bytes_max, time_max: Duration::from_millis(deadline_ms) },
        }
    }

    /// The messages of a page in the words of the `events` handler. The page ends before a message that exceeds its bounds, or
    /// that the handler fails at.
    ///
    /// # Errors
    ///
    /// [`ChatError::HandlerFault`] when the page would be empty: the handler fails at the message that comes first on a page
    /// [`Page::After`], or last on another one.
    pub(super) async fn write(
        &self,
        release: Arc<Release>,
        request: RequestId,
        mut messages: Vec<Message>,
        page: Page,
    ) -> Result<Vec<Shown>, ChatError> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(ChatError::Busy) };
        let (bounds, trace) = (self.bounds, trace::current());
        let write = move || {
            let _entered = trace::enter(trace);
            share_senders(&mut messages);
            let event = |message: &Message| release.stored_message(&request, message);
            if matches!(page, Page::After(_)) {
                return bounds.fill(messages.iter(), event);
            }
            // The last messages count: such a page loses its oldest ones.
            bounds.fill(messages.iter().rev(), event).map(|mut events| {
                events.reverse();
                events
            })
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(|_| ChatError::HandlerFault)?;
        Ok(written.map_err(|_| ChatError::HandlerFault)?.into_iter().map(Shown::event).collect())
    }

    /// The events of messages that a client missed.
    ///
    /// # Errors
    ///
    /// [`ChatError::Busy`] when the chat closes.
    pub(super) async fn replay(
        &self,
        release: Arc<Release>,
        mut messages: Vec<Message>,
    ) -> Result<Vec<String>, ChatError> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(ChatError::Busy) };
        let trace = trace::current();
        let write = move || {
            let _entered = trace::enter(trace);
            share_senders(&mut messages);
            release.replay(&messages)
        };
        tokio::task::spawn_blocking(write).await.map_err(|_| ChatError::HandlerFault)
    }
}

/// Gives messages of the same sender one number for it: the handler asks the host once for each number.
fn share_senders(messages: &mut [Message]) {
    let mut known: Vec<Arc<Speaker>> = Vec::new();
    for message in messages {
        match known.iter().find(|sender| ****sender == **message.sender) {
            Some(sender) => message.sender = Arc::clone(sender),
            None => known.push(Arc::clone(&message.sender)),
        }
    }
}

impl Bounds {
    /// The events of messages, in their order, for as long as there is room.
    fn fill<M, F>(
        self,
        messages: impl Iterator<Item = M>,
        event: impl Fn(M) -> Result<String, F>,
    ) -> Result<Vec<String>, F> {
        let started = Instant::now();
        let (mut events, mut bytes) = (Vec::new(), 0_usize);
        for message in messages {
            let event = match event(message) {
                Ok(event) => event,
                Err(fault) if events.is_empty() => return Err(fault),
                Err(_) => break,
            };
            // With the comma after it.
            bytes = bytes.saturating_add(event.len() + 1);
            if bytes > self.bytes_max && !events.is_empty() {
                break;
            }
            events.push(event);
            if started.elapsed() >= self.time_max {
                break;
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(bytes_max: usize, time_max: Duration, lengths: &[usize]) -> Result<usize, usize> {
        // A message of no length is one that the handler fails at.
        let event = |(index, length): (usize, &usize)| if *length == 0 { Err(index) } else { Ok("x".repeat(*length)) };
        Bounds { bytes_max, time_max }.fill(lengths.iter().enumerate(), event).map(|events| events.len())
    }

    #[test]
    fn a_page_ends_at_its_bounds_and_holds_one_message_at_least() {
        assert_eq!(fill(20, Duration::MAX, &[9, 9, 1]), Ok(2));
        assert_eq!(fill(19, Duration::MAX, &[9, 9, 1]), Ok(1));
        assert_eq!(fill(1, Duration::MAX, &[9, 9]), Ok(1));
        assert_eq!(fill(100, Duration::ZERO, &[9, 9]), Ok(1));
        assert_eq!(fill(1, Duration::ZERO, &[]), Ok(0));
    }

    #[test]
    fn a_page_ends_before_a_fault_and_fails_when_it_would_be_empty() {
        assert_eq!(fill(100, Duration::MAX, &[1, 1, 0, 1]), Ok(2));
        assert_eq!(fill(100, Duration::MAX, &[0, 1]), Err(0));
    }
}
