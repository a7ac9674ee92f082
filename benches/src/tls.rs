//! What TLS costs: the same loads on Ondol and on the plain server, with it and without.

use anyhow::Context as _;

use crate::certificate;
use crate::cli::Run;
use crate::loads::measure_series;
use crate::report::Figure;
use crate::server::{Server, Setup, scratch};
use crate::shapes::{ROOMS_OF_50, SHAPES};
use crate::statistics::{latency_ms, median, ratios, spread};

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let without = run.setup();
    let directory = scratch(&without.scratch)?;
    let with = Setup { name: "ondol over TLS", tls: Some(certificate::write(directory.path())?), ..without.clone() };
    let mut servers =
        [Server::ondol(&without)?, Server::ondol(&with)?, Server::plain(&without)?, Server::plain(&with)?];
    let one_room = SHAPES.iter().find(|shape| shape.name == "1x50").context("no such load")?;
    let mut figures = Vec::new();
    for shape in [one_room, &ROOMS_OF_50] {
        let series = measure_series(run, shape, &mut servers)?;
        let [ondol, ondol_tls, plain, plain_tls] = series.try_into().ok().context("a server was not measured")?;
        let plain = spread(&ratios(&plain_tls.cpu_us, &plain.cpu_us), 2);
        figures.push(Figure::new(
            "TLS",
            shape.title,
            format!("{} ×", spread(&ratios(&ondol_tls.cpu_us, &ondol.cpu_us), 2)),
            format!(
                "{:.2} µs instead of {:.2}; p50 / p99 {:.2} / {:.2} ms; the plain server {plain} ×; over TLS Ondol ÷ plain {}",
                median(&ondol_tls.cpu_us),
                median(&ondol.cpu_us),
                latency_ms(&ondol_tls.latencies, 0.5),
                latency_ms(&ondol_tls.latencies, 0.99),
                spread(&ratios(&ondol_tls.cpu_us, &plain_tls.cpu_us), 2),
            ),
        ));
    }
    Ok(figures)
}
