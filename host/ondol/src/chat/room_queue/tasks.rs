//! The tasks that wait in a room's queue, and the number that the next message gets. Knows nothing of what a task does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::deletion::Request;
use crate::chat::ticket::Ticket;
use ondol_host_handlers::Release;
use ondol_host_model::{Draft, MessageId, Seq, Speaker};

/// The queue of a room.
#[derive(Default)]
pub(super) struct QueueState {
    pub(super) waiting: VecDeque<RoomTask>,
    /// A caller runs the tasks.
    pub(super) running: bool,
    /// The number for the next message. None: the room is to be claimed again, once nothing is in flight.
    pub(super) next: Option<Seq>,
    /// Entries that the store has not reported on.
    pub(super) in_flight: usize,
}

/// One thing that happens in a room, in its turn.
pub(super) struct RoomTask {
    pub(super) what: What,
    pub(super) ticket: Ticket,
    /// A message's number and id, once it has its turn.
    pub(super) number: Option<(Seq, MessageId)>,
}

/// What happens.
pub(super) enum What {
    /// An accepted draft is stored. The release that read its frame writes its event.
    Message {
        sender: Arc<Speaker>,
        draft: Draft,
        release: Arc<Release>,
    },
    /// A payload is sent and not stored.
    Relay(String),
    Join(Arc<Speaker>, Arc<Release>),
    Leave(Arc<Speaker>, Arc<Release>),
    /// Messages are deleted. Nothing else happens in the room meanwhile.
    Delete(Request),
}

impl RoomTask {
    pub(super) fn new(what: What, ticket: Ticket) -> Self {
        Self { what, ticket, number: None }
    }
}

impl QueueState {
    /// Gives a message its number and id. It comes back when they are not known, and so does a deletion, which waits like it.
    pub(super) fn begin(
        &mut self,
        mut task: RoomTask,
        next_id: impl FnOnce() -> Option<MessageId>,
    ) -> Result<RoomTask, Box<RoomTask>> {
        if matches!(task.what, What::Message { .. }) {
            let Some(seq) = self.next else { return Err(Box::new(task)) };
            let Some(id) = next_id() else {
                self.next = None;
                return Err(Box::new(task));
            };
            task.number = Some((seq, id));
            self.next = Some(seq.next());
            self.in_flight += 1;
        }
        if matches!(task.what, What::Delete(_)) {
            self.next = None;
            return Err(Box::new(task));
        }
        Ok(task)
    }

    /// Takes back a number that was not used. Only by the caller who runs the tasks: none was given out since.
    pub(super) fn take_back(&mut self, seq: Seq) {
        self.in_flight = self.in_flight.saturating_sub(1);
        // None when the store has failed meanwhile.
        self.next = self.next.map(|_| seq);
    }
}
