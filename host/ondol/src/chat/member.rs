//! A connection in a room, as the edge holds it: what its client sends, and when the client may send more.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::reply::Asker;
use super::room_queue::RoomQueue;
use super::say;
use ondol_host_handlers::Handlers;
use ondol_host_model::trace::{self, Outcome};
use ondol_host_model::{Frame, RoomId, Seq, Speaker};
use ondol_host_rooms::Outbox;
use ondol_host_store::StoreError;

/// A connection in a room, until dropped.
pub struct Member {
    handlers: Arc<Handlers>,
    room: Arc<RoomQueue>,
    user: Arc<Speaker>,
    asker: Arc<Asker>,
}

impl Member {
    /// Brings the connection into the room.
    pub(super) fn join(
        handlers: &Arc<Handlers>,
        room: Arc<RoomQueue>,
        user: Arc<Speaker>,
        outbox: Arc<Outbox>,
    ) -> Self {
        let member = Self::outside(handlers, room, user, outbox);
        member.enter();
        member
    }

    /// A connection that receives nothing of the room yet.
    pub(super) fn outside(
        handlers: &Arc<Handlers>,
        room: Arc<RoomQueue>,
        user: Arc<Speaker>,
        outbox: Arc<Outbox>,
    ) -> Self {
        let flow = room.flow.child(room.pipeline.limits.speaker_bytes_max);
        Self { handlers: Arc::clone(handlers), room, user, asker: Asker::new(outbox, flow) }
    }

    /// Brings it in. Returns the last message that it does not receive, if it is known.
    pub(super) fn enter(&self) -> Option<Seq> {
        self.room.join(&self.user, &self.asker.outbox, self.handlers.for_room(self.room.id))
    }

    /// The room's number.
    pub(super) fn room(&self) -> RoomId {
        self.room.id
    }

    /// Has the room read what its home may have said without being heard here.
    pub(super) fn catch_up(&self) {
        self.room.catch_up();
    }

    /// Where its frames go.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.asker.outbox
    }

    /// The last message that was sent to the room.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn last_sent(&self) -> Result<Seq, StoreError> {
        self.room.last_sent().await
    }

    /// Handles a frame of this connection's client. Returns when the client may send the next, after a pause for one whose handler
    /// failed at a high cost.
    pub async fn say(&self, frame: Frame<'_>) {
        self.asker.before_next();
        let release = self.handlers.for_room(self.room.id);
        let reply = self.asker.next();
        match trace::current().and_then(|socket| socket.of_frame()) {
            None => say::say(&self.room, release, &self.user, frame, reply).await,
            Some(trace) => {
                let room = self.room.id;
                let fields =
                    vec![("ondol.room", room.0.into()), ("ondol.request_id", reply.request.to_string().into())];
                trace.finish(|| Outcome { name: "frame".to_owned(), fields, error: None });
                // In memory of its own: every connection's task is as large as all that it may wait for.
                Box::pin(trace::within(Some(trace), say::say(&self.room, release, &self.user, frame, reply))).await;
            }
        }
        self.asker.rest().await;
    }

    /// Whether the client may be read: it has less than `speaker_bytes_max` in flight, and its room is not too full for it.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        self.asker.flow.is_low() && self.room.may_speak(self.asker.flow.bytes() > 0)
    }

    /// Ready when the client may be read.
    pub fn poll_may_speak(&self, context: &Context<'_>) -> Poll<()> {
        let may_speak = || self.may_speak();
        match self.asker.flow.poll_until(context, may_speak) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.room.flow.poll_until(context, may_speak),
        }
    }

    /// Ready when every frame of the client has its outcome: its event is sent to the room, or its sender knows why not.
    pub fn poll_settled(&self, context: &Context<'_>) -> Poll<()> {
        self.asker.flow.poll_until(context, || self.asker.flow.bytes() == 0)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.room.leave(&self.user, &self.asker.outbox, self.handlers.for_room(self.room.id));
    }
}
