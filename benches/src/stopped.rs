//! What clients that stop reading cost those beside them: one of a hundred in each room neither reads nor leaves.

use anyhow::Context as _;

use crate::cli::Run;
use crate::clients::Clients;
use crate::connection::Connection;
use crate::driver::{Driver, Pace};
use crate::report::Figure;
use crate::server::Server;
use crate::statistics::{latency_ms, median, ratios, spread};
use crate::wire;

const ROOMS: usize = 5;
/// Of each room, beside the one that stops reading.
const MEMBERS: usize = 99;
/// In all rooms together.
const PACE: Pace = Pace::Open(400);

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::ondol(&run.setup())?;
    let rooms = server.new_rooms(ROOMS)?;
    let ids: Vec<_> = rooms.iter().map(|room| room.id).collect();
    let mut clients = Clients::join(server.address, rooms, MEMBERS, 2)?;
    let pairs = if run.quick { 5 } else { 20 };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        for stops in [pair % 2 == 0, pair % 2 != 0] {
            let p99 = measure_once(run, &server, &mut clients, &ids, stops).with_context(|| server.failed())?;
            if stops { &mut with } else { &mut without }.push(p99);
        }
    }
    let ratio = spread(&ratios(&with, &without), 2);
    let detail = format!("p99 {:.2} → {:.2} ms; {pairs} pairs, limit 1.5", median(&without), median(&with));
    Ok(vec![Figure::new("stopped", "1 % of 500 connections stop reading", format!("{ratio} times"), detail)])
}

/// The p99 of the others in ms.
fn measure_once(run: &Run, server: &Server, clients: &mut Clients, rooms: &[u64], stops: bool) -> anyhow::Result<f64> {
    let rooms = if stops { rooms } else { &[] };
    let stopped = rooms.iter().map(|room| stop(server, *room)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut driver = Driver::start(clients, PACE)?;
    driver.run_for(run.spans().warm_up)?;
    let latencies = driver.time_for(run.spans().measured)?;
    driver.finish()?;
    drop(stopped);
    Ok(latency_ms(&latencies, 0.99))
}

/// A member that reads nothing.
fn stop(server: &Server, room: u64) -> anyhow::Result<Connection> {
    let query = "user_id=stopped&nickname=stopped&email=stopped%40example.com";
    Ok(wire::open(server.address, &format!("/ws/chat/{room}/chat/?{query}"))?.0)
}
