//! A host that is attached to a room of this one, as the room and the replies to its frames see it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Hosts;
use super::record::{At, Failure, Outcome, Person, Record, Told};
use crate::chat::reply::SayError;
use ondol_host_model::{Message, RoomId, Seq};
use ondol_host_rooms::{Flow, Remote, Run};
use ondol_host_store::Deletion;

/// A host that is attached to a room.
pub(super) struct Peer {
    pub(super) hosts: Arc<Hosts>,
    pub(super) host: i32,
    pub(super) room: RoomId,
    /// The number of its attachment that counts.
    attachment: AtomicU64,
    /// Its frames and requests that are accepted and not answered.
    in_flight: Mutex<HashSet<i64>>,
}

impl Peer {
    pub(super) fn new(hosts: Arc<Hosts>, host: i32, room: RoomId) -> Arc<Self> {
        hosts.attached.begin(host);
        Arc::new(Self { hosts, host, room, attachment: AtomicU64::new(0), in_flight: Mutex::default() })
    }

    pub(super) fn attachment(&self) -> u64 {
        self.attachment.load(Ordering::Acquire)
    }

    /// Another attachment counts. What is in flight of earlier ones is still answered.
    pub(super) fn attach(&self, attachment: u64) -> HashSet<i64> {
        self.attachment.store(attachment, Ordering::Release);
        self.in_flight().clone()
    }

    /// What receives the runs of the attachment that counts now, and never those of another: it begins after all of them.
    pub(super) fn receiver(self: &Arc<Self>) -> Arc<dyn Remote> {
        Arc::new(Receiver { attachment: self.attachment(), peer: Arc::clone(self) })
    }

    /// Notes that a frame or request is accepted.
    pub(super) fn begin(&self, origin: i64) {
        self.in_flight().insert(origin);
    }

    /// Tells it something. If it takes no more, it is told as soon as it does that it missed something.
    pub(super) fn tell(&self, news: Told, body: &[u8]) {
        self.tell_at(self.attachment(), news, body);
    }

    fn tell_at(&self, attachment: u64, news: Told, body: &[u8]) {
        let at = At { room: self.room.0, attachment };
        if self.hosts.send(self.host, &Record::FromHome(at, news), body).is_err() {
            self.hosts.send_later(self.host, Record::FromHome(at, Told::NotHome));
        }
    }

    fn in_flight(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.hosts.attached.end(self.host);
    }
}

/// One attachment of a host.
struct Receiver {
    attachment: u64,
    peer: Arc<Peer>,
}

impl Remote for Receiver {
    fn receive(&self, run: Run) {
        let settled = run.settled.iter().filter(|(origin, _)| host_of(*origin) == self.peer.host);
        let settled = settled.map(|(origin, seq)| (*origin, seq.0)).collect();
        let (first, last) = (run.first.map(|seq| seq.0), run.last.map(|seq| seq.0));
        let changes = run.changes.iter().map(|change| (Person::from(&**change.user), change.is_present)).collect();
        let news = Told::Run { first, last, messages: run.messages, settled, changes };
        self.peer.tell_at(self.attachment, news, &run.frames);
    }
}

/// The host that named a frame.
fn host_of(origin: i64) -> i32 {
    i32::try_from(origin >> super::ORIGIN_BITS).unwrap_or_default()
}

/// The reply to a frame or request of a host that is attached.
pub(in crate::chat) struct RemoteReply {
    peer: Arc<Peer>,
    origin: i64,
    is_request: bool,
    flow: Arc<Flow>,
    pause_ms: Arc<AtomicU64>,
    is_answered: bool,
}

impl RemoteReply {
    /// `flow` counts what of its connection is in flight.
    pub(super) fn to_frame(peer: Arc<Peer>, origin: i64, flow: Arc<Flow>, pause_ms: Arc<AtomicU64>) -> Self {
        Self { peer, origin, is_request: false, flow, pause_ms, is_answered: false }
    }

    pub(super) fn to_request(peer: Arc<Peer>, origin: i64, flow: Arc<Flow>) -> Self {
        Self { peer, origin, is_request: true, flow, pause_ms: Arc::default(), is_answered: false }
    }

    pub(in crate::chat) fn origin(&self) -> i64 {
        self.origin
    }

    /// A request is answered by the host that received it, in its own form.
    pub(in crate::chat) fn is_request(&self) -> bool {
        self.is_request
    }

    pub(in crate::chat) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// The message is stored. Its run tells of it, unless it came by another frame.
    pub(in crate::chat) fn stored(mut self, message: &Message) {
        if message.origin == Some(self.origin) {
            return self.settle();
        }
        self.answer(Outcome::Stored { seq: message.seq.0 }, &[]);
    }

    /// The message was stored before. None: who asked reads its own event.
    pub(in crate::chat) fn repeated(mut self, seq: Seq, event: Option<&str>) {
        match event {
            Some(event) => self.answer(Outcome::Repeated { seq: seq.0 }, event.as_bytes()),
            None => self.answer(Outcome::Stored { seq: seq.0 }, &[]),
        }
    }

    /// The answer, for its sender alone.
    pub(in crate::chat) fn event(mut self, event: &str) {
        self.answer(Outcome::Event, event.as_bytes());
    }

    pub(in crate::chat) fn done(mut self) {
        self.answer(Outcome::Done, &[]);
    }

    /// It cost much time: the client's next frame waits for so long.
    pub(in crate::chat) fn pause(&self, ms: u64) {
        self.pause_ms.store(ms, Ordering::Relaxed);
    }

    pub(in crate::chat) fn failed(mut self, error: SayError, client_id: Option<&str>) {
        let (failure, client_id) = (error.into(), client_id.map(str::to_owned));
        let pause_ms = self.pause_ms.load(Ordering::Relaxed);
        self.answer(Outcome::Failed { failure, client_id, pause_ms }, &[]);
    }

    pub(super) fn deleted(mut self, deletion: Deletion) {
        let messages = deletion.messages.iter().map(|deleted| [deleted.seq.0, deleted.id.0]).collect();
        self.answer(Outcome::Deleted { messages, senders: deletion.senders }, &[]);
    }

    /// A host that stops says nothing of what it could not store: the next home is asked for it.
    fn answer(&mut self, outcome: Outcome, body: &[u8]) {
        let is_unstored = matches!(outcome, Outcome::Failed { failure: Failure::NotStored | Failure::Unknown, .. });
        let is_left_open = self.peer.hosts.is_leaving() && is_unstored;
        self.settle();
        if !is_left_open {
            self.peer.tell(Told::Outcome { origin: self.origin, outcome }, body);
        }
    }

    fn settle(&mut self) {
        self.is_answered = true;
        self.peer.in_flight().remove(&self.origin);
    }
}

impl Drop for RemoteReply {
    fn drop(&mut self) {
        if !self.is_answered {
            let (failure, client_id) = (SayError::NotStored.into(), None);
            self.answer(Outcome::Failed { failure, client_id, pause_ms: 0 }, &[]);
        }
    }
}
