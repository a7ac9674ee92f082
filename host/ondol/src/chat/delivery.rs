//! What happens to a batch once it is committed: stored messages go to their rooms, the senders of the others are told.

use std::sync::Arc;

use super::reply::SayError;
use super::room_queue::{ChatPipeline, PendingDelivery, RoomQueue, SMALL_ROOM};
use ondol_host_store::{Batch, Entry, Failed, StoreError};

/// Puts the events of a batch into their rooms, in the order of their commit, and publishes them.
pub(super) fn deliver(pipeline: &ChatPipeline, batch: Batch<PendingDelivery>) {
    for room in put(batch) {
        if room.members.connections() <= SMALL_ROOM {
            room.publish();
        } else {
            // The next batch does not wait for a large room's sockets.
            pipeline.spawn(async move { room.publish() });
        }
    }
}

/// Puts the events into their rooms. Returns the rooms that have to be published.
fn put(batch: Batch<PendingDelivery>) -> Vec<Arc<RoomQueue>> {
    let mut due = Vec::new();
    for Entry { message, context: PendingDelivery { room, payload, ticket, change } } in batch.stored {
        let (in_flight, stored) = ticket.committed();
        let origin = message.as_ref().and_then(|message| message.origin);
        let seq = message.as_ref().map(|message| message.seq);
        let publish = match &change {
            None => room.members.put(&payload, seq, stored.speaker(), in_flight, origin),
            Some(change) => room.members.announce(&payload, change, in_flight),
        };
        room.on_committed(true);
        if let Some(message) = message {
            stored.tell(&message, &payload);
        }
        if publish {
            due.push(room);
        }
    }
    for Failed { entry, error } in batch.failed {
        let Entry { message, context: PendingDelivery { room, ticket, .. } } = entry;
        let _entered = ticket.enter();
        tracing::warn!(room = room.id.0, %error, "message of room {} not stored: {error}", room.id);
        room.on_committed(false);
        let failure = match error {
            StoreError::InDoubt | StoreError::Fenced(_) => SayError::Unknown,
            _ => SayError::NotStored,
        };
        ticket.fail(&failure, message.as_ref().and_then(|message| message.draft.client_id.as_deref()));
    }
    due
}
