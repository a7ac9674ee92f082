//! What one client that sends at full speed costs other rooms: the p50 of quiet rooms beside it, and beside a loop outside
//! the server that takes the same CPU. On a machine that clients and server share, the loop tells what of it is only that.
//!
//! The server has its usual limits: they are what holds such a client back.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::Run;
use crate::clock::cpu_time;
use crate::crowd::Crowd;
use crate::flooder::{READERS, flood, spin};
use crate::histogram::Histogram;
use crate::load::{Pace, Talk};
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server};

const ROOMS: usize = 20;
const MEMBERS: usize = 2;
/// Of all quiet rooms together: five messages a second in each, well below any limit.
const PACE: Pace = Pace::Open(100);
/// Before each measurement, for what the one before has left behind.
const BREATH: Duration = Duration::from_millis(300);

/// A value for each round.
#[derive(Default)]
struct Found {
    calm_ms: Vec<f64>,
    flood_ms: Vec<f64>,
    loop_ms: Vec<f64>,
    /// The flood's share of a CPU, which the loop takes.
    shares: Vec<f64>,
    flooder_closed: u64,
    readers_closed: u64,
}

/// Floods a room for a while, each round, and listens to the others.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let usual = OndolSetup { flags: Vec::new(), ..setup.clone() };
    let mut server = Server::ondol(&usual)?;
    let rooms = server.new_rooms(ROOMS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, MEMBERS, 1)?;
    crowd.settle()?;
    let mut found = Found::default();
    for _ in 0..run.rounds() {
        let measured = round(&mut crowd, &mut server, run.spans().measured, &mut found);
        measured.with_context(|| told(&server, "flood"))?;
    }
    Ok(figures(&found, run.rounds()))
}

/// The quiet rooms alone, then beside the flood, then beside a loop that takes what the flood took.
fn round(crowd: &mut Crowd, server: &mut Server, span: Duration, found: &mut Found) -> anyhow::Result<()> {
    let (calm, calm_cpu, _) = listen(crowd, server.pid, span)?;

    let flooded = flood(server.address, server.new_room()?)?;
    let (beside_flood, flood_cpu, wall) = listen(crowd, server.pid, span)?;
    let mut cpu = flood_cpu.saturating_sub(calm_cpu);
    for part in flooded.end()? {
        cpu += part.cpu;
        found.flooder_closed += part.flooder_closed;
        found.readers_closed += part.readers_closed;
    }
    let share = (cpu.as_secs_f64() / wall.as_secs_f64()).min(1.0);

    let looping = spin(share);
    let (beside_loop, _, _) = listen(crowd, server.pid, span)?;
    looping.end()?;

    let p50_ms = |latency: &Histogram| latency.quantile(0.5).as_secs_f64() * 1e3;
    found.calm_ms.push(p50_ms(&calm));
    found.flood_ms.push(p50_ms(&beside_flood));
    found.loop_ms.push(p50_ms(&beside_loop));
    found.shares.push(share);
    Ok(())
}

/// What the quiet rooms hear for so long, and the CPU that the server takes from the first breath on.
fn listen(crowd: &mut Crowd, pid: u32, span: Duration) -> anyhow::Result<(Histogram, Duration, Duration)> {
    let (began, cpu) = (Instant::now(), cpu_time(pid)?);
    let mut talk = Talk::begin(crowd, PACE)?;
    talk.go_on(BREATH)?;
    talk.crowd.tally.latency = Histogram::default();
    talk.crowd.tally.timing = true;
    talk.go_on(span)?;
    talk.crowd.tally.timing = false;
    let latency = talk.crowd.tally.latency.clone();
    let taken = cpu_time(pid)?.saturating_sub(cpu);
    let wall = began.elapsed();
    talk.end()?;
    Ok((latency, taken, wall))
}

fn figures(found: &Found, rounds: u32) -> Vec<Figure> {
    let Found { calm_ms, flood_ms, loop_ms, shares, .. } = found;
    let figure = |server: &str, value: f64, unit: &'static str, tells: String| Figure {
        measure: "flood",
        server: server.to_owned(),
        value,
        unit,
        tells,
    };
    let p50 = |server: &str, values: &[f64]| {
        let (least, most) = range(values);
        figure(server, median(values), "ms", format!("p50 of {ROOMS} quiet rooms; {least:.2}–{most:.2} ms"))
    };
    let ratios = ratios(flood_ms, loop_ms);
    let (least, most) = range(&ratios);
    let share = median(shares) * 100.0;
    let readers = u64::from(rounds) * READERS as u64;
    vec![
        p50("quiet rooms alone", calm_ms),
        p50("beside a flooder", flood_ms),
        p50("beside a loop", loop_ms),
        figure(
            "flooder ÷ loop",
            median(&ratios),
            "times (aim: 2)",
            format!("{least:.2}–{most:.2}; each takes {share:.0} % of a CPU, clients included, a whole one at most"),
        ),
        figure(
            "readers in the flooder's room",
            found.readers_closed as f64,
            "closed (aim: 0)",
            format!("of {readers}, at 2 MB/s each; the flooder itself was closed {} times", found.flooder_closed),
        ),
    ]
}

/// The ratio in each round.
fn ratios(flood_ms: &[f64], loop_ms: &[f64]) -> Vec<f64> {
    flood_ms.iter().zip(loop_ms).map(|(flood, alone)| flood / alone).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn the_figures_compare_the_flood_with_the_loop_round_by_round() {
        let found = Found {
            calm_ms: vec![0.5, 0.5, 0.5],
            flood_ms: vec![2.0, 3.0, 10.0],
            loop_ms: vec![1.0, 2.0, 2.0],
            shares: vec![0.5, 1.0, 1.0],
            flooder_closed: 1,
            readers_closed: 2,
        };
        let figures = figures(&found, 3);
        let values: Vec<_> = figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [0.5, 3.0, 2.0, 2.0, 2.0]);
        assert!(figures[3].tells.starts_with("1.50–5.00; each takes 100 %"), "{}", figures[3].tells);
        assert!(figures[4].tells.starts_with("of 15, "), "{}", figures[4].tells);
    }
}
