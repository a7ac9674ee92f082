//! How a session comes to its end: the close code, and what is still answered before it.

use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

use super::{Next, Session};
use crate::chat::{CloseReason, OutboxState};
use crate::http::figures::SocketEnd;
use crate::http::state::Phase;

impl Session {
    /// Chooses the close code for a frame that cannot be read (RFC 6455, section 7.4.1).
    pub(super) fn on_read_error(&mut self, error: &Error) -> Next {
        self.close_frame = match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                let max = self.state.limits.frame_bytes_max;
                Some((1009, format!("the message is larger than frame_bytes_max = {max} bytes")))
            }
            Error::Utf8(_) => Some((1007, "the text message is not UTF-8".to_owned())),
            // The client has shut down its sending side and may still be reading.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                if !self.socket.get_ref().position.is_unfinished() =>
            {
                Some((1000, String::new()))
            }
            Error::Protocol(error) => Some((1002, error.to_string())),
            // Closed cleanly, or gone.
            _ => None,
        };
        // A socket that ends without a close frame counts as lost.
        if self.close_frame.as_ref().is_some_and(|(code, _)| *code != 1000) {
            self.counted.end = SocketEnd::BadFrame;
        }
        Next::Closed
    }

    /// Ends the session with a close frame, once every frame of the client has its reply.
    pub(super) fn close_with(&mut self, end: SocketEnd, code: u16, reason: String) -> Next {
        self.counted.end = end;
        self.close_frame = Some((code, reason));
        Next::Closed
    }

    /// Why it has ended, for the figures.
    pub(super) fn end(&self, is_refused: bool) -> SocketEnd {
        let end = self.counted.end;
        match self.outbox.state() {
            _ if is_refused => SocketEnd::Refused,
            OutboxState::Closing(CloseReason::TooSlow) | OutboxState::Closed(CloseReason::TooSlow)
                if end != SocketEnd::Stalled =>
            {
                SocketEnd::Slow
            }
            // Nothing here has asked for it, so the server as a whole did.
            OutboxState::Closing(CloseReason::Asked) | OutboxState::Closed(CloseReason::Asked)
                if end == SocketEnd::Lost && self.state.current_phase() >= Phase::Draining =>
            {
                SocketEnd::Stopping
            }
            _ => end,
        }
    }

    /// Waits until every frame of the client has its reply, for at most close_ms_max.
    pub(super) async fn wait_for_replies(&mut self) {
        let end = Instant::now() + Duration::from_millis(self.state.limits.close_ms_max);
        self.close_deadline = Some(end);
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

    /// When the closing handshake has to be over.
    pub(super) fn close_deadline(&self) -> Instant {
        let close = Duration::from_millis(self.state.limits.close_ms_max);
        self.close_deadline.unwrap_or_else(|| Instant::now() + close)
    }
}
