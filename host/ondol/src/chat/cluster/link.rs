//! What a host keeps of a room for as long as it is not the room's home: which host is, who is here, and the frames of clients
//! until it is known what became of them.
//!
//! The home tells in numbered runs what the room says. A run that does not follow the last one, a frame that may be lost,
//! another home: all of it is repaired in one way, by attaching again ([`super::attaching`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Hosts;
use super::record::{Asked, At, Newcomer, Person, Record, Sent, Told};
use super::state::{Role, Start, State};
use super::unsettled::Unsettled;
use crate::chat::reply::{Reply, SayError};
use crate::chat::room_queue::RoomQueue;
use ondol_host_model::{Frame, Seq, Speaker};
use ondol_host_rooms::{Change, Outbox};

/// A room's place in the cluster, as this host knows it.
pub(in crate::chat) struct Link {
    pub(super) hosts: Arc<Hosts>,
    state: Mutex<State>,
    changed: Notify,
}

/// What [`Told::Run`] says, and its frames.
pub(super) struct ToldRun {
    pub(super) first: Option<Seq>,
    pub(super) last: Option<Seq>,
    pub(super) messages: u64,
    pub(super) settled: Vec<(i64, u64)>,
    pub(super) changes: Vec<Change>,
    pub(super) frames: Bytes,
}

/// The run does not follow what the room's connections have.
pub(super) struct Gap;

impl Link {
    pub(in crate::chat) fn new(hosts: Arc<Hosts>) -> Self {
        Self { hosts, state: Mutex::default(), changed: Notify::new() }
    }

    pub(in crate::chat) fn is_home(&self) -> bool {
        matches!(self.state().role, Role::Home)
    }

    /// Whether a room is heard: here, or at the home that this host is attached to.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state().role, Role::Home | Role::Attached { .. })
    }

    /// What this host knows from its home does not count any more, if that is lost. True: it is.
    pub(super) fn lose_home(&self, is_lost: impl Fn(i32) -> bool) -> bool {
        let mut state = self.state();
        let is_lost = state.role.home().is_some_and(|(home, _)| is_lost(home));
        if is_lost {
            state.role = Role::Unknown;
            drop(state);
            self.tell_changed();
        }
        is_lost
    }

    /// A host is gone: a repair that waits tries again at once.
    pub(super) fn hurry(&self) {
        self.state().repairing.hurry();
        self.tell_changed();
    }

    /// Wakes when the role may have changed.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn tell_changed(&self) {
        self.changed.notify_waiters();
    }

    /// Brings a connection in, unless this host is the home. None: it is.
    pub(in crate::chat) fn join(
        &self,
        room: &Arc<RoomQueue>,
        user: &Arc<Speaker>,
        outbox: &Arc<Outbox>,
    ) -> Option<Option<Seq>> {
        let mut state = self.state();
        if matches!(state.role, Role::Home) {
            return None;
        }
        let (_, last) = room.members.join(&user.id, outbox);
        let attached = state.role.attached();
        state.people.insert(outbox.id, Arc::clone(user));
        if !self.ask(room, attached, Asked::Join(Newcomer::new(outbox.id, user)), &[]) {
            self.repair_with(room, &mut state);
        }
        Some(last)
    }

    /// Takes a connection out. False: this host is the home.
    pub(in crate::chat) fn leave(&self, room: &Arc<RoomQueue>, user: &Speaker, outbox: &Outbox) -> bool {
        let mut state = self.state();
        if matches!(state.role, Role::Home) {
            return false;
        }
        let _ = room.members.leave(&user.id, outbox);
        state.people.remove(&outbox.id);
        if !self.ask(room, state.role.attached(), Asked::Leave { connection: outbox.id }, &[]) {
            self.repair_with(room, &mut state);
        }
        true
    }

    /// Keeps a frame until it is known what became of it, and sends it to the home. Returns the reply if this host is that.
    pub(in crate::chat) fn forward(
        &self,
        room: &RoomQueue,
        user: &Arc<Speaker>,
        frame: Frame<'_>,
        reply: Reply,
    ) -> Option<Reply> {
        let mut state = self.state();
        if matches!(state.role, Role::Home) {
            return Some(reply);
        }
        let flow = match reply.flow().cloned() {
            Some(flow) => flow,
            None if room.may_speak(false) => Arc::clone(&room.flow),
            None => {
                reply.failed(SayError::Busy, None);
                return None;
            }
        };
        let sent = Sent::of(frame);
        let in_flight = flow.begin(sent.bytes().len());
        let after = room.members.last().unwrap_or(Seq(0));
        let unsettled = Unsettled::said(self.hosts.next_origin(), Arc::clone(user), sent, reply, in_flight, after);
        self.keep(room, &mut state, unsettled);
        None
    }

    /// Keeps what was asked, and asks the home.
    pub(super) fn keep(&self, room: &RoomQueue, state: &mut State, mut unsettled: Unsettled) {
        let home = state.role.attached();
        unsettled.is_sent = home.is_some();
        let (asked, body) = unsettled.asked();
        if !self.ask(room, home, asked, body) {
            return unsettled.fail(SayError::Busy);
        }
        state.unsettled.push_back(unsettled);
    }

    /// Asks the home, if this host is attached to it. False: too much waits for it.
    pub(super) fn ask(&self, room: &RoomQueue, home: Option<(i32, u64)>, asked: Asked, body: &[u8]) -> bool {
        let Some((home, attachment)) = home else { return true };
        let at = At { room: room.id.0, attachment };
        self.hosts.send(home, &Record::ToHome(at, asked), body).is_ok()
    }

    /// Asks a home that has attached this host for all that it does not know: who came and left since it was sent those who were
    /// `known`, and what is unsettled. False: too much waits for it.
    pub(super) fn ask_again(&self, room: &RoomQueue, state: &mut State, known: &[u64], home: (i32, u64)) -> bool {
        state.take_done().into_iter().for_each(|unsettled| unsettled.fail(SayError::Unknown));
        let come = state.people.iter().filter(|(connection, _)| !known.contains(connection));
        let join = |(connection, user): (&u64, &Arc<Speaker>)| Asked::Join(Newcomer::new(*connection, user));
        let gone = known.iter().filter(|connection| !state.people.contains_key(connection));
        let leave = |connection: &u64| Asked::Leave { connection: *connection };
        let others = come.map(join).chain(gone.map(leave)).map(|asked| (asked, &b""[..]));
        state.unsettled.iter_mut().for_each(|unsettled| unsettled.is_sent = true);
        let mut all = others.chain(state.unsettled.iter().map(Unsettled::asked));
        all.all(|(asked, body)| self.ask(room, Some(home), asked, body))
    }

    /// What a host tells of the room. True: something is missing, and the room has to be repaired.
    pub(super) fn hear(&self, room: &Arc<RoomQueue>, from: i32, attachment: u64, news: Told, body: Bytes) -> bool {
        let mut state = self.state();
        if let Told::Outcome { origin, outcome } = news {
            // An earlier home that is behind the times does not know that another one has the frame.
            let unsettled = if state.latest_home == Some(from) { state.take(origin) } else { None };
            drop(state);
            if let Some(unsettled) = unsettled {
                unsettled.end(room, outcome, &body);
            }
            return false;
        }
        if state.role.home() != Some((from, attachment)) {
            return false;
        }
        match (news, &mut state.role) {
            (Told::NotHome, role) => {
                *role = Role::Unknown;
                drop(state);
                self.tell_changed();
                true
            }
            (Told::Attached { seq, present }, Role::Attaching { from, .. }) => {
                *from = Some(Start { seq: Seq(seq), present: present.into_iter().map(Arc::from).collect() });
                drop(state);
                self.tell_changed();
                false
            }
            (Told::Run { first, last, messages, settled, changes }, role) => {
                let (first, last) = (first.map(Seq), last.map(Seq));
                let change = |(person, is_present): (Person, bool)| Change { user: Arc::from(person), is_present };
                let changes = changes.into_iter().map(change).collect();
                let run = ToldRun { first, last, messages, settled, changes, frames: body };
                match role {
                    Role::Attaching { early, .. } => {
                        if early.push(run) {
                            return false;
                        }
                        *role = Role::Unknown;
                        drop(state);
                        self.tell_changed();
                        true
                    }
                    _ => {
                        let put = Self::put(room, &mut state, run);
                        drop(state);
                        if matches!(put, Ok(true)) {
                            room.publish_soon();
                        }
                        put.is_err()
                    }
                }
            }
            _ => false,
        }
    }

    /// Puts a run into the room, if it follows what is there. True: the room is to be published.
    pub(super) fn put(room: &Arc<RoomQueue>, state: &mut State, run: ToldRun) -> Result<bool, Gap> {
        let have = room.members.last().unwrap_or(Seq(0));
        if let (Some(first), Some(last)) = (run.first, run.last) {
            if last <= have {
                // Its messages are known. Its other frames are lost, so who is present has to be asked for.
                return if run.changes.is_empty() { Ok(false) } else { Err(Gap) };
            }
            if first != have.next() {
                return Err(Gap);
            }
        }
        let (mut speakers, mut in_flight) = (Vec::new(), Vec::new());
        for (origin, seq) in run.settled {
            if let Some(unsettled) = state.take_stored(origin) {
                speakers.extend(unsettled.outbox().cloned());
                in_flight.push(unsettled.stored(room, Seq(seq)));
            }
        }
        let in_flight = in_flight.into_iter().flatten();
        Ok(room.members.put_run(&run.frames, run.last, run.messages, &speakers, in_flight, &run.changes))
    }

    /// Asks for deletions of messages.
    pub(in crate::chat) fn delete(&self, room: &RoomQueue, seqs: Vec<Seq>, answer: super::DeletionAnswer) {
        let mut state = self.state();
        let unsettled = Unsettled::deletion(self.hosts.next_origin(), seqs, answer);
        self.keep(room, &mut state, unsettled);
    }

    /// Has the room repaired by a task: something of what its home said is lost. If a task does that already, it tries again.
    pub(super) fn repair(&self, room: &Arc<RoomQueue>) {
        let mut state = self.state();
        state.repairing.lose();
        Self::start(room, &mut state);
    }

    /// Has the room opened or caught up by a task, unless one does that already.
    pub(in crate::chat) fn open(&self, room: &Arc<RoomQueue>) {
        Self::start(room, &mut self.state());
    }

    /// The home could not be asked for something: it is not heard until it has attached this host again.
    fn repair_with(&self, room: &Arc<RoomQueue>, state: &mut State) {
        state.role = Role::Unknown;
        state.repairing.lose();
        Self::start(room, state);
        self.tell_changed();
    }

    fn start(room: &Arc<RoomQueue>, state: &mut State) {
        if !matches!(state.role, Role::Home) && state.repairing.start() {
            tokio::spawn(super::attaching::repair(Arc::clone(room)));
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last connection has left: the home need not tell any more. What is not settled has been answered, or waits for nothing.
    pub(in crate::chat) fn close(&self, room: &RoomQueue) {
        let mut state = self.state();
        let home = state.role.home();
        for unsettled in std::mem::take(&mut state.unsettled) {
            unsettled.fail(SayError::Unknown);
        }
        if let Some((home, attachment)) = home
            && !self.ask(room, Some((home, attachment)), Asked::Detach, &[])
        {
            let at = At { room: room.id.0, attachment };
            self.hosts.send_later(home, Record::ToHome(at, Asked::Detach));
        }
    }
}
