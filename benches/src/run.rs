//! Puts servers and loads together: who is measured, in which order, how often. Each server is measured with each load
//! once a round, and the order turns from round to round, so that what the machine does besides falls on all alike.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::Run;
use crate::compare::Comparison;
use crate::crowd::Crowd;
use crate::kernel::raise_files_max;
use crate::load::{Measured, measure};
use crate::report::{Figure, Load, Report};
use crate::server::{OndolSetup, Server};
use crate::shapes::{SHAPES, Shape};
use crate::{durable, flood, growth, idle, join, share, start, swap, swaps, wasm};

/// Measures all that is asked for and prints it.
///
/// Errors at the first delivery that is missing, doubled or out of order.
pub(crate) fn main(run: &Run) -> anyhow::Result<()> {
    raise_files_max()?;
    let mut report = Report::new(run);
    let setups = run.setups()?;
    let first = setups.first().context("no server to measure")?;
    if SHAPES.iter().any(|shape| run.wants(shape.name)) {
        let mut servers = servers(run, first, &setups)?;
        for shape in SHAPES.iter().filter(|shape| run.wants(shape.name)) {
            eprintln!("{}: {}", shape.name, shape.tells);
            let load = load(run, shape, &mut servers)?;
            report.comparisons.extend(Comparison::of(&load));
            report.loads.push(load);
        }
    }
    measure_idle(run, first, &mut report.figures)?;
    if !run.no_ondol {
        for setup in &setups {
            measure_stores(run, setup, &mut report.figures)?;
        }
        measure_more(run, first, &mut report.figures)?;
    }
    println!("{report}");
    run.json.as_deref().map_or(Ok(()), |path| write_json(path, &report))
}

fn measure_idle(run: &Run, setup: &OndolSetup, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    if run.wants("idle") {
        eprintln!("idle: {} connections", run.idle_connections());
        for mut server in servers(run, setup, std::slice::from_ref(setup))? {
            let figure = idle::measure(&mut server, run.idle_connections());
            figures.push(figure.with_context(|| told(&server, "idle"))?);
        }
    }
    Ok(())
}

/// What depends on when a message counts as stored.
fn measure_stores(run: &Run, setup: &OndolSetup, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    if run.wants("durable") {
        eprintln!("durable: messages stored, beside a loop of inserts, {}", setup.name);
        figures.extend(durable::measure(run, setup)?);
    }
    if run.wants("share") {
        eprintln!("share: of the time in which somebody commits, {}", setup.name);
        figures.extend(share::measure(run, setup)?);
    }
    Ok(())
}

fn measure_more(run: &Run, setup: &OndolSetup, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    if run.wants("start") {
        eprintln!("start: from exec to the first connection and the first message");
        figures.extend(start::measure(run, setup)?);
    }
    if run.wants("swap") {
        eprintln!("swap: a handler replaced under traffic");
        figures.extend(swap::measure(run, setup)?);
    }
    if run.wants("swaps") {
        eprintln!("swaps: {} versions, one after another", run.swaps);
        figures.extend(swaps::measure(run, setup)?);
    }
    if run.wants("wasm") {
        eprintln!("wasm: the components' share of a message");
        figures.extend(wasm::measure(run, setup)?);
    }
    if run.wants("join1000") {
        eprintln!("join1000: many come into one room");
        figures.extend(join::measure(run, setup)?);
    }
    if run.wants("flood") {
        eprintln!("flood: quiet rooms beside a client at full speed, and beside a loop that takes the same CPU");
        figures.extend(flood::measure(run, setup)?);
    }
    if run.wants("growth") {
        eprintln!("growth: a delivery where there is more of everything");
        figures.extend(growth::measure(run, setup)?);
    }
    Ok(())
}

/// The servers to compare, the plain one first.
fn servers(run: &Run, first: &OndolSetup, setups: &[OndolSetup]) -> anyhow::Result<Vec<Server>> {
    let mut servers = vec![Server::plain(first)?];
    if !run.no_ondol {
        for setup in setups {
            servers.push(Server::ondol(setup)?);
        }
    }
    servers.extend(run.targets.iter().map(Server::elsewhere));
    Ok(servers)
}

/// One load on every server, round by round.
fn load(run: &Run, shape: &Shape, servers: &mut [Server]) -> anyhow::Result<Load> {
    let mut crowds = Vec::new();
    for server in &mut *servers {
        crowds.push(gather(server, shape).with_context(|| told(server, shape.name))?);
    }
    let mut rounds = Vec::new();
    for round in 0..run.rounds() {
        let mut measured: Vec<Option<Measured>> = servers.iter().map(|_| None).collect();
        let mut turns: Vec<_> = servers.iter().zip(&mut crowds).zip(&mut measured).collect();
        turn(&mut turns, round);
        for ((server, crowd), measured) in turns {
            let taken = measure(crowd, server.pid, shape.pace, run.spans());
            let taken = taken.with_context(|| told(server, shape.name))?;
            eprintln!("  round {}: {:<12} {:.2} µs a delivery", round + 1, server.name, taken.cpu_us());
            *measured = Some(taken);
        }
        rounds.push(measured.into_iter().flatten().collect());
    }
    let names = servers.iter().map(|server| server.name.clone());
    Ok(Load::new(shape, names, rounds))
}

/// Puts the servers in the order of this round. Every second round goes backwards, and after each two another one begins,
/// so that in `2 * servers.len()` rounds each has each place equally often, and each of two goes first equally often.
fn turn<T>(servers: &mut [T], round: u32) {
    let begins = (round / 2) as usize % servers.len().max(1);
    servers.rotate_left(begins);
    if round % 2 == 1 {
        servers.reverse();
    }
}

/// The clients of a load, in new rooms.
pub(crate) fn gather(server: &mut Server, shape: &Shape) -> anyhow::Result<Crowd> {
    let rooms = server.new_rooms(shape.rooms)?;
    let mut crowd = Crowd::gather(server.address, &rooms, shape.members, shape.senders)?;
    crowd.settle()?;
    Ok(crowd)
}

/// Which server failed with which load, and the end of what it logged.
pub(crate) fn told(server: &Server, load: &str) -> String {
    const LINES: usize = 12;
    let log = server.log();
    let lines: Vec<_> = log.lines().collect();
    let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n    ");
    let told = format!("{load} on {}", server.name);
    if end.is_empty() { told } else { format!("{told}, which logged:\n    {end}") }
}

fn write_json(path: &Path, report: &Report) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test says what it expects")]
    use super::*;

    fn order(servers: usize, round: u32) -> Vec<usize> {
        let mut order: Vec<_> = (0..servers).collect();
        turn(&mut order, round);
        order
    }

    #[test]
    fn two_servers_take_turns_at_going_first() {
        let firsts: Vec<_> = (0..8).map(|round| order(2, round)[0]).collect();
        assert_eq!(firsts, [0, 1, 1, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn each_server_has_each_place_and_goes_before_each_other_one_equally_often() {
        for servers in 2..6 {
            let mut places = vec![vec![0; servers]; servers];
            let mut before = vec![vec![0; servers]; servers];
            for round in 0..2 * servers as u32 {
                let order = order(servers, round);
                for (place, &server) in order.iter().enumerate() {
                    places[server][place] += 1;
                    order[place + 1..].iter().for_each(|&later| before[server][later] += 1);
                }
            }
            assert!(places.iter().flatten().all(|&count| count == 2), "{servers} servers: {places:?}");
            let pairs = (0..servers).flat_map(|a| (0..servers).filter(move |&b| b != a).map(move |b| (a, b)));
            assert!(pairs.clone().count() > 0);
            for (a, b) in pairs {
                assert_eq!(before[a][b], servers, "{servers} servers: {a} before {b}");
            }
        }
    }
}
