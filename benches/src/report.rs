//! The results as Markdown tables, ready for docs/benchmarks.md. Knows nothing of how they were measured.

use std::fmt;

use crate::loads::{Load, Series};
use crate::statistics::{latency_ms, median, quantile, ratios, spread};

/// All that one run has found.
pub(crate) struct Report {
    /// Date, commit, machine and options.
    pub(crate) heading: String,
    pub(crate) loads: Vec<Load>,
    pub(crate) figures: Vec<Figure>,
}

/// A result other than the cost of a load.
pub(crate) struct Figure {
    measure: &'static str,
    /// What was measured.
    subject: String,
    /// The value with its unit.
    value: String,
    /// How it was found, and what it compares with.
    detail: String,
}

impl Figure {
    pub(crate) fn new(measure: &'static str, subject: &str, value: String, detail: String) -> Self {
        Self { measure, subject: subject.to_owned(), value, detail }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.heading)?;
        if !self.loads.is_empty() {
            writeln!(f, "\nServer CPU for each delivery; ratios are medians of the rounds (least–greatest).\n")?;
            writeln!(
                f,
                "| load | Ondol ÷ plain | limit | µs: Ondol, plain | p50 / p99 ms: Ondol | plain | clients' CPU |"
            )?;
            writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
            self.loads.iter().try_for_each(|load| load.write_costs(f))?;
        }
        if self.loads.iter().any(|load| load.before.is_some()) {
            writeln!(
                f,
                "\n| load | now ÷ before: median (quartiles; least–greatest) | now ÷ plain | before ÷ plain |"
            )?;
            writeln!(f, "|---|--:|--:|--:|")?;
            self.loads.iter().try_for_each(|load| load.write_comparison(f))?;
        }
        if !self.figures.is_empty() {
            writeln!(f, "\n| measurement | of | value | detail |\n|---|---|--:|---|")?;
        }
        for Figure { measure, subject, value, detail } in &self.figures {
            writeln!(f, "| {measure} | {subject} | {value} | {detail} |")?;
        }
        Ok(())
    }
}

impl Load {
    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, plain, ondol, .. } = self;
        writeln!(
            f,
            "| {} | {} | {} | {:.2}, {:.2} | {} | {} | {:.0} % |",
            shape.title,
            spread(&ratios(&ondol.cpu_us, &plain.cpu_us), 2),
            shape.limit.map_or("–".to_owned(), |limit| limit.to_string()),
            median(&ondol.cpu_us),
            median(&plain.cpu_us),
            ondol.latency(),
            plain.latency(),
            median(&ondol.clients_cpu) * 100.0,
        )
    }

    fn write_comparison(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, plain, ondol, before: Some(before) } = self else { return Ok(()) };
        let ratio = ratios(&ondol.cpu_us, &before.cpu_us);
        let [least, lower, median, upper, most] = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(&ratio, share));
        writeln!(
            f,
            "| {} | **{median:.3}** ({lower:.3}–{upper:.3}; {least:.3}–{most:.3}) | {} | {} |",
            shape.title,
            spread(&ratios(&ondol.cpu_us, &plain.cpu_us), 2),
            spread(&ratios(&before.cpu_us, &plain.cpu_us), 2),
        )
    }
}

impl Series {
    fn latency(&self) -> String {
        format!("{:.2} / {:.2}", latency_ms(&self.latencies, 0.5), latency_ms(&self.latencies, 0.99))
    }
}
