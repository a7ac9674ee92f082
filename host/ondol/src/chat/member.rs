//! A connection in a room, as the edge holds it: what it says, and when it may say more. Knows nothing of what becomes of it.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Chat;
use super::place::Place;
use super::reply::Asker;
use ondol_host_model::{Frame, Speaker};
use ondol_host_rooms::Outbox;

/// A connection in a room, until dropped.
pub struct Member {
    chat: Arc<Chat>,
    place: Arc<Place>,
    user: Arc<Speaker>,
    asker: Arc<Asker>,
}

impl Member {
    pub(super) fn new(chat: &Arc<Chat>, place: Arc<Place>, user: Arc<Speaker>, outbox: Arc<Outbox>) -> Self {
        let flow = place.flow.part(chat.work.limits.speaker_bytes_max);
        Self { chat: Arc::clone(chat), place, user, asker: Asker::new(outbox, flow) }
    }

    /// Takes a frame that this connection's client sent. Returns when it may send the next, as far as the last one's cost is
    /// concerned.
    pub async fn say(&self, frame: Frame<'_>) {
        self.asker.before_next();
        self.chat.say(&self.place, &self.user, frame, self.asker.next()).await;
        self.asker.rest().await;
    }

    /// Whether the client may be read: it has less than `speaker_bytes_max` in flight, and its room is not too full for it.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        self.asker.flow.is_low() && self.place.may_hear(self.asker.flow.bytes() > 0)
    }

    /// Ready when the client may be read.
    pub fn poll_may_speak(&self, context: &Context<'_>) -> Poll<()> {
        let may_speak = || self.may_speak();
        match self.asker.flow.poll_until(context, may_speak) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.place.flow.poll_until(context, may_speak),
        }
    }

    /// Ready when all that the client said has come to an end: the room has taken its events, or it was told why not.
    pub fn poll_settled(&self, context: &Context<'_>) -> Poll<()> {
        self.asker.flow.poll_until(context, || self.asker.flow.bytes() == 0)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.place.leave(&self.user, &self.asker.outbox, self.chat.handlers.for_room(self.place.id));
    }
}
