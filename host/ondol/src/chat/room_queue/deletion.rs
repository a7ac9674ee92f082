//! A deletion's turn in its room: after all that was said before is sent, and before anything said later has a number. So
//! a client that is told of a deletion, and one that reads of it in the database, agree on what was said before it.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{RoomQueue, RoomTask, Ticket, What};
use crate::chat::deletion::event;
use ondol_host_model::Seq;
use ondol_host_store::{Deletion, StoreError};

/// Which messages are to be deleted, and who hears what became of it.
pub(super) struct Request {
    seqs: Vec<Seq>,
    answer: oneshot::Sender<Result<Deletion, StoreError>>,
}

impl RoomQueue {
    /// Deletes messages of the room, and tells its members.
    pub(in crate::chat) async fn delete(self: &Arc<Self>, seqs: Vec<Seq>) -> Result<Deletion, StoreError> {
        let Some(link) = self.link.as_ref().filter(|link| !link.is_home()) else { return self.delete_here(seqs).await };
        let (answer, answered) = oneshot::channel();
        link.delete(self, seqs, answer);
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The same where the room has its home.
    pub(in crate::chat) async fn delete_here(self: &Arc<Self>, seqs: Vec<Seq>) -> Result<Deletion, StoreError> {
        let (answer, answered) = oneshot::channel();
        let task = RoomTask::new(What::Delete(Request { seqs, answer }), Ticket::silent());
        self.enqueue(self.state(), task);
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Makes the deletions whose turn it is. Only while `running` is set and nothing is in flight.
    pub(super) async fn delete_next(self: &Arc<Self>) {
        while let Some(Request { seqs, answer }) = self.next_deletion() {
            let deletion = self.pipeline.store.delete(self.id, seqs).await;
            let mut due = false;
            for deleted in deletion.iter().flat_map(|deletion| &deletion.messages) {
                let payload = event(self.id, *deleted);
                // Counted, so that more is deleted only when members have taken this.
                let accepted = self.pipeline.accept(&self.flow, payload.len());
                let ticket = accepted.map_or_else(Ticket::silent, Ticket::of_relay);
                due |= self.members.put(&payload, None, None, ticket.committed().0, None);
            }
            if due {
                self.publish();
            }
            let _ = answer.send(deletion);
        }
    }

    fn next_deletion(&self) -> Option<Request> {
        let mut state = self.state();
        let task = state.waiting.pop_front()?;
        match task.what {
            What::Delete(request) => Some(request),
            _ => {
                state.waiting.push_front(task);
                None
            }
        }
    }
}
