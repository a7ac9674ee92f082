//! Metrics for Prometheus, written anew at each scrape from plain counters of the parts that are measured: between two
//! scrapes nothing is done for them. docs/metrics.md lists them all. Knows nothing of how they are asked for.
//!
//! Their number is bounded whatever is deployed, and none is labelled with a room, a user or an address.

mod collector;
mod families;
mod plain;
mod process;
mod writer;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::chat::ChatFigures;
use crate::http::ListenerFigures;
use collector::Figures;
use process::ProcessFigures;

/// What the listener of clients counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionFigures {
    /// The connections that are open.
    pub(crate) open: u64,
    /// Those that were accepted since startup.
    pub(crate) accepted: u64,
    /// Those over the limit, which were answered with 503 or dropped.
    pub(crate) refused: u64,
    /// The limit.
    pub(crate) max: u64,
}

/// All that is measured.
pub(crate) struct Measured {
    pub(crate) chat: ChatFigures,
    pub(crate) listener: ListenerFigures,
    pub(crate) connections: ConnectionFigures,
    /// The lines of the log that were dropped.
    pub(crate) log_dropped: u64,
    /// Whether the server is on its way to a stop.
    pub(crate) is_stopping: bool,
}

/// Writes all metrics as text: in the `OpenMetrics` format, or in the older one of Prometheus.
///
/// # Errors
///
/// None that can happen: a `String` takes all that is written.
pub(crate) fn text(measured: Measured, open_metrics: bool) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures { measured, process: ProcessFigures::read() }));
    let mut text = String::with_capacity(65_536);
    encode(&mut text, &registry)?;
    Ok(if open_metrics { text } else { plain::plain(&text) })
}

#[cfg(test)]
mod tests;
