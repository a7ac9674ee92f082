//! The time between a signal to stop and the stop: first the server says that it is not ready, while it goes on; then it closes
//! its sockets one after another.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::unanswered::Unanswered;
use crate::chat::Chat;
use crate::config::Limits;
use crate::http::Phase;

/// How long a server that ends at once waits for connections without an answer.
const SETTLE_AT_ONCE_MAX: Duration = Duration::from_millis(250);

/// How long each half may take.
#[derive(Clone, Copy)]
pub(super) struct Drain {
    half: Duration,
}

impl Drain {
    /// None: everything ends at once.
    pub(super) const NONE: Self = Self { half: Duration::ZERO };

    /// As configured.
    pub(super) fn new(limits: &Limits) -> Self {
        Self { half: Duration::from_millis(limits.drain_ms / 2) }
    }

    /// Says that the server is not ready, for so long that a gateway notices.
    pub(super) async fn warn(self, phase: &watch::Sender<Phase>, chat: &Chat) {
        if self.half.is_zero() {
            return;
        }
        phase.send_replace(Phase::NotReady);
        chat.announce_drain();
        let ms = self.half.as_millis();
        tracing::info!(ms, "draining: not ready, and accepting connections for another {ms} ms");
        tokio::time::sleep(self.half).await;
    }

    /// Waits until every connection that was accepted has an answer, for at most a part of the second half. Returns the rest.
    ///
    /// Otherwise one that was accepted at the last moment would be reset with its request unread.
    pub(super) async fn settle(self, unanswered: &Unanswered) -> Self {
        let max = if self.half.is_zero() { SETTLE_AT_ONCE_MAX } else { self.half / 2 };
        let begun = Instant::now();
        let _ = timeout(max, unanswered.none()).await;
        Self { half: self.half.saturating_sub(begun.elapsed()) }
    }

    /// Closes the sockets one after another. Returns earlier than after half of the time when they are few.
    pub(super) async fn close_sockets(self, phase: &watch::Sender<Phase>, chat: &Chat) {
        if self.half.is_zero() {
            return;
        }
        phase.send_replace(Phase::Draining);
        chat.drain(self.half).await;
    }
}
