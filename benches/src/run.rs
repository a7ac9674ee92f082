//! One run: all measurements that are asked for, then the report.

use anyhow::Context as _;

use crate::cli::Run;
use crate::process::raise_open_files;
use crate::report::{Figure, Report};
use crate::shapes::SHAPES;
use crate::{environment, growth, hostile, idle, loads, progress, resume, scrape, start, stopped, swap, tls};

type Measurement = fn(&Run) -> anyhow::Result<Vec<Figure>>;

const MEASUREMENTS: [(&str, Measurement); 9] = [
    ("tls", tls::measure),
    ("swap", swap::measure),
    ("resume", resume::measure),
    ("stopped", stopped::measure),
    ("growth", growth::measure),
    ("idle", idle::measure),
    ("start", start::measure),
    ("scrape", scrape::measure),
    ("hostile", hostile::measure),
];

/// Measures and prints.
///
/// Errors at the first delivery that is missing, doubled or out of order.
pub(crate) fn main(run: &Run) -> anyhow::Result<()> {
    raise_open_files()?;
    let others: Vec<_> = MEASUREMENTS.into_iter().filter(|(name, _)| run.wants(name)).collect();
    progress::begin(SHAPES.iter().filter(|shape| run.wants(shape.name)).count() + others.len());
    let loads = loads::measure(run)?;
    let mut figures = Vec::new();
    for (name, measure) in others {
        progress::next(name);
        progress::line(name);
        figures.extend(measure(run).context(name)?);
    }
    progress::end();
    let (rounds, span) = (run.rounds(), run.spans().measured.as_millis());
    let heading =
        format!("{}; `synchronous = \"{}\"`, {rounds} rounds of {span} ms", environment::describe(), run.synchronous);
    print!("{}", Report { heading, loads, figures });
    Ok(())
}
