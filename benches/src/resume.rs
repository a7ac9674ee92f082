//! What it costs to resume: a client that missed a thousand messages, and one that missed none.

use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::event::{PollFd, PollFlags, poll};

use crate::cli::Run;
use crate::clients::Clients;
use crate::connection::Address;
use crate::driver::{Driver, Pace};
use crate::message::{self, Room};
use crate::process::cpu_time;
use crate::report::Figure;
use crate::server::Server;
use crate::statistics::spread;
use crate::wire::{self, TEXT};

/// How many messages the room has at least.
const STORED: u64 = 10_000;
/// How many the client missed.
const MISSED: [u64; 2] = [1_000, 0];
const RESUMES: u32 = 50;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::ondol(&run.setup())?;
    let mut writers = Clients::join(server.address, server.new_rooms(1)?, 1, 1)?;
    let mut driver = Driver::start(&mut writers, Pace::Closed(64))?;
    while driver.clients.deliveries() < STORED {
        driver.run_for(Duration::from_millis(20))?;
    }
    driver.finish()?;
    // The room stays open, as one that people talk in is.
    let room = writers.last_room().context("no room")?;
    MISSED.into_iter().map(|missed| measure_missed(&server, room, missed)).collect()
}

fn measure_missed(server: &Server, room: Room, missed: u64) -> anyhow::Result<Figure> {
    let mut wall_ms = Vec::new();
    let before = cpu_time(server.pid)?;
    for number in 0..RESUMES {
        let began = Instant::now();
        resume(server.address, room, missed, number)?;
        wall_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_ms = (cpu_time(server.pid)? - before).as_secs_f64() * 1e3 / f64::from(RESUMES);
    let subject = format!("of {missed} messages");
    let detail = format!("{} ms from connecting to the last message; {RESUMES} resumes", spread(&wall_ms, 1));
    Ok(Figure::new("resume", &subject, format!("{cpu_ms:.1} ms of CPU"), detail))
}

/// Connects, and reads up to the last message.
fn resume(server: Address, room: Room, missed: u64, number: u32) -> anyhow::Result<()> {
    let (user, after) = (format!("r{number}"), room.last_seq - missed);
    let query = format!("user_id={user}&nickname={user}&email={user}%40example.com&after={after}");
    let (mut stream, mut inbox) = wire::open(server, &format!("/ws/chat/{}/chat/?{query}", room.id))?;
    let (mut view, mut is_synced) = (Room { last_seq: after, ..room }, false);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut rest = inbox.as_slice();
        while let Some(frame) = wire::next_frame(rest)? {
            ensure!(frame.opcode == TEXT, "a frame of another kind: {:?}", frame.opcode);
            match message::read(frame.payload) {
                Some(message) => view.receive(&message)?,
                None => is_synced |= memchr::memmem::find(frame.payload, br#""recovered":true"#).is_some(),
            }
            rest = frame.rest;
        }
        let taken = inbox.len() - rest.len();
        inbox.drain(..taken);
        if is_synced && view.last_seq == room.last_seq {
            return Ok(());
        }
        poll(&mut [PollFd::new(&stream, PollFlags::IN)], None)?;
        match stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => inbox.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
}
