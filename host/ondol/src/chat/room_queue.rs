//! A room's queue: its messages are numbered, formatted and appended to the store in one order, and events that are not stored
//! keep their place among them.
//!
//! The first to bring a task while none runs runs it, and then what others bring meanwhile, so no caller waits for a lock and a
//! quiet room costs no tokio task. A number whose message could not be formatted or appended goes to the next message; when the
//! store could not keep one, the room waits until everything in flight has come back, and takes its numbers from the database.

mod deletion;
mod shared;
mod tasks;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claims::Claims;
use super::cluster::Link;
use super::commit_pipeline::Pipeline;
use super::reply::SayError;
use super::ticket::{Accepted, Ticket};
use ondol_host_handlers::Release;
use ondol_host_model::{Draft, Message, RoomId, Seq, Speaker, Timestamp};
use ondol_host_rooms::{Change, Flow, Outbox, Presence, Progress, Room};
use ondol_host_store::{Claimed, Entry, Failed, StoreError};
use tasks::{QueueState, RoomTask, What};

/// How many tasks one caller runs before the rest goes to a tokio task of its own.
const TASKS_MAX: usize = 64;

/// A room of at most so many connections is written to by the leader of its commit; others by a tokio task of their own.
pub(super) const SMALL_ROOM: usize = 64;

/// What every room of the chat appends to.
pub(super) type ChatPipeline = Pipeline<PendingDelivery>;

/// A room while it has members or anything in flight.
pub(super) struct RoomQueue {
    pub(super) id: RoomId,
    pub(super) members: Room,
    /// What is in flight in it, and so the most that waits for any of its members.
    pub(super) flow: Arc<Flow>,
    pub(super) claims: Arc<Claims>,
    pub(super) pipeline: Arc<ChatPipeline>,
    /// Which host its home is, if the chat has several.
    pub(super) link: Option<Link>,
    state: Mutex<QueueState>,
}

/// What the store gives back with each entry: an event, and where it goes.
pub(super) struct PendingDelivery {
    pub(super) room: Arc<RoomQueue>,
    pub(super) payload: String,
    pub(super) ticket: Ticket,
    /// Who comes or goes, if the payload tells of that.
    pub(super) change: Option<Change>,
}

impl RoomQueue {
    /// A room that exists. Its first message takes the number from the database: only a queue that all can find may read
    /// it, or another one could have used it up.
    pub(super) fn new(id: RoomId, pipeline: &Arc<ChatPipeline>, link: Option<Link>) -> Self {
        let flow = Flow::new(pipeline.limits.outbox_bytes_max / 2);
        let (members, claims, state) = Default::default();
        Self { id, members, flow, claims, pipeline: Arc::clone(pipeline), link, state }
    }

    /// Brings a connection in. The room hears of it when it is the user's first.
    /// Returns the last message that it does not receive, if it is known.
    pub(super) fn join(
        self: &Arc<Self>,
        user: &Arc<Speaker>,
        outbox: &Arc<Outbox>,
        release: Arc<Release>,
    ) -> Option<Seq> {
        if let Some(last) = self.link.as_ref().and_then(|link| link.join(self, user, outbox)) {
            return last;
        }
        let state = self.state();
        let (presence, last) = self.members.join(&user.id, outbox);
        if presence == Presence::Changed {
            self.enqueue(state, RoomTask::new(What::Join(Arc::clone(user), release), Ticket::silent()));
        }
        last
    }

    /// The last message that was sent to the room, or stored before the room was opened.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn last_sent(&self) -> Result<Seq, StoreError> {
        match self.members.last() {
            Some(last) => Ok(last),
            // If one was sent meanwhile, it is known, and what was read does not count.
            None => {
                let stored = self.pipeline.store.last_seq(self.id).await?;
                Ok(self.members.last().unwrap_or_else(|| self.members.learn_last(stored)))
            }
        }
    }

    /// Takes a connection out. The room hears of it when it was the user's last.
    pub(super) fn leave(self: &Arc<Self>, user: &Arc<Speaker>, outbox: &Outbox, release: Arc<Release>) {
        if self.link.as_ref().is_some_and(|link| link.leave(self, user, outbox)) {
            return;
        }
        let state = self.state();
        if self.members.leave(&user.id, outbox) == Presence::Changed {
            self.enqueue(state, RoomTask::new(What::Leave(Arc::clone(user), release), Ticket::silent()));
        }
    }

    /// Whether a client may say more. A room with half of `outbox_bytes_max` in flight has a member who is behind by as much:
    /// clients that have something in flight wait for it. From three quarters on every client does. So members who read are never
    /// closed for what others say, however many those are.
    pub(super) fn may_speak(&self, has_in_flight: bool) -> bool {
        let max = self.pipeline.limits.outbox_bytes_max;
        self.flow.bytes() < if has_in_flight { max / 2 } else { max - max / 4 }
    }

    /// Stores a draft and sends its event. The ticket's reply hears the outcome.
    pub(super) fn post(self: &Arc<Self>, sender: Arc<Speaker>, draft: Draft, release: Arc<Release>, ticket: Ticket) {
        let state = self.state();
        let max = self.pipeline.limits.room_inbox_max;
        if state.waiting.len() >= max {
            drop(state);
            let room = self.id;
            tracing::debug!(room = room.0, max, "message refused as busy: room_inbox_max = {max} wait in room {room}");
            return ticket.fail(&SayError::Busy, draft.client_id.as_deref());
        }
        self.enqueue(state, RoomTask::new(What::Message { sender, draft, release }, ticket));
    }

    /// Sends a payload that is not stored, after all that was said before. False: too much waits.
    pub(super) fn relay(self: &Arc<Self>, payload: String, accepted: Accepted) -> bool {
        let (state, limits) = (self.state(), &self.pipeline.limits);
        if state.waiting.len() >= limits.room_inbox_max || self.members.waiting_bytes() > limits.outbox_bytes_max {
            return false;
        }
        self.enqueue(state, RoomTask::new(What::Relay(payload), Ticket::of_relay(accepted)));
        true
    }

    /// Runs a task, and then those that come meanwhile; or leaves it in the queue, when a caller runs the tasks or those before it
    /// wait for a number.
    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<'_, QueueState>, task: RoomTask) {
        if state.running || !state.waiting.is_empty() {
            return state.waiting.push_back(task);
        }
        match state.begin(task, || self.pipeline.store.next_id()) {
            Ok(task) => {
                state.running = true;
                drop(state);
                self.run(task);
            }
            Err(task) => {
                state.waiting.push_back(*task);
                self.wait_for_number(state);
            }
        }
    }

    /// Runs a task that has begun, and those that wait. Only for the caller who set `running`: tasks run one after another.
    fn run(self: &Arc<Self>, mut task: RoomTask) {
        for _ in 0..TASKS_MAX {
            let guard = RunGuard { room: self, has_number: Cell::new(task.number.is_some()) };
            self.run_one(task, &guard.has_number);
            guard.end();
            task = match self.next() {
                Some(next) => next,
                None => return,
            };
        }
        let room = Arc::clone(self);
        self.pipeline.runtime.spawn(async move { room.run(task) });
    }

    fn run_one(self: &Arc<Self>, task: RoomTask, has_number: &Cell<bool>) {
        let RoomTask { what, ticket, number } = task;
        let _entered = ticket.enter();
        match (what, number) {
            (What::Message { sender, draft, release }, Some((seq, id))) => {
                let (room, created_at) = (self.id, Timestamp::now());
                let message = Message { id, room, seq, sender, draft, created_at, origin: ticket.origin() };
                self.append(message, &release, ticket, has_number);
            }
            // [`QueueState::begin`] numbers every message.
            (What::Message { draft, .. }, None) => ticket.fail(&SayError::NotStored, draft.client_id.as_deref()),
            (What::Relay(payload), _) => self.send_in_turn(payload, ticket, None),
            (What::Join(user, release), _) => {
                self.announce(release.join(self.id, &user), Change { user, is_present: true });
            }
            (What::Leave(user, release), _) => {
                self.announce(release.leave(self.id, &user), Change { user, is_present: false });
            }
            // [`QueueState::begin`] leaves it to [`RoomQueue::take_number`].
            (What::Delete(_), _) => {}
        }
    }

    /// Begins the task that has waited longest; none when none waits, or when it needs a number that is not known yet.
    fn next(self: &Arc<Self>) -> Option<RoomTask> {
        let mut state = self.state();
        let Some(task) = state.waiting.pop_front() else {
            state.running = false;
            return None;
        };
        match state.begin(task, || self.pipeline.store.next_id()) {
            Ok(task) => Some(task),
            Err(task) => {
                state.waiting.push_front(*task);
                self.wait_for_number(state);
                None
            }
        }
    }

    /// Formats a message and appends it to the store's queue.
    fn append(self: &Arc<Self>, message: Message, release: &Release, mut ticket: Ticket, has_number: &Cell<bool>) {
        let seq = message.seq;
        let payload = match release.message(ticket.request(), &message) {
            Ok(payload) => payload,
            Err(fault) => {
                self.state().take_back(seq);
                let (client_id, pause_ms) =
                    (message.draft.client_id.as_deref(), self.pipeline.limits.handler_overrun_pause_ms);
                return ticket.fail_by(&SayError::HandlerFault, |reply| reply.faulted(&fault, pause_ms, client_id));
            }
        };
        ticket.grow_to(payload.len());
        ticket.begin_commit();
        let context = PendingDelivery { room: Arc::clone(self), payload, ticket, change: None };
        // From here on the store's report counts it.
        has_number.set(false);
        if let Err(failed) = self.pipeline.append(Entry { message: Some(Arc::new(message)), context }) {
            let Failed { entry: Entry { message, context }, error } = *failed;
            self.state().take_back(seq);
            tracing::warn!(room = self.id.0, %error, "message of room {} not stored: {error}", self.id);
            let error = if matches!(error, StoreError::Busy(_)) { SayError::Busy } else { SayError::NotStored };
            context.ticket.fail(&error, message.as_ref().and_then(|message| message.draft.client_id.as_deref()));
        }
    }

    /// Sends a payload that is not stored: at once, in a small room where nothing is in flight. Elsewhere by way of the store,
    /// so that it comes neither before a message that was said earlier nor alone, when a hundred users join a large room.
    fn send_in_turn(self: &Arc<Self>, payload: String, ticket: Ticket, change: Option<Change>) {
        {
            let mut state = self.state();
            if state.in_flight == 0 && self.members.connections() <= SMALL_ROOM {
                drop(state);
                return self.send(&payload, ticket, change.as_ref());
            }
            state.in_flight += 1;
        }
        let context = PendingDelivery { room: Arc::clone(self), payload, ticket, change };
        if let Err(failed) = self.pipeline.append(Entry { message: None, context }) {
            // The store is closed. It is not needed for this one.
            self.state().in_flight -= 1;
            let PendingDelivery { payload, ticket, change, .. } = failed.entry.context;
            self.send(&payload, ticket, change.as_ref());
        }
    }

    /// Sends a payload to the room, after what was put before.
    fn send(self: &Arc<Self>, payload: &str, ticket: Ticket, change: Option<&Change>) {
        let in_flight = ticket.committed().0;
        let due = match change {
            None => self.members.put(payload, None, None, in_flight, None),
            Some(change) => self.members.announce(payload, change, in_flight),
        };
        if due {
            self.publish();
        }
    }

    /// Tells the room of a join or a leave, if it is to hear of it.
    fn announce(self: &Arc<Self>, payload: Option<String>, change: Change) {
        match payload {
            Some(payload) => self.send_in_turn(payload, Ticket::silent(), Some(change)),
            None => self.members.note(&change),
        }
    }

    /// Sends what was put into the room: a share of it from here, and the rest, should more and more come, from a tokio task.
    pub(super) fn publish(self: &Arc<Self>) {
        if self.members.publish() == Progress::Pending {
            let room = Arc::clone(self);
            self.pipeline.runtime.spawn(async move {
                while room.members.continue_publishing() == Progress::Pending {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// Leaves the queue as it is until the numbers are known again. The report on the last entry in flight, or a tokio task when
    /// there is none, runs it then.
    fn wait_for_number(self: &Arc<Self>, mut state: MutexGuard<'_, QueueState>) {
        state.running = state.in_flight == 0;
        if state.running {
            drop(state);
            let room = Arc::clone(self);
            self.pipeline.runtime.spawn(async move { room.take_number().await });
        }
    }

    /// Claims the room, which tells the next number, after the deletions whose turn it is, and runs the queue. Only while
    /// `running` is set and nothing is in flight.
    async fn take_number(self: Arc<Self>) {
        self.delete_next().await;
        match self.pipeline.store.claim(self.id).await {
            Ok(Claimed::Here { last }) => {
                self.members.learn_last(last);
                self.state().next = Some(last.next());
            }
            Ok(Claimed::There { host }) => {
                tracing::error!(room = self.id.0, host, "room {} has its home at host {host}", self.id);
                self.fail_messages();
            }
            Err(error) => {
                tracing::error!(room = self.id.0, %error, "last seq of room {} not readable: {error}", self.id);
                self.fail_messages();
            }
        }
        if let Some(task) = self.next() {
            self.run(task);
        }
    }

    /// Tells the senders of all messages that wait for a number that they are not stored.
    fn fail_messages(&self) {
        let messages = {
            let mut state = self.state();
            let is_message = |task: &RoomTask| matches!(task.what, What::Message { .. });
            let (messages, others) =
                std::mem::take(&mut state.waiting).into_iter().partition::<VecDeque<_>, _>(is_message);
            state.waiting = others;
            messages
        };
        for RoomTask { what, ticket, .. } in messages {
            if let What::Message { draft, .. } = what {
                ticket.fail(&SayError::NotStored, draft.client_id.as_deref());
            }
        }
    }

    /// Counts an entry that the store has reported on.
    pub(super) fn on_committed(self: &Arc<Self>, stored: bool) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if !stored {
            state.next = None;
        }
        if state.next.is_none() && !state.running && !state.waiting.is_empty() {
            self.wait_for_number(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's turn. It ends even by a panic: then the room takes its numbers from the database again and goes on.
struct RunGuard<'a> {
    room: &'a Arc<RoomQueue>,
    /// The task has a number that no report of the store accounts for.
    has_number: Cell<bool>,
}

impl RunGuard<'_> {
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.running = false;
        state.next = None;
        if self.has_number.get() {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        tracing::error!(room = self.room.id.0, "task of room {} panicked; the room goes on", self.room.id);
        if !state.waiting.is_empty() {
            self.room.wait_for_number(state);
        }
    }
}

#[cfg(test)]
mod tests;
