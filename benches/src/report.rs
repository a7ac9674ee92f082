//! What was found, as tables for people and as JSON. Knows nothing of how it was measured.

use std::fmt;

use serde::Serialize;

use crate::cli::Run;
use crate::compare::Comparison;
use crate::histogram::Histogram;
use crate::load::Measured;
use crate::shapes::Shape;

/// All that one run has found.
#[derive(Serialize)]
pub(crate) struct Report {
    synchronous: &'static str,
    rounds: u32,
    measured_ms: u128,
    cpus: usize,
    pub(crate) loads: Vec<Load>,
    /// Of two builds, one for each load.
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) figures: Vec<Figure>,
}

/// One load on all servers.
#[derive(Serialize)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    tells: &'static str,
    servers: Vec<Row>,
}

/// One load on one server: a value for each round, latencies over all rounds.
#[derive(Serialize)]
struct Row {
    server: String,
    cpu_us_per_delivery: Vec<f64>,
    /// To the plain server's in the same round.
    ratio: Vec<f64>,
    deliveries_per_second: Vec<f64>,
    /// The share of one CPU that the clients took: near 1, they and not the server set the pace.
    clients_cpu: Vec<f64>,
    latency_p50_us: f64,
    latency_p99_us: f64,
    latency_max_us: f64,
}

/// A finding that is not a cost for each delivery.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) measure: &'static str,
    pub(crate) server: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// How it was found, in a few words.
    pub(crate) tells: String,
}

impl Report {
    pub(crate) fn new(run: &Run) -> Self {
        Self {
            synchronous: run.synchronous.name(),
            rounds: run.rounds(),
            measured_ms: run.spans().measured.as_millis(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            loads: Vec::new(),
            comparisons: Vec::new(),
            figures: Vec::new(),
        }
    }
}

impl Load {
    /// Of each round: what a delivery costs a server, and the ratio of that to the plain server's.
    pub(crate) fn costs(&self, server: &str) -> Option<(&[f64], &[f64])> {
        let row = self.servers.iter().find(|row| row.server == server)?;
        Some((&row.cpu_us_per_delivery, &row.ratio))
    }

    /// From the rounds, each with one measurement of each server, the plain one first.
    pub(crate) fn new(shape: &Shape, names: impl Iterator<Item = String>, rounds: Vec<Vec<Measured>>) -> Self {
        let mut servers: Vec<_> = names.map(|server| (Row::new(server), Histogram::default())).collect();
        for round in rounds {
            let plain_us = round.first().map_or(f64::NAN, Measured::cpu_us);
            for ((row, latency), measured) in servers.iter_mut().zip(round) {
                row.add(&measured, plain_us);
                latency.merge(&measured.latency);
            }
        }
        let servers = servers.into_iter().map(|(row, latency)| row.with_latency(&latency)).collect();
        Self { name: shape.name, tells: shape.tells, servers }
    }
}

impl Row {
    fn new(server: String) -> Self {
        Self {
            server,
            cpu_us_per_delivery: Vec::new(),
            ratio: Vec::new(),
            deliveries_per_second: Vec::new(),
            clients_cpu: Vec::new(),
            latency_p50_us: 0.0,
            latency_p99_us: 0.0,
            latency_max_us: 0.0,
        }
    }

    fn add(&mut self, measured: &Measured, plain_us: f64) {
        let seconds = measured.wall.as_secs_f64();
        self.cpu_us_per_delivery.push(measured.cpu_us());
        self.ratio.push(measured.cpu_us() / plain_us);
        self.deliveries_per_second.push(measured.deliveries as f64 / seconds);
        self.clients_cpu.push(measured.own_cpu.as_secs_f64() / seconds);
    }

    fn with_latency(mut self, latency: &Histogram) -> Self {
        self.latency_p50_us = latency.quantile(0.5).as_secs_f64() * 1e6;
        self.latency_p99_us = latency.quantile(0.99).as_secs_f64() * 1e6;
        self.latency_max_us = latency.longest().as_secs_f64() * 1e6;
        self
    }
}

const LOADS_HEAD: &str = "| load | server | CPU µs a delivery | ÷ plain: median (min–max) | deliveries a CPU-second \
     | deliveries a second | p50 ms | p99 ms | clients' CPU |";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { synchronous, rounds, measured_ms, cpus, .. } = self;
        writeln!(f, "synchronous={synchronous}, {rounds} rounds of {measured_ms} ms for each server, {cpus} CPUs")?;
        if !self.loads.is_empty() {
            writeln!(f, "\n{LOADS_HEAD}")?;
            writeln!(f, "|---|---|--:|--:|--:|--:|--:|--:|--:|")?;
        }
        for load in &self.loads {
            for row in &load.servers {
                row.write(f, load.name)?;
            }
        }
        if !self.comparisons.is_empty() {
            writeln!(f, "\n{}", Comparison::HEAD)?;
        }
        for comparison in &self.comparisons {
            writeln!(f, "{comparison}")?;
        }
        if !self.figures.is_empty() {
            writeln!(f, "\n| measure | server | value | how |\n|---|---|--:|---|")?;
        }
        for Figure { measure, server, value, unit, tells } in &self.figures {
            let digits = if *value < 100.0 { 2 } else { 0 };
            writeln!(f, "| {measure} | {server} | {value:.digits$} {unit} | {tells} |")?;
        }
        if !self.loads.is_empty() {
            writeln!(f)?;
        }
        for load in &self.loads {
            writeln!(f, "{}: {}", load.name, load.tells)?;
        }
        Ok(())
    }
}

impl Row {
    fn write(&self, f: &mut fmt::Formatter<'_>, load: &str) -> fmt::Result {
        let cpu_us = median(&self.cpu_us_per_delivery);
        let (least, most) = range(&self.ratio);
        let ratio = if least == 1.0 && most == 1.0 {
            "1".to_owned()
        } else {
            format!("**{:.2}** ({least:.2}–{most:.2})", median(&self.ratio))
        };
        writeln!(
            f,
            "| {load} | {} | {cpu_us:.2} | {ratio} | {:.0} | {:.0} | {:.2} | {:.2} | {:.0} % |",
            self.server,
            1e6 / cpu_us,
            median(&self.deliveries_per_second),
            self.latency_p50_us / 1e3,
            self.latency_p99_us / 1e3,
            median(&self.clients_cpu) * 100.0,
        )
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(sorted.len() / 2), middle(sorted.len().saturating_sub(1) / 2))
}

/// The least and the most.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]).to_bits(), 3.0_f64.to_bits());
    }
}
