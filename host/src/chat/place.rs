//! The one place for each room: takes accepted drafts in order, numbers and formats them, hands them to the store without
//! waiting, and publishes what comes back durable.
//!
//! Whoever brings a draft does the work for all who bring one meanwhile, so nobody waits for a lock and a quiet room costs
//! no task. A number whose message could not be formatted or handed over is given to the next one; when the store could not
//! keep one, the room waits until all that is under way has come back, and takes its numbers from the database again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ask;
use super::reply::{Reply, SayError};
use super::work::{Posted, SMALL_ROOM, Work};
use crate::handlers::{Fault, Release};
use crate::model::{Draft, Message, RoomId, Seq, Speaker, Timestamp, User};
use crate::rooms::{Outbox, Presence, Rest, Room};
use crate::store::{Entry, Failed, StoreError};

/// How many jobs one caller does before the rest goes to a task of its own.
const JOBS_MAX: usize = 64;

/// A room while somebody is in it or something is under way.
pub(super) struct Place {
    pub(super) id: RoomId,
    /// Its members.
    pub(super) room: Room,
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
    /// Senders and their own ids of messages that are not stored yet.
    claimed: HashSet<(String, String)>,
}

/// What waits for its turn in a room.
enum Job {
    Post(Post),
    Relay(String),
    Joined(Arc<Speaker>, Arc<Release>),
    Left(Arc<Speaker>, Arc<Release>),
}

/// What somebody is about to do, with the number that it needs.
enum Begun {
    Post(Post, Seq),
    Relay(String),
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
}

impl Place {
    /// A room that exists. Its first message takes the number from the database: only a place that all can find may read
    /// it, or another one could have used it up.
    pub(super) fn new(id: RoomId, work: &Arc<Work>) -> Self {
        Self { id, room: Room::default(), work: Arc::clone(work), desk: Mutex::default() }
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

    /// Takes a draft. What becomes of it, the reply hears.
    pub(super) fn post(self: &Arc<Self>, post: Post) {
        let mut desk = self.desk();
        if desk.inbox.len() >= self.work.limits.room_inbox_max {
            desk.give_back(&post.sender, &post.draft);
            drop(desk);
            return post.reply.failed(SayError::Busy);
        }
        self.take_up(desk, Job::Post(post));
    }

    /// Sends a payload that is not stored, after all that was said before. False: too much waits.
    pub(super) fn relay(self: &Arc<Self>, payload: String) -> bool {
        let (desk, limits) = (self.desk(), &self.work.limits);
        if desk.inbox.len() >= limits.room_inbox_max || self.room.waiting_bytes() > limits.outbox_bytes_max {
            return false;
        }
        self.take_up(desk, Job::Relay(payload));
        true
    }

    /// Claims a sender's own id for a message, until that message is stored or has failed. None: one with the same id is
    /// under way.
    pub(super) fn claim(self: &Arc<Self>, sender: &User, client_id: &str) -> Option<Claim> {
        let id = (sender.id.clone(), client_id.to_owned());
        self.desk().claimed.insert(id.clone()).then(|| Claim { place: Arc::clone(self), id: Some(id) })
    }

    /// Gives a claim back.
    pub(super) fn give_back(&self, sender: &User, draft: &Draft) {
        self.desk().give_back(sender, draft);
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
                desk.inbox.push_back(job);
                self.wait_for_number(desk);
            }
        }
    }

    /// Does what was begun, and what waits. Only the one who set `working` may call this, so jobs are done one after the other.
    fn go_on(self: &Arc<Self>, mut begun: Begun) {
        for _ in 0..JOBS_MAX {
            match begun {
                Begun::Post(post, seq) => self.hand_over(post, seq),
                Begun::Relay(payload) => self.send_in_turn(payload),
                Begun::Joined(user, release) => self.announce("join", ask::join(&release, self.id, &user)),
                Begun::Left(user, release) => self.announce("leave", ask::leave(&release, self.id, &user)),
            }
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
                desk.inbox.push_front(job);
                self.wait_for_number(desk);
                None
            }
        }
    }

    /// Formats a draft under its number and gives it to the store.
    fn hand_over(self: &Arc<Self>, post: Post, seq: Seq) {
        let (work, Post { sender, draft, release, reply }) = (&self.work, post);
        let message = Message { id: work.next_id(), room: self.id, seq, sender, draft, created_at: Timestamp::now() };
        let payload = match ask::message(&release, &reply.request, &message) {
            Ok(payload) => payload,
            Err(fault) => {
                let mut desk = self.desk();
                desk.take_back(seq);
                desk.give_back(&message.sender, &message.draft);
                drop(desk);
                return reply.faulted(self.id, &fault, work.limits.handler_overrun_pause_ms);
            }
        };
        let then = Posted { place: Arc::clone(self), payload, reply: Some(reply) };
        if let Err(failed) = work.append(Entry { message: Some(message), then }) {
            let Failed { entry, error } = *failed;
            self.desk().take_back(seq);
            tracing::warn!(room = self.id.0, %error, "a message was not taken");
            let error = if matches!(error, StoreError::Busy(_)) { SayError::Busy } else { SayError::NotStored };
            self.fail(entry, &error);
        }
    }

    /// Sends a payload that is not stored: at once, in a small room where nothing is under way. Elsewhere by way of the store,
    /// so that it comes neither before a message that was said earlier nor alone, when a hundred users join a large room.
    fn send_in_turn(self: &Arc<Self>, payload: String) {
        {
            let mut desk = self.desk();
            if desk.under_way == 0 && self.room.connections() <= SMALL_ROOM {
                drop(desk);
                return self.send(&payload);
            }
            desk.under_way += 1;
        }
        let then = Posted { place: Arc::clone(self), payload, reply: None };
        if let Err(failed) = self.work.append(Entry { message: None, then }) {
            // The store takes nothing more. It is not needed for this one.
            self.desk().under_way -= 1;
            self.send(&failed.entry.then.payload);
        }
    }

    /// Sends a payload to the room, after what was put before.
    fn send(self: &Arc<Self>, payload: &str) {
        if self.room.put(payload, None) {
            self.publish();
        }
    }

    /// Tells a sender that their message came to nothing, and forgets their id for it.
    pub(super) fn fail(&self, entry: Entry<Posted>, error: &SayError) {
        if let Some(message) = &entry.message {
            self.give_back(&message.sender, &message.draft);
        }
        if let Some(reply) = entry.then.reply {
            reply.failed(error.clone());
        }
    }

    /// Tells the room of a join or a leave. A handler that fails at it is the operator's business alone.
    fn announce(self: &Arc<Self>, what: &str, payload: Result<Option<String>, Fault>) {
        match payload {
            Ok(Some(payload)) => self.send_in_turn(payload),
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
                    self.give_back(&post.sender, &post.draft);
                    post.reply.failed(SayError::NotStored);
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
        desk.under_way -= 1;
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

/// A sender's own id for a message that is being looked up. Given back when dropped, be it because whoever asked is gone.
pub(super) struct Claim {
    place: Arc<Place>,
    id: Option<(String, String)>,
}

impl Claim {
    /// Leaves the id claimed: the message has it now.
    pub(super) fn pass_on(mut self) {
        self.id = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.place.desk().claimed.remove(&id);
        }
    }
}

impl Desk {
    /// Gives a job the number that it needs. It comes back when that is not known.
    fn begin(&mut self, job: Job) -> Result<Begun, Job> {
        Ok(match (job, self.next) {
            (Job::Post(post), Some(seq)) => {
                self.next = Some(seq.next());
                self.under_way += 1;
                Begun::Post(post, seq)
            }
            (Job::Post(post), None) => return Err(Job::Post(post)),
            (Job::Relay(payload), _) => Begun::Relay(payload),
            (Job::Joined(user, release), _) => Begun::Joined(user, release),
            (Job::Left(user, release), _) => Begun::Left(user, release),
        })
    }

    /// Takes back a number that was not used. Only by the one who works: none was given out since.
    fn take_back(&mut self, seq: Seq) {
        self.under_way -= 1;
        // None when the store has failed meanwhile.
        self.next = self.next.map(|_| seq);
    }

    fn give_back(&mut self, sender: &User, draft: &Draft) {
        if let Some(client_id) = &draft.client_id {
            self.claimed.remove(&(sender.id.clone(), client_id.clone()));
        }
    }
}
