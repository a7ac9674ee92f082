//! What accompanies everything that is accepted until it is published or has failed: what it counts as, who hears of it, and
//! the client's own id for it. Knows nothing of what is said.

use std::sync::Arc;

use super::claims::{Claim, Waiter};
use super::reply::{Reply, SayError};
use ondol_host_model::trace::{self, Entered, OpenSpan, Trace};
use ondol_host_model::{Message, RequestId};
use ondol_host_rooms::{InFlight, Outbox};

/// What counts for an accepted frame until dropped: in the queue for the disk, and in flight.
pub(super) struct Accepted {
    queued: InFlight,
    in_flight: InFlight,
}

impl Accepted {
    pub(super) fn new(queued: InFlight, in_flight: InFlight) -> Self {
        Self { queued, in_flight }
    }

    pub(super) fn into_parts(self) -> (InFlight, InFlight) {
        (self.queued, self.in_flight)
    }

    /// Counts the event as well, once it is known.
    fn grow_to(&mut self, event_bytes: usize) {
        self.queued.grow_to(event_bytes);
        self.in_flight.grow_to(event_bytes);
    }
}

/// The ticket of one frame.
pub(super) struct Ticket {
    reply: Option<Reply>,
    accepted: Option<Accepted>,
    /// The client's own id for its message.
    claim: Option<Claim>,
    /// What it is traced as: another frame's task may be the one that carries it on.
    trace: Option<Arc<Trace>>,
    /// How long the message waits for the disk, if its spans are exported.
    commit: Option<Box<OpenSpan>>,
}

impl Ticket {
    /// Of a join or a leave, or of what the server does on its own: no client waits for it.
    pub(super) fn silent() -> Self {
        Self { reply: None, accepted: None, claim: None, trace: trace::current(), commit: None }
    }

    /// Of a message.
    pub(super) fn of_message(reply: Reply, accepted: Accepted, claim: Option<Claim>) -> Self {
        Self { reply: Some(reply), accepted: Some(accepted), claim, ..Self::silent() }
    }

    /// Of a payload that is not stored: its sender is answered already.
    pub(super) fn of_relay(accepted: Accepted) -> Self {
        Self { accepted: Some(accepted), ..Self::silent() }
    }

    /// Makes its trace the current one, or none if it has none.
    pub(super) fn enter(&self) -> Entered {
        trace::enter(self.trace.clone())
    }

    /// The message begins to wait for the disk.
    pub(super) fn begin_commit(&mut self) {
        self.commit = trace::span("commit");
    }

    /// The name of the frame in the cluster, if another host has sent it.
    pub(super) fn origin(&self) -> Option<i64> {
        self.reply.as_ref().and_then(Reply::origin)
    }

    /// The name of the frame, for the log.
    pub(super) fn request(&self) -> Option<&RequestId> {
        self.reply.as_ref().map(|reply| &reply.request)
    }

    /// Counts the event as well, once it is known.
    pub(super) fn grow_to(&mut self, event_bytes: usize) {
        if let Some(accepted) = &mut self.accepted {
            accepted.grow_to(event_bytes);
        }
    }

    /// The message leaves the queue for the disk. What stays in flight until the room's sockets have taken its event, and who waits
    /// to hear that it is stored.
    pub(super) fn committed(self) -> (impl Iterator<Item = InFlight>, Stored) {
        drop(self.commit);
        // The id is free before the room hears the event: a waiter is in the room by now, and a later frame finds the message
        // stored.
        let waiters = self.claim.map(Claim::end).unwrap_or_default().into_iter();
        let (waiting, shared): (Vec<_>, Vec<_>) = waiters.map(|Waiter { reply, in_flight }| (reply, in_flight)).unzip();
        let own = self.accepted.map(|accepted| accepted.in_flight);
        (own.into_iter().chain(shared), Stored { sender: self.reply, waiting })
    }

    /// The frame has failed, for everyone who sent it. `client_id`: the client's own id for it.
    pub(super) fn fail(self, error: &SayError, client_id: Option<&str>) {
        self.fail_by(error, |reply| reply.failed(error.clone(), client_id));
    }

    /// The frame has failed: `tell` tells its sender, the others who sent it hear `error`.
    pub(super) fn fail_by(mut self, error: &SayError, tell: impl FnOnce(Reply)) {
        if let Some(mut commit) = self.commit.take() {
            commit.fail(error.code());
        }
        let tell_first = || {
            if let Some(reply) = self.reply {
                tell(reply);
            }
        };
        match self.claim {
            Some(claim) => claim.fail(error, tell_first),
            None => tell_first(),
        }
    }
}

/// Who waits to hear that a message is stored: its sender, and those who sent it again meanwhile.
pub(super) struct Stored {
    sender: Option<Reply>,
    waiting: Vec<Reply>,
}

impl Stored {
    /// The connection that said it, which hears the event with its room.
    pub(super) fn speaker(&self) -> Option<&Arc<Outbox>> {
        self.sender.as_ref().and_then(Reply::outbox)
    }

    /// Tells them. A connection hears the event with its room.
    pub(super) fn tell(self, message: &Message, event: &str) {
        for reply in self.sender.into_iter().chain(self.waiting) {
            reply.stored(message, event);
        }
    }
}
