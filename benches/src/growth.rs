//! Whether a delivery costs more as a server grows: more idle rooms, more stored messages, more active rooms.

use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Driver, Pace, measure as measure_once};
use crate::report::Figure;
use crate::server::{Server, Setup};
use crate::shapes::ROOMS_OF_50;
use crate::statistics::{median, ratios, spread};

/// Clients that only receive, at the most; each is in a room of its own. Further rooms are empty.
const IDLE_CLIENTS_MAX: usize = 8_000;
/// Messages a second in all active rooms together, however many they are.
const ACTIVE_RATE: u32 = 2_000;

/// A server of some size, and its load.
struct Grown {
    size: String,
    clients: Clients,
    /// Those that only receive.
    _idle: Clients,
    server: Server,
    cpu_us: Vec<f64>,
}

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let setup = run.setup();
    let (idle, messages, active) =
        if run.quick { (1_000, 100_000, [1, 100, 400]) } else { (10_000, 1_000_000, [1, 100, 4_000]) };
    let mut servers =
        vec![Grown::filled(&setup, 0, 0)?, Grown::filled(&setup, idle, 0)?, Grown::filled(&setup, 0, messages)?];
    let mut figures = compare(run, &mut servers, ROOMS_OF_50.pace)?;
    drop(servers);

    let start: [fn(&Setup) -> anyhow::Result<Server>; 2] = [Server::ondol, Server::plain];
    for start in start {
        let mut servers = Vec::new();
        for rooms in active {
            servers.push(Grown::active(start(&setup)?, rooms)?);
        }
        figures.extend(compare(run, &mut servers, Pace::Open(ACTIVE_RATE))?);
    }
    Ok(figures)
}

/// Measures all servers round by round, in changing order. The first one is the base of the ratios.
fn compare(run: &Run, servers: &mut [Grown], pace: Pace) -> anyhow::Result<Vec<Figure>> {
    for round in 0..run.rounds() {
        for index in 0..servers.len() {
            let index = if round % 2 == 0 { index } else { servers.len() - 1 - index };
            let Some(Grown { server, clients, cpu_us, .. }) = servers.get_mut(index) else { continue };
            let measured = measure_once(clients, server.pid, pace, run.spans());
            cpu_us.push(measured.with_context(|| server.failed())?.cpu_us);
        }
    }
    let base = servers.first().map(|first| first.cpu_us.clone()).unwrap_or_default();
    Ok(servers.iter().map(|grown| grown.figure(&base)).collect())
}

impl Grown {
    /// 20 rooms of 50, in a server with so many idle rooms and so many messages stored in the active ones.
    fn filled(setup: &Setup, idle: usize, messages: usize) -> anyhow::Result<Self> {
        crate::progress::line(&format!("  {idle} idle rooms, {messages} messages stored"));
        let mut server = Server::ondol(setup)?;
        let rooms = server.new_rooms(ROOMS_OF_50.rooms)?;
        let mut writers = Clients::join(server.address, rooms, 1, 1)?;
        let mut driver = Driver::start(&mut writers, Pace::Closed(64))?;
        while driver.clients.deliveries() < messages as u64 {
            driver.run_for(Duration::from_millis(100))?;
        }
        driver.finish()?;
        let rooms = writers.leave();
        let stored: u64 = rooms.iter().map(|room| room.last_seq).sum();
        let size = format!("20 active rooms of 50, {idle} idle rooms, {stored} messages stored");

        let clients = Clients::join(server.address, rooms, ROOMS_OF_50.members, ROOMS_OF_50.senders)?;
        let mut idle_rooms = server.new_rooms(idle)?;
        idle_rooms.truncate(IDLE_CLIENTS_MAX);
        let _idle = Clients::join(server.address, idle_rooms, 1, 0)?;
        Ok(Self { size, server, clients, _idle, cpu_us: Vec::new() })
    }

    /// So many rooms of 2, all of them active and past their first message, which costs more.
    fn active(mut server: Server, rooms: usize) -> anyhow::Result<Self> {
        let size = format!("{ACTIVE_RATE} messages/s in {rooms} rooms of 2");
        crate::progress::line(&format!("  {size}, {}", server.name));
        let mut clients = Clients::join(server.address, server.new_rooms(rooms)?, 2, 1)?;
        let mut driver = Driver::start(&mut clients, Pace::Open(ACTIVE_RATE))?;
        driver.run_for(Duration::from_secs(2 * rooms as u64) / ACTIVE_RATE)?;
        driver.finish()?;
        let _idle = Clients::join(server.address, Vec::new(), 0, 0)?;
        Ok(Self { size, server, clients, _idle, cpu_us: Vec::new() })
    }

    fn figure(&self, base: &[f64]) -> Figure {
        let ratio = spread(&ratios(&self.cpu_us, base), 2);
        let value = format!("{:.2} µs a delivery", median(&self.cpu_us));
        Figure::new("growth", self.server.name, value, format!("{}; ratio {ratio}", self.size))
    }
}
