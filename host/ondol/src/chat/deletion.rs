//! Deleting messages at an operator's wish: a single one, or all that a user said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Chat, ChatError};
use ondol_host_model::{RoomId, Seq};
use ondol_host_store::{Deleted, StoreError};

/// The most messages that are deleted at once: nothing is said in their room meanwhile.
const PIECE: usize = 64;

/// How often a room is asked whether its members have taken what was sent.
const ASKED_EVERY: Duration = Duration::from_millis(10);

/// The event by which clients hear that a message was deleted, in the host's own words.
pub(super) fn event(room: RoomId, deleted: Deleted) -> String {
    #[derive(serde::Serialize)]
    struct Event {
        r#type: &'static str,
        room: u64,
        seq: u64,
        id: u64,
    }
    let event = Event { r#type: "chat.message.deleted", room: room.0, seq: deleted.seq.0, id: deleted.id.0 };
    serde_json::to_string(&event).unwrap_or_default()
}

impl Chat {
    /// Deletes a message, and tells its room.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn delete_message(&self, room: RoomId, seq: Seq) -> Result<(), ChatError> {
        let deletion = self.room_queue(room).await?.delete(vec![seq]).await?;
        if deletion.messages.is_empty() {
            return Err(ChatError::NotFound);
        }
        Ok(self.pipeline.store.remove_unused_senders(deletion.senders).await?)
    }

    /// Deletes what a user has said so far, in one room or in all, and tells the rooms. Returns the number of messages. It
    /// goes on if the caller goes away.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's: then some are deleted.
    pub async fn delete_messages_of(self: &Arc<Self>, user: String, room: Option<RoomId>) -> Result<usize, ChatError> {
        if let Some(room) = room {
            self.room(room).await?;
        }
        let chat = Arc::clone(self);
        let deleting = tokio::spawn(async move { chat.delete_all_of(user, room).await });
        deleting.await.unwrap_or(Err(ChatError::Store(StoreError::Closed)))
    }

    async fn delete_all_of(&self, user: String, room: Option<RoomId>) -> Result<usize, ChatError> {
        let (store, mut count) = (&self.pipeline.store, 0);
        let mut search = store.search_user(user, room).await?;
        while let Some(found) = store.found_next(&mut search).await? {
            let mut by_room: BTreeMap<RoomId, Vec<Seq>> = BTreeMap::new();
            for (room, seq) in found {
                by_room.entry(room).or_default().push(seq);
            }
            for (room, seqs) in by_room {
                for piece in seqs.chunks(PIECE) {
                    count += self.delete_piece(room, piece).await?;
                }
            }
        }
        store.remove_unused_senders(search.into_senders()).await?;
        Ok(count)
    }

    /// Deletes some messages of a room, and leaves it as much time for others.
    async fn delete_piece(&self, room: RoomId, seqs: &[Seq]) -> Result<usize, ChatError> {
        let room = self.room_queue(room).await?;
        while !room.may_speak(false) {
            tokio::time::sleep(ASKED_EVERY).await;
        }
        let begun = Instant::now();
        let deletion = room.delete(seqs.to_vec()).await?;
        tokio::time::sleep(begun.elapsed()).await;
        Ok(deletion.messages.len())
    }
}
