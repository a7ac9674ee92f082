//! The clients of one server: many sockets, one thread, one epoll. Every delivery is checked. Knows nothing of when to
//! send: that is the driver's task.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::connection::{Address, Connection};
use crate::message::{self, Room};
use crate::statistics::latencies;
use crate::wire::{self, CLOSE, TEXT};

const READ_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// Connections that are opened before the open ones are read.
const CONNECTS_PER_POLL: usize = 16;

/// The clients of one server.
pub(crate) struct Clients {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    frame: Vec<u8>,
    members_per_room: u64,
    members: Vec<Member>,
    senders: Vec<Sender>,
    /// The rooms with the `seq` of the last message sent.
    rooms: Vec<Room>,
    began: Instant,
    totals: Totals,
}

/// What all clients together have received.
#[derive(Default)]
struct Totals {
    /// The time on the clients' own clock, in nanoseconds.
    now_ns: u64,
    /// Deliveries that are due: each message counts once for each member of its room.
    expected: u64,
    deliveries: u64,
    /// The senders that have received a message of their own, one entry for each message.
    acknowledged: Vec<usize>,
    latencies: Option<Histogram<u64>>,
}

struct Member {
    stream: Connection,
    /// The beginning of a frame that has not arrived completely.
    inbox: Vec<u8>,
    /// What the socket has not accepted yet.
    unsent: Vec<u8>,
    /// The room with the `seq` of the last message received.
    room: Room,
    /// Its number among the senders, if it sends.
    sender: Option<usize>,
}

struct Sender {
    member: usize,
    room: usize,
}

impl Clients {
    /// Opens `members` connections in each room, of which the first `senders` send.
    pub(crate) fn join(server: Address, rooms: Vec<Room>, members: usize, senders: usize) -> anyhow::Result<Self> {
        let mut clients = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
            members_per_room: members as u64,
            members: Vec::new(),
            senders: Vec::new(),
            rooms: Vec::new(),
            began: Instant::now(),
            totals: Totals::default(),
        };
        for room in rooms {
            for index in 0..members {
                let member = clients.members.len();
                let sender = (index < senders).then_some(clients.senders.len());
                clients.senders.extend(sender.map(|_| Sender { member, room: clients.rooms.len() }));
                clients.join_one(server, room, index, sender).with_context(|| format!("connection {member}"))?;
            }
            clients.rooms.push(room);
        }
        // Each member hears of those that join after it.
        if members > 1 {
            clients.drain(Duration::from_millis(100))?;
        }
        Ok(clients)
    }

    fn join_one(&mut self, server: Address, room: Room, index: usize, sender: Option<usize>) -> anyhow::Result<()> {
        let user = format!("{}-{index}", room.id);
        let query = format!("user_id={user}&nickname=n{user}&email={user}%40example.com");
        let (stream, inbox) = wire::open(server, &format!("/ws/chat/{}/chat/?{query}", room.id))?;
        let key = epoll::EventData::new_u64(self.members.len() as u64);
        epoll::add(&self.epoll, &stream, key, epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET)?;
        let mut member = Member { stream, inbox, unsent: Vec::new(), room, sender };
        // epoll does not report what came together with the answer.
        member.receive_frames(&mut self.totals)?;
        self.members.push(member);
        if self.members.len().is_multiple_of(CONNECTS_PER_POLL) { self.poll(Duration::ZERO) } else { Ok(()) }
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }

    pub(crate) fn deliveries(&self) -> u64 {
        self.totals.deliveries
    }

    /// Deliveries that are still due.
    pub(crate) fn outstanding(&self) -> u64 {
        self.totals.expected - self.totals.deliveries
    }

    /// The senders whose messages have come back to them since the last call.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.totals.acknowledged)
    }

    /// Records the time from sending to each delivery from now on.
    pub(crate) fn start_timing(&mut self) -> anyhow::Result<()> {
        self.totals.latencies = Some(latencies()?);
        Ok(())
    }

    /// Ends what [`Clients::start_timing`] began.
    pub(crate) fn stop_timing(&mut self) -> anyhow::Result<Histogram<u64>> {
        self.totals.latencies.take().context("nothing was timed")
    }

    /// The room that was joined last, with the `seq` that it has reached.
    pub(crate) fn last_room(&self) -> Option<Room> {
        self.rooms.last().copied()
    }

    /// Closes the connections and gives the rooms, with the `seq` that each has reached.
    pub(crate) fn leave(self) -> Vec<Room> {
        self.rooms
    }

    /// Sends the next message of a sender. Its latency counts from `due`.
    pub(crate) fn send(&mut self, sender: usize, due: Instant) -> anyhow::Result<()> {
        let Sender { member, room } = self.senders.get(sender).context("no such sender")?;
        self.rooms.get_mut(*room).context("no such room")?.last_seq += 1;
        self.totals.expected += self.members_per_room;
        let due = due.saturating_duration_since(self.began);
        message::write(&mut self.frame, sender, u64::try_from(due.as_nanos())?);
        let member = self.members.get_mut(*member).context("no such member")?;
        wire::put_text(&mut member.unsent, &self.frame)?;
        member.flush()
    }

    /// Waits at most `wait` for something to arrive, and receives all of it.
    ///
    /// Errors for a delivery that is missing, doubled, out of order or in the wrong room, an error event, a broken
    /// frame, and a connection that the server closed.
    pub(crate) fn poll(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.wait(wait)?;
        for event in &self.events {
            let index = usize::try_from(event.data.u64())?;
            let member = self.members.get_mut(index).context("an event of an unknown member")?;
            member.flush()?;
            self.totals.now_ns = u64::try_from(self.began.elapsed().as_nanos())?;
            member.receive(&mut self.buffer, &mut self.totals).with_context(|| format!("member {index}"))?;
        }
        ensure!(self.totals.deliveries <= self.totals.expected, "a message was delivered twice, under two numbers");
        Ok(())
    }

    fn wait(&mut self, wait: Duration) -> anyhow::Result<()> {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !wait.is_zero() {
            // poll counts nanoseconds; epoll counts whole milliseconds.
            let wait = Timespec { tv_sec: i64::try_from(wait.as_secs())?, tv_nsec: wait.subsec_nanos().into() };
            poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&wait))?;
        }
        self.events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&NOW))?;
        Ok(())
    }

    /// Receives until nothing has arrived for so long.
    pub(crate) fn drain(&mut self, quiet: Duration) -> anyhow::Result<()> {
        loop {
            self.poll(quiet)?;
            if self.events.is_empty() {
                return Ok(());
            }
        }
    }
}

impl Member {
    /// Writes what the socket accepts.
    fn flush(&mut self) -> anyhow::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.unsent) {
            Ok(count) => {
                self.unsent.drain(..count);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    /// Reads until the socket is empty: an edge-triggered epoll reports only what is new.
    fn receive(&mut self, buffer: &mut [u8], totals: &mut Totals) -> anyhow::Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot receive"),
            };
            self.inbox.extend(buffer.iter().take(count));
            self.receive_frames(totals)?;
            if count < buffer.len() && self.stream.ends_with_a_short_read() {
                return self.flush();
            }
        }
    }

    /// Takes the whole frames out of the inbox.
    fn receive_frames(&mut self, totals: &mut Totals) -> anyhow::Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        while let Some(frame) = wire::next_frame(rest)? {
            match frame.opcode {
                TEXT => self.receive_event(frame.payload, totals)?,
                CLOSE => bail!("the server closed the connection: {}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
            rest = frame.rest;
        }
        let taken = inbox.len() - rest.len();
        inbox.drain(..taken);
        self.inbox = inbox;
        Ok(())
    }

    fn receive_event(&mut self, event: &[u8], totals: &mut Totals) -> anyhow::Result<()> {
        let Some(message) = message::read(event) else {
            let joins_or_leaves = memchr::memmem::find(event, br#""type":"chat.user."#).is_some();
            ensure!(joins_or_leaves, "the server sent an unexpected event: {}", String::from_utf8_lossy(event));
            return Ok(());
        };
        self.room.receive(&message)?;
        totals.deliveries += 1;
        if let Some(latencies) = &mut totals.latencies {
            latencies.saturating_record(totals.now_ns.saturating_sub(message.sent_ns));
        }
        if self.sender == Some(message.sender) {
            totals.acknowledged.push(message.sender);
        }
        Ok(())
    }
}
