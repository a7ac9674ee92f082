//! The one place for each room: takes accepted drafts in order, numbers and formats them, hands them to the store without
//! waiting, and publishes what comes back durable.
//!
//! Whoever brings a draft does the work for all who bring one meanwhile, so nobody waits for a lock and a quiet room costs
//! no task. A number whose message could not be formatted or handed over is given to the next one; when the store could not
//! keep one, the room waits until all that is under way has come back, and takes its numbers from the database again.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ask;
use super::claims::{self, Claim, Claims};
use super::reply::{Reply, SayError};
use super::work::{Accepted, Posted, SMALL_ROOM, Work, fail};
use ondol_host_handlers::{Fault, Release};
use ondol_host_model::{Draft, Message, RoomId, Seq, Speaker, Timestamp};
use ondol_host_rooms::{Flow, Outbox, Presence, Rest, Room};
use ondol_host_store::{Entry, Failed, StoreError};

/// How many jobs one caller does before the rest goes to a task of its own.
const JOBS_MAX: usize = 64;

/// A room while somebody is in it or something is under way.
pub(super) struct Place {
    pub(super) id: RoomId,
    /// Its members.
    pub(super) room: Room,
    /// What is in flight in it, and so the most that waits for any of its members.
    pub(super) flow: Arc<Flow>,
    pub(super) claims: Arc<Claims>,
    work: Arc<Work>,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    inbox: VecDeque<Job>,
    /// Somebody works on the inbox.
    working: bool,
    /// The number for the next message. None: it has to be taken from the database, once nothing is under way.
    next: Option<Seq>,
    /// Messages that have a number and that the store has not reported on.
    under_way: usize,
}

/// What waits for its turn in a room.
enum Job {
    Post(Post),
    Relay(String, Accepted),
    Joined(Arc<Speaker>, Arc<Release>),
    Left(Arc<Speaker>, Arc<Release>),
}

/// What somebody is about to do, with the number that it needs.
enum Begun {
    Post(Post, Seq),
    Relay(String, Accepted),
    Joined(Arc<Speaker>, Arc<Release>),
    Left(Arc<Speaker>, Arc<Release>),
}

/// An accepted draft.
pub(super) struct Post {
    pub(super) sender: Arc<Speaker>,
    pub(super) draft: Draft,
    /// What its frame was read with, and what its event is to be written with.
    pub(super) release: Arc<Release>,
    pub(super) reply: Reply,
    pub(super) accepted: Accepted,
    /// Its client's own id for it.
    pub(super) claim: Option<Claim>,
}

impl Post {
    /// It came to nothing, for everyone who sent it.
    pub(super) fn fail(self, error: &SayError) {
        claims::fail(self.claim, error, || self.reply.failed(error.clone(), self.draft.client_id.as_deref()));
    }
}

impl Place {
    /// A room that exists. Its first message takes the number from the database: only a place that all can find may read
    /// it, or another one could have used it up.
    pub(super) fn new(id: RoomId, work: &Arc<Work>) -> Self {
        let flow = Flow::new(work.limits.outbox_bytes_max / 2);
        let (room, claims, desk) = Default::default();
        Self { id, room, flow, claims, work: Arc::clone(work), desk }
    }

    /// Brings a connection in. The room hears of it when it is the user's first.
    pub(super) fn join(self: &Arc<Self>, user: &Arc<Speaker>, outbox: &Arc<Outbox>, release: Arc<Release>) {
        let desk = self.desk();
        if self.room.join(&user.id, outbox) == Presence::Changed {
            self.take_up(desk, Job::Joined(Arc::clone(user), release));
        }
    }

    /// Takes it out. The room hears of it when it was the user's last.
    pub(super) fn leave(self: &Arc<Self>, user: &Arc<Speaker>, outbox: &Outbox, release: Arc<Release>) {
        let desk = self.desk();
        if self.room.leave(&user.id, outbox) == Presence::Changed {
            self.take_up(desk, Job::Left(Arc::clone(user), release));
        }
    }

    /// Whether somebody may say more. A room with half of `outbox_bytes_max` in flight has a member who is behind by as much:
    /// who has something in flight waits for them. From three quarters on everyone does. So members who read are never
    /// closed for what others say, however many those are.
    pub(super) fn may_hear(&self, has_in_flight: bool) -> bool {
        let max = self.work.limits.outbox_bytes_max;
        self.flow.bytes() < if has_in_flight { max / 2 } else { max - max / 4 }
    }

    /// Takes a draft. What becomes of it, the reply hears.
    pub(super) fn post(self: &Arc<Self>, post: Post) {
        let desk = self.desk();
        if desk.inbox.len() >= self.work.limits.room_inbox_max {
            drop(desk);
            return post.fail(&SayError::Busy);
        }
        self.take_up(desk, Job::Post(post));
    }

    /// Sends a payload that is not stored, after all that was said before. False: too much waits.
    pub(super) fn relay(self: &Arc<Self>, payload: String, accepted: Accepted) -> bool {
        let (desk, limits) = (self.desk(), &self.work.limits);
        if desk.inbox.len() >= limits.room_inbox_max || self.room.waiting_bytes() > limits.outbox_bytes_max {
            return false;
        }
        self.take_up(desk, Job::Relay(payload, accepted));
        true
    }

    /// Does a job, and then what has come into the inbox meanwhile; or leaves it there, when somebody works on the inbox or the
    /// jobs before it wait for a number.
    fn take_up(self: &Arc<Self>, mut desk: MutexGuard<'_, Desk>, job: Job) {
        if desk.working || !desk.inbox.is_empty() {
            return desk.inbox.push_back(job);
        }
        match desk.begin(job) {
            Ok(begun) => {
                desk.working = true;
                drop(desk);
                self.go_on(begun);
            }
            Err(job) => {
                desk.inbox.push_back(*job);
                self.wait_for_number(desk);
            }
        }
    }

    /// Does what was begun, and what waits. Only the one who set `working` may call this, so jobs are done one after the other.
    fn go_on(self: &Arc<Self>, mut begun: Begun) {
        for _ in 0..JOBS_MAX {
            let turn = Turn { place: self, numbered: Cell::new(matches!(begun, Begun::Post(..))) };
            match begun {
                Begun::Post(post, seq) => self.hand_over(post, seq, &turn.numbered),
                Begun::Relay(payload, accepted) => self.send_in_turn(payload, Some(accepted)),
                Begun::Joined(user, release) => self.announce("join", ask::join(&release, self.id, &user)),
                Begun::Left(user, release) => self.announce("leave", ask::leave(&release, self.id, &user)),
            }
            turn.end();
            begun = match self.next() {
                Some(next) => next,
                None => return,
            };
        }
        let place = Arc::clone(self);
        self.work.runtime.spawn(async move { place.go_on(begun) });
    }

    /// Begins what has waited longest; none when nothing does, or when it needs a number that is not known. Somebody else
    /// works on the inbox then.
    fn next(self: &Arc<Self>) -> Option<Begun> {
        let mut desk = self.desk();
        let Some(job) = desk.inbox.pop_front() else {
            desk.working = false;
            return None;
        };
        match desk.begin(job) {
            Ok(begun) => Some(begun),
            Err(job) => {
                desk.inbox.push_front(*job);
                self.wait_for_number(desk);
                None
            }
        }
    }

    /// Formats a draft under its number and gives it to the store.
    fn hand_over(self: &Arc<Self>, post: Post, seq: Seq, numbered: &Cell<bool>) {
        let (work, Post { sender, draft, release, reply, mut accepted, claim }) = (&self.work, post);
        let message = Message { id: work.next_id(), room: self.id, seq, sender, draft, created_at: Timestamp::now() };
        let payload = match ask::message(&release, &reply.request, &message) {
            Ok(payload) => payload,
            Err(fault) => {
                self.desk().take_back(seq);
                let client_id = message.draft.client_id.as_deref();
                let pause_ms = work.limits.handler_overrun_pause_ms;
                return claims::fail(claim, &SayError::HandlerFault, || {
                    reply.faulted(self.id, &fault, pause_ms, client_id);
                });
            }
        };
        accepted.cover(payload.len());
        let then = Posted { place: Arc::clone(self), payload, reply: Some(reply), accepted: Some(accepted), claim };
        // From here on the report on the message counts it.
        numbered.set(false);
        if let Err(failed) = work.append(Entry { message: Some(message), then }) {
            let Failed { entry, error } = *failed;
            self.desk().take_back(seq);
            tracing::warn!(room = self.id.0, %error, "a message was not taken");
            let error = if matches!(error, StoreError::Busy(_)) { SayError::Busy } else { SayError::NotStored };
            fail(entry, &error);
        }
    }

    /// Sends a payload that is not stored: at once, in a small room where nothing is under way. Elsewhere by way of the store,
    /// so that it comes neither before a message that was said earlier nor alone, when a hundred users join a large room.
    fn send_in_turn(self: &Arc<Self>, payload: String, accepted: Option<Accepted>) {
        {
            let mut desk = self.desk();
            if desk.under_way == 0 && self.room.connections() <= SMALL_ROOM {
                drop(desk);
                return self.send(&payload, accepted);
            }
            desk.under_way += 1;
        }
        let then = Posted { place: Arc::clone(self), payload, reply: None, accepted, claim: None };
        if let Err(failed) = self.work.append(Entry { message: None, then }) {
            // The store takes nothing more. It is not needed for this one.
            self.desk().under_way -= 1;
            let Posted { payload, accepted, .. } = failed.entry.then;
            self.send(&payload, accepted);
        }
    }

    /// Sends a payload to the room, after what was put before.
    fn send(self: &Arc<Self>, payload: &str, accepted: Option<Accepted>) {
        if self.room.put(payload, None, accepted.map(|accepted| accepted.apart().1)) {
            self.publish();
        }
    }

    /// Tells the room of a join or a leave. A handler that fails at it is the operator's business alone.
    fn announce(self: &Arc<Self>, what: &str, payload: Result<Option<String>, Fault>) {
        match payload {
            Ok(Some(payload)) => self.send_in_turn(payload, None),
            Ok(None) => {}
            Err(fault) => fault.log(Some(self.id), None, &format!("nobody hears of a {what}")),
        }
    }

    /// Sends what was put into the room: a share of it from here, and the rest, should more and more come, from a task.
    pub(super) fn publish(self: &Arc<Self>) {
        if self.room.publish() == Rest::More {
            let place = Arc::clone(self);
            self.work.runtime.spawn(async move {
                while place.room.go_on() == Rest::More {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// Leaves the inbox as it is until the numbers are known again. Whoever is told of the last message under way, or a
    /// task when there is none, goes on.
    fn wait_for_number(self: &Arc<Self>, mut desk: MutexGuard<'_, Desk>) {
        desk.working = desk.under_way == 0;
        if desk.working {
            drop(desk);
            let place = Arc::clone(self);
            self.work.runtime.spawn(async move { place.take_number().await });
        }
    }

    /// Takes the next number from the database, and goes on. Only while `working` is set and nothing is under way.
    async fn take_number(self: Arc<Self>) {
        match self.work.store.last_seq(self.id).await {
            Ok(last) => self.desk().next = Some(last.next()),
            Err(error) => {
                tracing::error!(room = self.id.0, %error, "a room's last number could not be read");
                let mut posts = Vec::new();
                {
                    let mut desk = self.desk();
                    for job in std::mem::take(&mut desk.inbox) {
                        match job {
                            Job::Post(post) => posts.push(post),
                            other => desk.inbox.push_back(other),
                        }
                    }
                }
                for post in posts {
                    post.fail(&SayError::NotStored);
                }
            }
        }
        if let Some(begun) = self.next() {
            self.go_on(begun);
        }
    }

    /// Counts something that came back from the store.
    pub(super) fn came_back(self: &Arc<Self>, failed: bool) {
        let mut desk = self.desk();
        desk.under_way = desk.under_way.saturating_sub(1);
        if failed {
            desk.next = None;
        }
        if desk.next.is_none() && !desk.working && !desk.inbox.is_empty() {
            self.wait_for_number(desk);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One job's turn. It ends even by a panic: then the room takes its numbers from the database again and goes on.
struct Turn<'a> {
    place: &'a Arc<Place>,
    /// The job has a number that no report will account for.
    numbered: Cell<bool>,
}

impl Turn<'_> {
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut desk = self.place.desk();
        desk.working = false;
        desk.next = None;
        if self.numbered.get() {
            desk.under_way = desk.under_way.saturating_sub(1);
        }
        tracing::error!(room = self.place.id.0, "a job of a room panicked; the room goes on");
        if !desk.inbox.is_empty() {
            self.place.wait_for_number(desk);
        }
    }
}

impl Desk {
    /// Gives a job the number that it needs. It comes back when that is not known.
    fn begin(&mut self, job: Job) -> Result<Begun, Box<Job>> {
        Ok(match (job, self.next) {
            (Job::Post(post), Some(seq)) => {
                self.next = Some(seq.next());
                self.under_way += 1;
                Begun::Post(post, seq)
            }
            (Job::Post(post), None) => return Err(Box::new(Job::Post(post))),
            (Job::Relay(payload, accepted), _) => Begun::Relay(payload, accepted),
            (Job::Joined(user, release), _) => Begun::Joined(user, release),
            (Job::Left(user, release), _) => Begun::Left(user, release),
        })
    }

    /// Takes back a number that was not used. Only by the one who works: none was given out since.
    fn take_back(&mut self, seq: Seq) {
        self.under_way = self.under_way.saturating_sub(1);
        // None when the store has failed meanwhile.
        self.next = self.next.map(|_| seq);
    }
}

#[cfg(test)]
mod tests;
