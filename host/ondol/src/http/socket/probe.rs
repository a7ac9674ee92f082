//! What others ask of a session: to close once its client has all replies, and to find out whether its peer is alive.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::{Next, Session};
use crate::chat::Request;
use crate::http::figures::SocketEnd;
use ondol_host_model::frame;

impl Session {
    /// Does what was requested since the last call.
    pub(super) fn follow_request(&mut self) -> Next {
        if self.probed_for.is_some() && self.socket.get_ref().received != self.alive_at {
            self.probed_for = None;
        }
        match self.outbox.take_request() {
            None => Next::Wait,
            Some(Request::Close(code, reason)) => self.close_with(SocketEnd::Stopping, code, reason),
            Some(Request::Probe(asked)) => {
                self.ping(Duration::from_millis(self.state.limits.probe_ms_max));
                self.probed_for = Some(asked);
                Next::Wait
            }
        }
    }

    /// Sends a ping. Without a sign of life within `time_max` the peer is gone.
    pub(super) fn ping(&mut self, time_max: Duration) {
        let mut ping = BytesMut::new();
        frame::ping(&mut ping);
        self.outbox.send(&ping.freeze());
        self.awaiting_pong = true;
        self.alive_at = self.socket.get_ref().received;
        self.ping_due = Instant::now() + time_max;
    }

    /// The reason for closing a peer that did not answer the last ping.
    pub(super) fn no_pong(&self) -> String {
        let limits = &self.state.limits;
        match self.probed_for {
            Some(_) => format!("no pong within probe_ms_max = {} ms", limits.probe_ms_max),
            None => format!("no pong within pong_ms_max = {} ms", limits.pong_ms_max),
        }
    }
}
