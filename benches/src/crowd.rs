//! The clients of one server: many sockets, one thread, one epoll. Every delivery is checked by the ear of its
//! member. Knows nothing of when to speak: that is the load's to say.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::ear::{Ear, Room};
use crate::echo::{self, Echo};
use crate::histogram::Histogram;
use crate::stamp::Stamps;
use crate::wire::{self, CLOSE, PING, TEXT};

const READ_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// Connections that are opened before those that are open are listened to.
const CONNECTS_PER_TURN: usize = 16;
/// A wait shorter than this is measured in nanoseconds; epoll's own counts whole milliseconds.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// The clients of one server.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    frame: Vec<u8>,
    members: Vec<Member>,
    senders: Vec<Sender>,
    began: Instant,
    /// The senders that have heard a message of their own, one entry for each.
    pub(crate) acknowledged: Vec<usize>,
    /// What was said and heard so far.
    pub(crate) tally: Tally,
    /// Which version wrote it, where versions give themselves away.
    pub(crate) stamps: Option<Stamps>,
}

/// Who is to come into each room, and how.
#[derive(Clone, Copy)]
pub(crate) struct Guests {
    pub(crate) members: usize,
    /// How many of them may speak.
    pub(crate) senders: usize,
    /// The `seq` of each room's last message before they come.
    pub(crate) last_seq: u64,
    /// How many ask to come in before the first of them is waited for.
    pub(crate) at_once: usize,
}

/// What a crowd has said and heard.
#[derive(Default)]
pub(crate) struct Tally {
    /// Messages sent, and those of them that have reached everybody.
    pub(crate) said: u64,
    pub(crate) finished: u64,
    /// Messages received, counted at each member.
    pub(crate) deliveries: u64,
    /// Other events, such as joins.
    pub(crate) others: u64,
    /// From sending to each delivery, while `timing`.
    pub(crate) latency: Histogram,
    pub(crate) timing: bool,
}

struct Member {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    carry: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    ear: Ear,
}

struct Sender {
    member: usize,
    room_members: u32,
    said: u64,
    finished: u64,
    /// For each message that is not everywhere yet, how many have still to hear it.
    awaited: VecDeque<u32>,
}

impl Crowd {
    /// Opens `members` connections in each room, of which the first `senders` may speak. The rooms are new.
    pub(crate) fn gather(server: SocketAddr, rooms: &[u64], members: usize, senders: usize) -> anyhow::Result<Self> {
        Self::gather_as(server, rooms, Guests { members, senders, last_seq: 0, at_once: 1 })
    }

    /// Lets the guests into each room.
    pub(crate) fn gather_as(server: SocketAddr, rooms: &[u64], guests: Guests) -> anyhow::Result<Self> {
        let mut crowd = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
            members: Vec::new(),
            senders: Vec::new(),
            began: Instant::now(),
            acknowledged: Vec::new(),
            tally: Tally::default(),
            stamps: None,
        };
        for &id in rooms {
            let room = Room { id, first_sender: crowd.senders.len(), last_seq: guests.last_seq };
            let mut asked = VecDeque::new();
            for place in 0..guests.members {
                asked.push_back(ask(server, id, place).with_context(|| format!("member {place} of room {id}"))?);
                if asked.len() >= guests.at_once {
                    crowd.admit(&mut asked, room, guests)?;
                }
            }
            crowd.admit(&mut asked, room, guests)?;
        }
        Ok(crowd)
    }

    /// Takes in those who have asked, the first of each room as its senders.
    fn admit(&mut self, asked: &mut VecDeque<TcpStream>, room: Room, guests: Guests) -> anyhow::Result<()> {
        for stream in asked.drain(..) {
            if self.senders.len() < room.first_sender + guests.senders {
                self.senders.push(Sender::new(self.members.len(), u32::try_from(guests.members)?));
            }
            let answered = wire::answered(stream);
            let (stream, early) = answered.with_context(|| format!("connection {}", self.members.len() + 1))?;
            let key = epoll::EventData::new_u64(self.members.len() as u64);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&self.epoll, &stream, key, flags)?;
            let ear = Ear::new(room, guests.senders);
            let mut member = Member { stream, carry: Vec::new(), unsent: Vec::new(), ear };
            let Self { senders, acknowledged, tally, stamps, .. } = self;
            let now_ns = u64::try_from(self.began.elapsed().as_nanos())?;
            let mut hearing = Hearing { senders, acknowledged, tally, stamps, member: self.members.len(), now_ns };
            // What came with the answer is not told of again.
            member.carry = member.take_whole(&early, &mut hearing)?.to_vec();
            self.members.push(member);
            if self.members.len().is_multiple_of(CONNECTS_PER_TURN) {
                self.turn(Duration::ZERO)?;
            }
        }
        Ok(())
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Messages that have not reached everybody.
    pub(crate) fn in_flight(&self) -> u64 {
        self.tally.said - self.tally.finished
    }

    /// Says the sender's next message. `since` is when it was due, and what its latency is counted from.
    pub(crate) fn say(&mut self, sender: usize, since: Instant) -> anyhow::Result<()> {
        let index = sender;
        let sender = self.senders.get_mut(index).context("no such sender")?;
        sender.said += 1;
        self.tally.said += 1;
        sender.awaited.push_back(sender.room_members);
        let since = since.saturating_duration_since(self.began);
        echo::write(&mut self.frame, index, sender.said, u64::try_from(since.as_nanos())?);
        let member = self.members.get_mut(sender.member).context("no such member")?;
        wire::put_text(&mut member.unsent, &self.frame);
        member.flush()
    }

    /// Waits at most `wait` for something to arrive, and takes in all that has.
    ///
    /// Errors for a delivery that is missing, doubled, out of order or in the wrong room, an error event, a broken
    /// frame, and a connection that the server closed.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.wait(wait)?;
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let index = usize::try_from(event.data.u64())?;
            let member = self.members.get_mut(index).context("an event of nobody")?;
            if !member.unsent.is_empty() {
                member.flush()?;
            }
            let Self { senders, acknowledged, tally, stamps, .. } = self;
            let now_ns = u64::try_from(self.began.elapsed().as_nanos())?;
            let mut hearing = Hearing { senders, acknowledged, tally, stamps, member: index, now_ns };
            member.hear(&mut self.buffer, &mut hearing).with_context(|| format!("member {index}"))?;
        }
        self.events = events;
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

    /// Takes in all that has come, and waits for nothing.
    pub(crate) fn catch_up(&mut self) -> anyhow::Result<()> {
        loop {
            self.turn(Duration::ZERO)?;
            if self.events.is_empty() {
                return Ok(());
            }
        }
    }

    /// Listens until nothing has come for a while: what joining has set off is then over.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        const QUIET: Duration = Duration::from_millis(100);
        loop {
            let before = (self.tally.others, self.tally.deliveries);
            let until = Instant::now() + QUIET;
            while Instant::now() < until {
                self.turn(until.saturating_duration_since(Instant::now()))?;
            }
            if before == (self.tally.others, self.tally.deliveries) {
                return Ok(());
            }
        }
    }
}

fn ask(server: SocketAddr, room: u64, place: usize) -> anyhow::Result<TcpStream> {
    let user = format!("{room}-{place}");
    wire::ask(server, &format!("/ws/chat/{room}/chat/?user_id={user}&nickname=n{user}&email={user}%40example.com"))
}

impl Member {
    /// Writes what the socket takes.
    fn flush(&mut self) -> anyhow::Result<()> {
        match self.stream.write(&self.unsent) {
            Ok(count) => {
                self.unsent.drain(..count);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("cannot send"),
        }
    }

    /// Reads until the socket is empty: epoll tells only of what is new.
    fn hear(&mut self, buffer: &mut [u8], hearing: &mut Hearing<'_>) -> anyhow::Result<()> {
        loop {
            let carried = self.carry.len();
            let (start, space) = buffer.split_at_mut_checked(carried).context("a frame is too long")?;
            ensure!(!space.is_empty(), "a frame is too long");
            start.copy_from_slice(&self.carry);
            let count = match self.stream.read(space) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot receive"),
            };
            let drained = count < space.len();
            let rest = self.take_whole(buffer.get(..carried + count).unwrap_or_default(), hearing)?;
            self.carry.clear();
            self.carry.extend_from_slice(rest);
            if drained {
                return if self.unsent.is_empty() { Ok(()) } else { self.flush() };
            }
        }
    }

    /// Takes in the frames that are whole, and gives what follows them.
    fn take_whole<'a>(&mut self, mut bytes: &'a [u8], hearing: &mut Hearing<'_>) -> anyhow::Result<&'a [u8]> {
        while let Some(frame) = wire::next_frame(bytes)? {
            match frame.opcode {
                TEXT => self.take(frame.payload, hearing)?,
                PING => wire::put_pong(&mut self.unsent, frame.payload),
                CLOSE => bail!("the server closed the connection: {}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
            bytes = frame.rest;
        }
        Ok(bytes)
    }

    /// Takes one event in: counts it, and checks it if it is a message.
    fn take(&mut self, event: &[u8], hearing: &mut Hearing<'_>) -> anyhow::Result<()> {
        match echo::read(event) {
            Some(echo) => {
                self.ear.hear(&echo)?;
                if let Some(stamps) = hearing.stamps {
                    stamps.hear(event, &echo)?;
                }
                hearing.delivered(&echo)
            }
            None => {
                let error = memchr::memmem::find(event, br#""type":"error""#).is_some();
                ensure!(!error, "the server sent an error: {}", String::from_utf8_lossy(event));
                hearing.tally.others += 1;
                Ok(())
            }
        }
    }
}

impl Sender {
    fn new(member: usize, room_members: u32) -> Self {
        Self { member, room_members, said: 0, finished: 0, awaited: VecDeque::new() }
    }
}

/// What a member that hears something changes beyond itself.
struct Hearing<'a> {
    senders: &'a mut [Sender],
    acknowledged: &'a mut Vec<usize>,
    tally: &'a mut Tally,
    stamps: &'a mut Option<Stamps>,
    /// Who hears.
    member: usize,
    now_ns: u64,
}

impl Hearing<'_> {
    fn delivered(&mut self, echo: &Echo) -> anyhow::Result<()> {
        self.tally.deliveries += 1;
        if self.tally.timing {
            self.tally.latency.add(self.now_ns.saturating_sub(echo.sent_ns));
        }
        let sender = self.senders.get_mut(echo.sender).context("a message of nobody")?;
        if sender.member == self.member {
            self.acknowledged.push(echo.sender);
        }
        let place = usize::try_from(echo.n - sender.finished - 1)?;
        let awaited = sender.awaited.get_mut(place).context("a message that nobody sent")?;
        *awaited -= 1;
        // A sender's messages reach each member in order, so they end in order too.
        while sender.awaited.front() == Some(&0) {
            sender.awaited.pop_front();
            sender.finished += 1;
            self.tally.finished += 1;
        }
        Ok(())
    }
}
