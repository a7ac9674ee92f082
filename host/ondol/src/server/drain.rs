//! The time between a signal to stop and the stop: first the server says that it is not ready, while it goes on; then it closes
//! its sockets one after another.

use std::time::Duration;

use tokio::sync::watch;

use crate::chat::Chat;
use crate::config::Limits;
use crate::http::Phase;

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
    pub(super) async fn warn(self, phase: &watch::Sender<Phase>) {
        if self.half.is_zero() {
            return;
        }
        phase.send_replace(Phase::NotReady);
        let ms = self.half.as_millis();
        tracing::info!(ms, "draining: not ready, and accepting connections for another {ms} ms");
        tokio::time::sleep(self.half).await;
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
