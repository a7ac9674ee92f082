//! The clients of one server: many sockets, one thread, one epoll. Every delivery is checked. Knows nothing of when to
//! send: that is the driver's task.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::checker::{Checker, Room};
use crate::message;
use crate::wire::{self, CLOSE, PING, PONG, TEXT};

const READ_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// Connections that are opened before the open ones are read.
const CONNECTS_PER_POLL: usize = 16;
/// A wait shorter than this is measured in nanoseconds; epoll's own counts whole milliseconds.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// The clients of one server.
pub(crate) struct Clients {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    frame: Vec<u8>,
    rooms: Vec<Room>,
    members_per_room: u64,
    members: Vec<Member>,
    senders: Vec<Sender>,
    totals: Totals,
}

/// What all clients together have received.
struct Totals {
    began: Instant,
    /// Deliveries that are due: each message counts once for each member of its room.
    expected: u64,
    deliveries: u64,
    /// Other events, such as joins.
    others: u64,
    /// The senders that have received a message of their own, one entry for each message.
    acknowledged: Vec<usize>,
    latencies: Option<Histogram<u64>>,
}

struct Member {
    stream: TcpStream,
    /// The beginning of a frame that has not arrived completely.
    partial: Vec<u8>,
    /// What the socket has not accepted yet.
    unsent: Vec<u8>,
    checker: Checker,
    /// Its number among the senders, if it sends.
    sender: Option<usize>,
}

struct Sender {
    member: usize,
    room: usize,
    sent: u64,
}

impl Clients {
    /// Opens `members` connections in each room, of which the first `senders` send.
    pub(crate) fn join(server: SocketAddr, rooms: Vec<Room>, members: usize, senders: usize) -> anyhow::Result<Self> {
        let totals = Totals {
            began: Instant::now(),
            expected: 0,
            deliveries: 0,
            others: 0,
            acknowledged: Vec::new(),
            latencies: None,
        };
        let mut clients = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
            rooms,
            members_per_room: members as u64,
            members: Vec::new(),
            senders: Vec::new(),
            totals,
        };
        for room in 0..clients.rooms.len() {
            let first_sender = clients.senders.len();
            for index in 0..members {
                let sender = (index < senders).then_some(first_sender + index);
                clients.join_one(
                    server,
                    room,
                    index,
                    sender,
                    Checker::new(clients.room(room)?, first_sender, senders),
                )?;
            }
        }
        Ok(clients)
    }

    fn room(&self, index: usize) -> anyhow::Result<Room> {
        self.rooms.get(index).copied().context("no such room")
    }

    fn join_one(
        &mut self,
        server: SocketAddr,
        room: usize,
        index: usize,
        sender: Option<usize>,
        checker: Checker,
    ) -> anyhow::Result<()> {
        let id = self.room(room)?.id;
        let (user, member) = (format!("{id}-{index}"), self.members.len());
        let query = format!("user_id={user}&nickname=n{user}&email={user}%40example.com");
        let opened = wire::open(server, &format!("/ws/chat/{id}/chat/?{query}"));
        let (stream, early) = opened.with_context(|| format!("member {index} of room {id}"))?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(member as u64), flags)?;
        let mut joined = Member { stream, partial: Vec::new(), unsent: Vec::new(), checker, sender };
        // epoll does not report what came together with the answer.
        joined.partial = joined.receive_frames(&early, &mut self.totals)?.to_vec();
        self.members.push(joined);
        if sender.is_some() {
            self.senders.push(Sender { member, room, sent: 0 });
        }
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
        self.totals.expected.saturating_sub(self.totals.deliveries)
    }

    /// The senders whose messages have come back to them since the last call.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.totals.acknowledged)
    }

    /// Records the time from sending to each delivery from now on.
    pub(crate) fn start_timing(&mut self) -> anyhow::Result<()> {
        self.totals.latencies = Some(crate::statistics::latencies()?);
        Ok(())
    }

    /// Ends what [`Clients::start_timing`] began.
    pub(crate) fn stop_timing(&mut self) -> anyhow::Result<Histogram<u64>> {
        self.totals.latencies.take().context("nothing was timed")
    }

    /// Closes the connections and gives the rooms, with the `seq` that each has reached.
    pub(crate) fn leave(self) -> Vec<Room> {
        self.rooms
    }

    /// Sends the next message of a sender. Its latency counts from `due`.
    pub(crate) fn send(&mut self, sender: usize, due: Instant) -> anyhow::Result<()> {
        let index = sender;
        let sender = self.senders.get_mut(index).context("no such sender")?;
        let room = self.rooms.get_mut(sender.room).context("no such room")?;
        sender.sent += 1;
        room.last_seq += 1;
        self.totals.expected += self.members_per_room;
        let due = due.saturating_duration_since(self.totals.began);
        message::write(&mut self.frame, index, sender.sent, u64::try_from(due.as_nanos())?);
        let member = self.members.get_mut(sender.member).context("no such member")?;
        wire::put_frame(&mut member.unsent, TEXT, &self.frame)?;
        member.flush()
    }

    /// Waits at most `wait` for something to arrive, and receives all of it.
    ///
    /// Errors for a delivery that is missing, doubled, out of order or in the wrong room, an error event, a broken frame,
    /// and a connection that the server closed.
    pub(crate) fn poll(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.wait(wait)?;
        for event in &self.events {
            let index = usize::try_from(event.data.u64())?;
            let member = self.members.get_mut(index).context("an event of an unknown member")?;
            member.flush()?;
            member.receive(&mut self.buffer, &mut self.totals).with_context(|| format!("member {index}"))?;
        }
        Ok(())
    }

    fn wait(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut rest = Timespec { tv_sec: i64::try_from(wait.as_secs())?, tv_nsec: wait.subsec_nanos().into() };
        if wait > Duration::ZERO && wait < SHORT_WAIT {
            poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&rest))?;
            rest = Timespec { tv_sec: 0, tv_nsec: 0 };
        }
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&rest)) {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Receives all that has arrived, without waiting. Clients that pause must do so to answer pings.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        loop {
            self.poll(Duration::ZERO)?;
            if self.events.is_empty() {
                return Ok(());
            }
        }
    }

    /// Receives until nothing has arrived for a while: the events of joining are over then.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        const QUIET: Duration = Duration::from_millis(100);
        loop {
            let before = self.totals.others;
            let until = Instant::now() + QUIET;
            while Instant::now() < until {
                self.poll(until.saturating_duration_since(Instant::now()))?;
            }
            if before == self.totals.others {
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
            let (start, space) = buffer.split_at_mut_checked(self.partial.len()).context("a frame is too long")?;
            ensure!(!space.is_empty(), "a frame is too long");
            start.copy_from_slice(&self.partial);
            let count = match self.stream.read(space) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot receive"),
            };
            let (is_empty, end) = (count < space.len(), start.len() + count);
            let rest = self.receive_frames(buffer.get(..end).unwrap_or_default(), totals)?;
            self.partial.clear();
            self.partial.extend_from_slice(rest);
            if is_empty {
                return self.flush();
            }
        }
    }

    /// Takes the whole frames, and gives what follows them.
    fn receive_frames<'a>(&mut self, mut bytes: &'a [u8], totals: &mut Totals) -> anyhow::Result<&'a [u8]> {
        let now_ns = u64::try_from(totals.began.elapsed().as_nanos())?;
        while let Some(frame) = wire::next_frame(bytes)? {
            match frame.opcode {
                TEXT => self.receive_event(frame.payload, now_ns, totals)?,
                PING => wire::put_frame(&mut self.unsent, PONG, frame.payload)?,
                CLOSE => bail!("the server closed the connection: {}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
            bytes = frame.rest;
        }
        Ok(bytes)
    }

    fn receive_event(&mut self, event: &[u8], now_ns: u64, totals: &mut Totals) -> anyhow::Result<()> {
        let Some(message) = message::read(event) else {
            let is_other = memchr::memmem::find(event, br#""type":"chat.user."#).is_some();
            ensure!(is_other, "the server sent an unexpected event: {}", String::from_utf8_lossy(event));
            totals.others += 1;
            return Ok(());
        };
        self.checker.check(&message)?;
        totals.deliveries += 1;
        if let Some(latencies) = &mut totals.latencies {
            latencies.saturating_record(now_ns.saturating_sub(message.sent_ns));
        }
        if self.sender == Some(message.sender) {
            totals.acknowledged.push(message.sender);
        }
        Ok(())
    }
}
