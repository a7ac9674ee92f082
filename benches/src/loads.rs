//! Every load on every server, round by round. The order of the servers changes from round to round, so that other
//! activity of the machine affects all of them alike.

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Measured, measure as measure_once};
use crate::progress;
use crate::server::Server;
use crate::shapes::{SHAPES, Shape};
use crate::statistics::latencies;

/// One load on all servers.
pub(crate) struct Load {
    pub(crate) shape: Shape,
    pub(crate) plain: Series,
    pub(crate) ondol: Series,
    /// The older build.
    pub(crate) before: Option<Series>,
}

/// One load on one server: a value for each round, and the latencies of all rounds.
pub(crate) struct Series {
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) clients_cpu: Vec<f64>,
    pub(crate) latencies: Histogram<u64>,
}

/// Measures the loads that are asked for.
pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Load>> {
    let shapes: Vec<_> = SHAPES.iter().filter(|shape| run.wants(shape.name)).collect();
    if shapes.is_empty() {
        return Ok(Vec::new());
    }
    let setup = run.setup();
    let mut servers = vec![Server::plain(&setup)?, Server::ondol(&setup)?];
    if let Some(before) = run.setup_before() {
        servers.push(Server::ondol(&before)?);
    }
    shapes.into_iter().map(|shape| measure_load(run, shape, &mut servers).context(shape.name)).collect()
}

fn measure_load(run: &Run, shape: &Shape, servers: &mut [Server]) -> anyhow::Result<Load> {
    progress::next(shape.name);
    let mut series = measure_series(run, shape, servers)?.into_iter();
    let mut next = || series.next().context("a server was not measured");
    Ok(Load { shape: *shape, plain: next()?, ondol: next()?, before: next().ok() })
}

/// Measures a load on all servers.
pub(crate) fn measure_series(run: &Run, shape: &Shape, servers: &mut [Server]) -> anyhow::Result<Vec<Series>> {
    progress::line(&format!("{}: {}", shape.name, shape.title));
    let mut turns = Vec::new();
    for server in servers {
        let clients = Clients::join(server.address, server.new_rooms(shape.rooms)?, shape.members, shape.senders)?;
        turns.push((server, clients, Series::new()?));
    }
    for round in 0..run.rounds() {
        for index in order(turns.len(), round) {
            let Some((server, clients, series)) = turns.get_mut(index) else { continue };
            let measured = measure_once(clients, server.pid, shape.pace, run.spans());
            let measured = measured.with_context(|| server.failed())?;
            progress::line(&format!("  round {}: {:<6} {:.2} µs a delivery", round + 1, server.name, measured.cpu_us));
            series.add(&measured)?;
        }
    }
    Ok(turns.into_iter().map(|(_, _, series)| series).collect())
}

/// The order of the servers in this round. Every second round is reversed, and every two rounds another server begins:
/// in `2 * servers` rounds each server has each place equally often.
fn order(servers: usize, round: u32) -> Vec<usize> {
    let mut order: Vec<_> = (0..servers).collect();
    order.rotate_left((round / 2) as usize % servers);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

impl Series {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { cpu_us: Vec::new(), clients_cpu: Vec::new(), latencies: latencies()? })
    }

    fn add(&mut self, measured: &Measured) -> anyhow::Result<()> {
        self.cpu_us.push(measured.cpu_us);
        self.clients_cpu.push(measured.clients_cpu);
        Ok(self.latencies.add(&measured.latencies)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_each_place_equally_often() {
        for servers in 2..5 {
            let mut places = vec![vec![0; servers]; servers];
            for round in 0..2 * servers as u32 {
                order(servers, round).into_iter().enumerate().for_each(|(place, server)| places[server][place] += 1);
            }
            assert!(places.iter().flatten().all(|&count| count == 2), "{servers} servers: {places:?}");
        }
    }
}
