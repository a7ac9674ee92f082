//! One client that sends as fast as its socket takes it, and five readers in the same room; and, to compare with, a loop that
//! takes as much of a CPU. Each runs until it is ended. Knows nothing of what others feel of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::own_thread_time;
use crate::wire::{self, CLOSE, PING};

/// Readers in the flooder's room.
pub(crate) const READERS: usize = 5;
/// A reader takes `READ_BYTES` of what has come once in `READ_EVERY`: 2 MB/s, as over a good mobile connection.
const READ_BYTES: usize = 20_000;
const READ_EVERY: Duration = Duration::from_millis(10);
/// Frames that the flooder hands to its socket at once.
const BATCH: usize = 1_000;
/// Before it knocks again where the server did not let it in.
const KNOCK_AGAIN: Duration = Duration::from_millis(50);
/// The loop is busy for its share of each such period.
const LOOP_PERIOD: Duration = Duration::from_millis(10);

/// A socket that reads what comes and says only what it is given to say.
struct Socket {
    stream: TcpStream,
    carry: Vec<u8>,
    unsent: Vec<u8>,
    closed: bool,
}

impl Socket {
    fn join(server: SocketAddr, room: u64, name: &str) -> anyhow::Result<Self> {
        let target = format!("/ws/chat/{room}/chat/?user_id={name}&nickname={name}&email={name}%40example.com");
        let (stream, carry) = wire::answered(wire::ask(server, &target)?)?;
        Ok(Self { stream, carry, unsent: Vec::new(), closed: false })
    }

    /// Takes in at most one `buffer` of what has come, answers pings, and sees whether the server closed.
    fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => self.closed = true,
            Ok(count) => self.carry.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
        let mut rest = self.carry.as_slice();
        while let Some(frame) = wire::next_frame(rest)? {
            match frame.opcode {
                PING => wire::put_pong(&mut self.unsent, frame.payload),
                CLOSE => self.closed = true,
                _ => {}
            }
            rest = frame.rest;
        }
        let taken = self.carry.len() - rest.len();
        self.carry.drain(..taken);
        Ok(())
    }

    /// Hands to the system what it takes.
    fn write(&mut self) {
        match self.stream.write(&self.unsent) {
            Ok(count) => drop(self.unsent.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }
}

/// What runs on threads of its own until it is ended.
pub(crate) struct Running<T> {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<T>>>,
}

impl<T: Send + 'static> Running<T> {
    fn new() -> Self {
        Self { ended: Arc::default(), threads: Vec::new() }
    }

    fn spawn(&mut self, work: impl FnOnce(&AtomicBool) -> anyhow::Result<T> + Send + 'static) {
        let ended = Arc::clone(&self.ended);
        self.threads.push(std::thread::spawn(move || work(&ended)));
    }

    /// Ends it, and gives what each thread found.
    pub(crate) fn end(self) -> anyhow::Result<Vec<T>> {
        self.ended.store(true, Ordering::Relaxed);
        let found = self.threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        found.collect()
    }
}

/// What the flood was, as one of its threads saw it.
#[derive(Default)]
pub(crate) struct Flooded {
    pub(crate) cpu: Duration,
    /// Times that the server closed the flooder, which then comes again.
    pub(crate) flooder_closed: u64,
    pub(crate) readers_closed: u64,
}

/// Lets the readers and the flooder into the room and begins to flood it.
pub(crate) fn flood(server: SocketAddr, room: u64) -> anyhow::Result<Running<Flooded>> {
    let readers: anyhow::Result<Vec<_>> =
        (0..READERS).map(|number| Socket::join(server, room, &format!("reader{number}"))).collect();
    let readers = readers.context("the readers")?;
    let flooder = Socket::join(server, room, "flooder").context("the flooder")?;
    let mut running = Running::new();
    running.spawn(move |ended| read(readers, ended));
    running.spawn(move |ended| send(flooder, ended, || Socket::join(server, room, "flooder")));
    Ok(running)
}

fn read(mut readers: Vec<Socket>, ended: &AtomicBool) -> anyhow::Result<Flooded> {
    let mut buffer = vec![0; READ_BYTES];
    while !ended.load(Ordering::Relaxed) {
        for reader in readers.iter_mut().filter(|reader| !reader.closed) {
            reader.read(&mut buffer)?;
            if !reader.unsent.is_empty() {
                reader.write();
            }
        }
        std::thread::sleep(READ_EVERY);
    }
    let readers_closed = readers.iter().filter(|reader| reader.closed).count() as u64;
    Ok(Flooded { cpu: own_thread_time(), readers_closed, ..Flooded::default() })
}

fn send(
    mut flooder: Socket,
    ended: &AtomicBool,
    again: impl Fn() -> anyhow::Result<Socket>,
) -> anyhow::Result<Flooded> {
    let mut frames = Vec::new();
    for _ in 0..BATCH {
        wire::put_text(&mut frames, br#"{"type":"chat.message","message":"flood"}"#);
    }
    let mut buffer = vec![0; 256 * 1024];
    let mut found = Flooded::default();
    while !ended.load(Ordering::Relaxed) {
        if flooder.closed {
            found.flooder_closed += 1;
            let Ok(anew) = again() else {
                std::thread::sleep(KNOCK_AGAIN);
                continue;
            };
            flooder = anew;
        }
        if flooder.unsent.is_empty() {
            flooder.unsent.extend_from_slice(&frames);
        }
        flooder.write();
        flooder.read(&mut buffer)?;
        let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        poll(&mut [PollFd::new(&flooder.stream, PollFlags::IN | PollFlags::OUT)], Some(&wait))?;
    }
    found.cpu = own_thread_time();
    Ok(found)
}

/// A loop on one thread, at normal priority, that takes this share (0 to 1) of a CPU.
pub(crate) fn spin(share: f64) -> Running<()> {
    let busy = LOOP_PERIOD.mul_f64(share.clamp(0.0, 1.0));
    let mut running = Running::new();
    running.spawn(move |ended| {
        while !ended.load(Ordering::Relaxed) {
            let began = Instant::now();
            while began.elapsed() < busy {
                std::hint::spin_loop();
            }
            std::thread::sleep(LOOP_PERIOD.saturating_sub(began.elapsed()));
        }
        Ok(())
    });
    running
}
