//! The members of a room, and fan-out to their connections and to other hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::announced::{Announced, Change};
use super::figures::{Counted, add_delivered};
use super::flow::InFlight;
use super::members::{Members, Presence};
use super::outbox::{Outbox, OutboxState};
use super::pass::{Early, Pass, Received, STOP_EVERY};
use super::remote::{Remote, Remotes, Run};
use ondol_host_model::{Seq, frame};

mod shared;

/// The members of one room, and the frames that wait to be sent to them.
#[derive(Default)]
pub struct Room {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    members: Members,
    /// While it has connections.
    counted: Option<Counted>,
    /// All connections, in no order: the last one replaces one that leaves.
    connections: Vec<Arc<Outbox>>,
    /// The position of each connection in `connections`, by its id.
    positions: HashMap<u64, usize>,
    /// A copy of `connections` for publishers. None: they changed since.
    snapshot: Option<Arc<[Arc<Outbox>]>>,
    /// The other hosts that receive what is put.
    remotes: Remotes,
    /// Who is present, as the connections have heard.
    announced: Announced,
    /// The last message that was put. None: not known, as none was put since the room was opened.
    last: Option<Seq>,
    /// Frames that wait to be written, and how many of them are of messages.
    outgoing: BytesMut,
    outgoing_messages: u64,
    /// Their messages, which are in flight until every socket has taken the frames.
    in_flight: Vec<InFlight>,
    /// Connections of a large room that spoke and wait for their own frames.
    speakers: Vec<Arc<Outbox>>,
    /// How much of `outgoing` some connections have received early, or was put before they joined, by their ids.
    received: HashMap<u64, Received>,
    /// Answers to single connections, which follow what was put before them.
    answers: Vec<Answer>,
    publishing: bool,
    /// A publisher panicked and left frames behind.
    orphaned: bool,
}

/// Frames that are sent together, and their messages, which are in flight for as long as an outbox holds any of the
/// bytes.
struct SharedFrames {
    frames: Bytes,
    _in_flight: Vec<InFlight>,
}

/// An answer to one connection, which is in flight until it is sent.
struct Answer {
    outbox: Arc<Outbox>,
    frames: Bytes,
    _in_flight: InFlight,
}

impl AsRef<[u8]> for SharedFrames {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

/// How many writes a publisher makes for others before it returns to its own work.
const WRITES_MAX: usize = 1_024;

/// How many speakers receive their frames early at once.
const SPEAKERS_MAX: usize = 16;

/// How far a publisher got.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is sent, or another publisher is sending it.
    Done,
    /// After [`WRITES_MAX`] writes there is more: call [`Room::continue_publishing`] from a task that has time.
    Pending,
}

impl Room {
    /// Adds a connection of `user`. It receives what is put from now on, and nothing that was put before. Returns the last
    /// message before that as well, if it is known.
    pub fn join(&self, user: &str, outbox: &Arc<Outbox>) -> (Presence, Option<Seq>) {
        let mut inner = self.lock();
        (inner.join(user, outbox), inner.last)
    }

    /// Removes it again. Nothing changes if it is not in the room.
    pub fn leave(&self, user: &str, outbox: &Outbox) -> Presence {
        self.lock().leave(user, outbox)
    }

    /// Whether the room has no connection, to this host or to another one, and no other host attached.
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.members.is_empty() && inner.remotes.is_empty()
    }

    /// The last message that was put, if it is known.
    pub fn last(&self) -> Option<Seq> {
        self.lock().last
    }

    /// Records the last message of the room, as the database has it while none is in flight. Returns the last one that
    /// was put: this one, unless a later one is known.
    pub fn learn_last(&self, seq: Seq) -> Seq {
        let last = &mut self.lock().last;
        *last.insert(last.map_or(seq, |last| last.max(seq)))
    }

    /// Appends a payload to those that wait to be sent, of the message `seq` if it is one. True: the caller has to arrange a call of [`Room::publish`];
    /// otherwise another publisher will send it. `speaker`: the connection that said it. `in_flight` is dropped when the
    /// last socket has taken the payload. `origin`: the frame that the message came by, if another host forwarded it.
    #[must_use]
    pub fn put(
        &self,
        payload: &str,
        seq: Option<Seq>,
        speaker: Option<&Arc<Outbox>>,
        in_flight: impl IntoIterator<Item = InFlight>,
        origin: Option<i64>,
    ) -> bool {
        let mut inner = self.lock();
        inner.in_flight.extend(in_flight);
        inner.last = seq.or(inner.last);
        inner.outgoing_messages += u64::from(seq.is_some());
        if let Some(seq) = seq
            && !inner.remotes.is_empty()
        {
            inner.remotes.note(seq, origin);
        }
        let due = inner.is_due();
        frame::text(&mut inner.outgoing, payload);
        if let Some(speaker) = speaker {
            inner.add_speaker(speaker);
        }
        due
    }

    /// Appends whole frames that the room's home wrote, with so many messages, of which `last` is the last one. Otherwise like
    /// [`Room::put`]; `speakers` are the connections that said some of them, and others tell of `changes`.
    #[must_use]
    pub fn put_run(
        &self,
        frames: &[u8],
        last: Option<Seq>,
        messages: u64,
        speakers: &[Arc<Outbox>],
        in_flight: impl IntoIterator<Item = InFlight>,
        changes: &[Change],
    ) -> bool {
        let mut inner = self.lock();
        inner.last = last.or(inner.last);
        changes.iter().for_each(|change| inner.note(change));
        if frames.is_empty() {
            return false;
        }
        inner.in_flight.extend(in_flight);
        inner.outgoing_messages += messages;
        if let Some(last) = last {
            inner.remotes.note_run(last, messages);
        }
        let due = inner.is_due();
        inner.outgoing.extend_from_slice(frames);
        for speaker in speakers {
            inner.add_speaker(speaker);
        }
        due
    }

    /// Sends the event of a message that was stored before to one connection, which sent it again. It never comes ahead of
    /// an earlier message: it follows what was put, and if the message itself is still to be put, that is the answer.
    pub fn answer(&self, outbox: &Arc<Outbox>, payload: &str, seq: Seq, in_flight: InFlight) {
        let mut inner = self.lock();
        if inner.last.is_some_and(|last| last < seq) && inner.positions.contains_key(&outbox.id) {
            return;
        }
        let mut frames = BytesMut::new();
        frame::text(&mut frames, payload);
        let frames = frames.freeze();
        if inner.publishing || !inner.outgoing.is_empty() {
            inner.answers.push(Answer { outbox: Arc::clone(outbox), frames, _in_flight: in_flight });
        } else {
            drop(inner);
            outbox.send(&frames);
        }
    }

    /// The number of bytes that wait for a publisher.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().outgoing.len()
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// Sends the payloads that wait to every other host and every connection in the room. If another publisher is sending, it
    /// sends these as well.
    pub fn publish(&self) -> Progress {
        let mut inner = self.lock();
        if inner.publishing || inner.outgoing.is_empty() {
            return Progress::Done;
        }
        inner.publishing = true;
        drop(inner);
        self.continue_publishing()
    }

    /// Continues after [`Progress::Pending`].
    pub fn continue_publishing(&self) -> Progress {
        let publisher = Publisher(self);
        let mut writes = 0;
        while writes < WRITES_MAX {
            let (runs, early, pass, answers, connections) = {
                let mut inner = self.lock();
                if inner.outgoing.is_empty() && inner.answers.is_empty() {
                    inner.publishing = false;
                    inner.orphaned = false;
                    publisher.end();
                    return Progress::Done;
                }
                // Before what waits is taken: a speaker receives a copy of it.
                let early = inner.take_early();
                let pass = inner.take_outgoing();
                let runs = inner.take_runs(&pass);
                (runs, early, pass, std::mem::take(&mut inner.answers), inner.snapshot())
            };
            // First, as the way to their members is longer.
            for (remote, run) in runs {
                remote.receive(run);
            }
            writes += connections.len().max(1);
            let mut delivered = early.iter().map(Early::send).sum();
            if !pass.frames.is_empty() {
                delivered += pass.send(&connections, || self.lock().take_early());
            }
            add_delivered(delivered);
            for Answer { outbox, frames, .. } in &answers {
                outbox.send(frames);
            }
        }
        publisher.end();
        Progress::Pending
    }

    /// Every connection in the room.
    pub fn outboxes(&self) -> Arc<[Arc<Outbox>]> {
        self.lock().snapshot()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A publisher's turn, which a panic ends as well: the next payload that is put then publishes the rest.
struct Publisher<'a>(&'a Room);

impl Publisher<'_> {
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Publisher<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.publishing = false;
        inner.orphaned = true;
    }
}

impl Inner {
    fn join(&mut self, user: &str, outbox: &Arc<Outbox>) -> Presence {
        self.positions.insert(outbox.id, self.connections.len());
        self.connections.push(Arc::clone(outbox));
        self.snapshot = None;
        if !self.outgoing.is_empty() {
            self.received.insert(outbox.id, self.put_so_far());
        }
        self.counted.get_or_insert_with(Counted::room);
        self.members.join(user)
    }

    fn leave(&mut self, user: &str, outbox: &Outbox) -> Presence {
        let Some(position) = self.positions.remove(&outbox.id) else { return Presence::Same };
        self.connections.swap_remove(position);
        if let Some(moved) = self.connections.get(position) {
            self.positions.insert(moved.id, position);
        }
        self.snapshot = None;
        self.counted.take_if(|_| self.connections.is_empty());
        self.members.leave(user)
    }

    /// Notes that a user comes or goes, for other hosts as well.
    fn note(&mut self, change: &Change) {
        self.announced.note(change);
        self.remotes.note_change(change);
    }

    /// Whether what is put now has no publisher.
    fn is_due(&self) -> bool {
        !self.publishing && (self.outgoing.is_empty() || self.orphaned)
    }

    /// Notes that a connection waits for the frame that was put last.
    fn add_speaker(&mut self, speaker: &Arc<Outbox>) {
        let worthwhile = self.connections.len() > STOP_EVERY && self.speakers.len() < SPEAKERS_MAX;
        if worthwhile && self.speakers.iter().all(|known| known.id != speaker.id) {
            self.speakers.push(Arc::clone(speaker));
        }
    }

    /// What the speakers are to receive ahead of the next pass.
    fn take_early(&mut self) -> Vec<Early> {
        let speakers = std::mem::take(&mut self.speakers);
        speakers.into_iter().filter_map(|speaker| self.early(speaker)).collect()
    }

    /// A copy of the frames that a speaker has not received. Not for one whose socket is full: the copy keeps no message in
    /// flight, so at most one may wait in an outbox.
    fn early(&mut self, speaker: Arc<Outbox>) -> Option<Early> {
        if !self.positions.contains_key(&speaker.id) || speaker.state() != OutboxState::Idle {
            return None;
        }
        let received = self.received.insert(speaker.id, self.put_so_far()).unwrap_or_default();
        let frames = Bytes::copy_from_slice(self.outgoing.get(received.bytes..)?);
        Some(Early { speaker, frames, messages: self.outgoing_messages - received.messages })
    }

    /// All that waits to be written.
    fn put_so_far(&self) -> Received {
        Received { bytes: self.outgoing.len(), messages: self.outgoing_messages }
    }

    /// Takes the frames that wait.
    fn take_outgoing(&mut self) -> Pass {
        let frames = self.outgoing.split().freeze();
        let next = Vec::with_capacity(self.in_flight.len());
        let in_flight = std::mem::replace(&mut self.in_flight, next);
        let frames = if in_flight.is_empty() {
            frames
        } else {
            Bytes::from_owner(SharedFrames { frames, _in_flight: in_flight })
        };
        let messages = std::mem::take(&mut self.outgoing_messages);
        Pass { frames, messages, received: std::mem::take(&mut self.received) }
    }

    /// What other hosts are to receive of a pass.
    fn take_runs(&mut self, pass: &Pass) -> Vec<(Arc<dyn Remote>, Run)> {
        if self.remotes.is_empty() { Vec::new() } else { self.remotes.take(&pass.frames) }
    }

    /// The connections to send to. Joins and leaves between two sends cost one copy of the list together.
    fn snapshot(&mut self) -> Arc<[Arc<Outbox>]> {
        let connections = &self.connections;
        Arc::clone(self.snapshot.get_or_insert_with(|| connections.iter().cloned().collect()))
    }
}
