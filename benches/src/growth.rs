//! Whether a delivery costs more when there is more of everything: more rooms that stand idle, more stored messages, more
//! rooms that speak.

use std::time::Duration;

use anyhow::Context as _;
use ondol_host_store::Synchronous;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::cli::Run;
use crate::crowd::{Crowd, Guests};
use crate::inside::Disk;
use crate::kernel::raise_files_max;
use crate::load::{Pace, Talk, measure as measure_load};
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server, scratch};
use crate::shapes::ROOMS_OF_50;

/// Connections that stand by at the most, one in a room; other rooms are empty.
const STANDING_MAX: usize = 8_000;
/// Files that are open here besides.
const OTHER_FILES: u64 = 6_000;
/// Messages of one transaction, before the server starts.
const COMMIT: usize = 4_096;
/// Messages a second where all rooms speak, however many they are.
const ALL_SPEAK: u32 = 2_000;

/// A server that has grown, with those who speak in it.
struct Grown {
    tells: String,
    server: Server,
    crowd: Crowd,
    /// Those who only listen.
    standing: Crowd,
    cpu_us: Vec<f64>,
}

/// Each in turn with the others, round by round.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let (rooms, messages) = if run.quick { ([20, 100, 1_000], 100_000) } else { ([20, 100, 10_000], 1_000_000) };
    let mut grown = Vec::new();
    for rooms in rooms {
        grown.push(Grown::standing(setup, rooms, 0)?);
    }
    grown.push(Grown::standing(setup, ROOMS_OF_50.rooms, messages)?);
    let mut figures = measure_in_turn(run, &mut grown, ROOMS_OF_50.pace)?;
    drop(grown);

    let rooms = if run.quick { [1, 100, 400] } else { [1, 100, 4_000] };
    let start: [fn(&OndolSetup) -> anyhow::Result<Server>; 2] = [Server::ondol, Server::plain];
    for start in start {
        let mut grown = Vec::new();
        for rooms in rooms {
            grown.push(Grown::speaking(start(setup)?, rooms)?);
        }
        figures.extend(measure_in_turn(run, &mut grown, Pace::Open(ALL_SPEAK))?);
    }
    Ok(figures)
}

fn measure_in_turn(run: &Run, grown: &mut [Grown], pace: Pace) -> anyhow::Result<Vec<Figure>> {
    for round in 0..run.rounds() {
        for index in 0..grown.len() {
            // The others wait meanwhile, and must not miss their pings.
            for waiting in &mut *grown {
                waiting.crowd.catch_up()?;
                waiting.standing.catch_up()?;
            }
            let index = if round % 2 == 0 { index } else { grown.len() - 1 - index };
            let Some(Grown { server, crowd, cpu_us, .. }) = grown.get_mut(index) else { continue };
            let measured = measure_load(crowd, server.pid, pace, run.spans());
            cpu_us.push(measured.with_context(|| told(server, "growth"))?.cpu_us());
        }
    }
    let least = grown.first().map(|first| first.cpu_us.clone()).unwrap_or_default();
    Ok(grown.iter().map(|grown| grown.figure(&least)).collect())
}

impl Grown {
    /// The load of 20 rooms of 50, in a server that holds so many rooms in all, and so many messages in those that speak.
    fn standing(setup: &OndolSetup, rooms: usize, messages: usize) -> anyhow::Result<Self> {
        let speaking = ROOMS_OF_50.rooms;
        eprintln!("  {rooms} rooms, {messages} messages stored");
        let directory = used_before(setup, rooms, speaking, messages)?;
        let server = Server::ondol_at(setup, directory, &setup.handlers)?;
        let ids: Vec<u64> = (1..=rooms as u64).collect();
        let (speaking, standing) = ids.split_at_checked(speaking).context("too few rooms")?;
        let guests = Guests {
            members: ROOMS_OF_50.members,
            senders: ROOMS_OF_50.senders,
            last_seq: (messages / speaking.len()) as u64,
            at_once: 1,
        };
        let files = usize::try_from(raise_files_max()?.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        let members = standing.len().min(STANDING_MAX).min(files);
        let mut grown = Self {
            tells: format!(
                "20 of {rooms} rooms of 50 speak, {members} members stand by in others; {messages} messages stored"
            ),
            crowd: Crowd::gather_as(server.address, speaking, guests)?,
            standing: Crowd::gather(server.address, standing.get(..members).unwrap_or_default(), 1, 0)?,
            server,
            cpu_us: Vec::new(),
        };
        grown.crowd.settle()?;
        grown.standing.catch_up()?;
        Ok(grown)
    }

    /// So many rooms of 2, in all of which somebody speaks, and has spoken: the first message of a room costs more.
    fn speaking(mut server: Server, rooms: usize) -> anyhow::Result<Self> {
        const MEMBERS: usize = 2;
        eprintln!("  {rooms} rooms of {MEMBERS} that speak, {}", server.name);
        let ids = server.new_rooms(rooms)?;
        let mut crowd = Crowd::gather(server.address, &ids, MEMBERS, 1)?;
        crowd.settle()?;
        let mut talk = Talk::begin(&mut crowd, Pace::Open(ALL_SPEAK))?;
        talk.go_on(Duration::from_secs(2 * rooms as u64) / ALL_SPEAK)?;
        talk.end()?;
        Ok(Self {
            tells: format!("{ALL_SPEAK} messages a second in all of {rooms} rooms of {MEMBERS}"),
            crowd,
            standing: Crowd::gather(server.address, &[], 0, 0)?,
            server,
            cpu_us: Vec::new(),
        })
    }

    fn figure(&self, least: &[f64]) -> Figure {
        let ratios: Vec<_> = self.cpu_us.iter().zip(least).map(|(own, least)| own / least).collect();
        let (from, to) = range(&ratios);
        let ratio = median(&ratios);
        Figure {
            measure: "growth",
            server: self.server.name.clone(),
            value: median(&self.cpu_us),
            unit: "µs a delivery",
            tells: format!("{}; ratio {ratio:.2} ({from:.2}–{to:.2})", self.tells),
        }
    }
}

/// A directory whose database holds rooms 1 to `rooms`, and so many messages in the first `spoken` of them, in turn.
fn used_before(setup: &OndolSetup, rooms: usize, spoken: usize, messages: usize) -> anyhow::Result<TempDir> {
    let directory = scratch(&setup.scratch)?;
    let mut disk = Disk::create(directory.path(), Synchronous::Normal, spoken)?;
    for first in (0..messages).step_by(COMMIT) {
        disk.commit(COMMIT.min(messages - first))?;
    }
    drop(disk);
    // Rooms cost a transaction each by way of the store.
    let mut connection = Connection::open(directory.path().join("ondol.db"))?;
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare("INSERT INTO room (id, name, created_at) VALUES (?1, 'benchmark', 0)")?;
    for room in spoken + 1..=rooms {
        insert.execute([room as i64])?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(directory)
}
