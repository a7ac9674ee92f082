//! A connection on its way from a handshake to a session: it is in its room before its socket is there, so it misses nothing.

use std::sync::Arc;

use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Session;
use super::wire::SocketWire;
use crate::chat::{ChatError, Member, Outbox, Permit};
use crate::http::{Edge, Paced};
use ondol_host_model::{RoomId, Speaker};

/// A connection that is being upgraded: in its room already, while its socket is still on the way.
pub(in crate::http) struct Joining {
    wire: Arc<SocketWire>,
    outbox: Arc<Outbox>,
    member: Option<Member>,
    permit: Option<Permit>,
}

impl Joining {
    /// Brings a user's new connection into a room. `permit` counts it among theirs until it is closed.
    pub(in crate::http) async fn join(
        edge: &Edge,
        room: RoomId,
        user: Arc<Speaker>,
        permit: Permit,
    ) -> Result<Self, ChatError> {
        let (wire, outbox) = SocketWire::with_outbox(edge.limits.outbox_bytes_max);
        let member = edge.chat.join(room, user, Arc::clone(&outbox)).await?;
        Ok(Self { wire, outbox, member: Some(member), permit: Some(permit) })
    }

    /// A connection that is only told why it is closed.
    pub(in crate::http) fn refused(edge: &Edge, code: u16, reason: &str) -> Self {
        let (wire, outbox) = SocketWire::with_outbox(edge.limits.outbox_bytes_max);
        outbox.close(code, reason);
        Self { wire, outbox, member: None, permit: None }
    }

    /// Serves the socket, now that it is there, until it is closed.
    pub(in crate::http) async fn serve(self, edge: Arc<Edge>, upgraded: Upgraded) {
        let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Paced<TcpStream>>>() else {
            tracing::error!("an upgraded connection is no TCP stream");
            return;
        };
        let (reader, writer) = io.into_inner().into_inner().into_split();
        self.wire.tcp.get_or_init(|| writer);
        let mut session = Session::new(edge, reader, self.outbox, self.member, &read_buf);
        drop(read_buf);
        session.talk().await;
        // The room hears of it now, the socket may linger.
        session.member = None;
        drop(self.permit);
        session.linger().await;
    }
}
