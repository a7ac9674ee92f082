//! A connection between handshake and session: it joins its room before its socket exists, so it misses no event. One that
//! resumes joins later, once it has received what its client missed.

use std::sync::Arc;

use hyper::upgrade::Upgraded;

use super::Session;
use super::linger::linger;
use super::own_frames::Expiry;
use super::rates::ConnectionRates;
use super::sink::SocketSink;
use super::transport;
use crate::chat::{ChatError, LastSeen, Member, Outbox, Permit, Resumption};
use crate::http::state::ApiState;
use ondol_host_model::{RoomId, Speaker};

/// A connection that is being upgraded. It is in its room already, unless it resumes; its outbox collects events for the socket to come.
pub(in crate::http) struct Joining {
    sink: Arc<SocketSink>,
    outbox: Arc<Outbox>,
    member: Option<Member>,
    resumption: Option<Resumption>,
    permit: Option<Permit>,
    expiry: Option<Expiry>,
    rates: Option<ConnectionRates>,
}

impl Joining {
    /// Adds a user's new connection to a room. `permit` counts it for that user until it is closed.
    pub(in crate::http) async fn join(
        state: &ApiState,
        room: RoomId,
        user: Arc<Speaker>,
        seen: Option<LastSeen>,
        permit: Permit,
        expiry: Option<Expiry>,
    ) -> Result<Self, ChatError> {
        let (sink, outbox) = SocketSink::with_outbox(state.limits.outbox_bytes_max);
        permit.attach(&outbox);
        let rates = Some(ConnectionRates::new(state, &user));
        let (member, resumption) = match seen {
            None => (state.chat.join(room, user, Arc::clone(&outbox)).await?, None),
            Some(seen) => {
                let (member, resumption) = state.chat.resume(room, user, Arc::clone(&outbox), seen).await?;
                (member, Some(resumption))
            }
        };
        Ok(Self { sink, outbox, member: Some(member), resumption, permit: Some(permit), expiry, rates })
    }

    /// A connection that only receives a close frame.
    pub(in crate::http) fn refused(state: &ApiState, code: u16, reason: &str) -> Self {
        let (sink, outbox) = SocketSink::with_outbox(state.limits.outbox_bytes_max);
        outbox.close(code, reason);
        Self { sink, outbox, member: None, resumption: None, permit: None, expiry: None, rates: None }
    }

    /// Serves the socket until it is closed.
    pub(in crate::http) async fn serve(self, state: Arc<ApiState>, upgraded: Upgraded) {
        let Some((reader, writer, read_already)) = transport::split(upgraded) else {
            tracing::error!("cannot serve a WebSocket: the upgraded connection is of an unknown kind");
            return;
        };
        self.sink.writer.get_or_init(|| writer);
        let is_refused = self.member.is_none();
        let mut session = Session::new(state, reader, self.outbox, self.member, &read_already);
        (session.expiry, session.rates, session.resumption) = (self.expiry, self.rates, self.resumption);
        drop(read_already);
        session.run().await;
        session.counted.end = session.end(is_refused);
        // The room learns of the departure now, even if the socket lingers.
        session.member = None;
        drop(self.permit);
        // A newcomer may take its place.
        session.probed_for = None;
        linger(&session.outbox, session.socket.get_ref().reader(), session.close_deadline()).await;
    }
}
