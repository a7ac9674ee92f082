//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::driver::Spans;
use crate::server::Setup;
use crate::shapes::SHAPES;

/// Everything that can be measured: the loads of `shapes`, then the measurements with a file of their own.
const NAMES: [&str; 15] = [
    "1x2",
    "1x50",
    "20x50",
    "20x50-open",
    "1x1000",
    "200x2",
    "tls",
    "swap",
    "resume",
    "stopped",
    "growth",
    "idle",
    "start",
    "scrape",
    "hostile",
];

/// Compares the server CPU of a delivery between Ondol and a plain broadcast server
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Load the servers in turn, check every delivery and print the tables; exit 1 if a delivery is lost or doubled
    Run(Box<Run>),
    /// Serve as the plain server on a free port, and print it
    Plain {
        /// Over TLS, with this certificate and this key in PEM
        #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
        tls: Vec<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct Run {
    /// Measure for 0.6 s instead of 2 s each time, and leave out growth unless it is named
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure each load this often on each server, in changing order [default: 5, or 15 with --before]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Measure only these, separated by commas [default: all but hostile; with --before the loads]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = NAMES)]
    shapes: Vec<String>,
    /// Compare with an older build: print its ratio of server CPU, now ÷ before, for each load
    #[arg(long, value_name = "FILE")]
    pub(crate) before: Option<PathBuf>,
    /// Scrape the metrics of the build under test every 5 s beside the loads
    #[arg(long)]
    scrape: bool,
    /// The handlers of the older build [default: those of --handlers]
    #[arg(long, value_name = "DIR", requires = "before")]
    before_handlers: Option<PathBuf>,
    /// Run Ondol with this durability
    #[arg(long, value_name = "MODE", default_value = "full", value_parser = ["full", "normal"])]
    pub(crate) synchronous: String,
    /// The server's binary
    #[arg(long, default_value = "target/release/ondol", value_name = "FILE")]
    ondol: PathBuf,
    /// The directory of its handlers
    #[arg(long, default_value = "target/handlers", value_name = "DIR")]
    handlers: PathBuf,
    /// The directory of the hostile handlers of tests/guests
    #[arg(long, default_value = "target/wasm32-wasip2/handler", value_name = "DIR")]
    pub(crate) guests: PathBuf,
    /// Put databases here while measuring; choose a directory on the disk that counts
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    scratch: PathBuf,
}

impl Run {
    /// How long each measurement takes.
    pub(crate) fn spans(&self) -> Spans {
        let (warm_up, measured) = if self.quick { (150, 600) } else { (500, 2000) };
        Spans { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }

    /// The difference between two builds is smaller than the noise of a round, so comparing them takes more rounds.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.before.is_some() { 15 } else { 5 })
    }

    /// How to start Ondol.
    pub(crate) fn setup(&self) -> Setup {
        Setup { scrape: self.scrape, ..self.setup_of("ondol", &self.ondol, &self.handlers) }
    }

    /// How to start the older build.
    pub(crate) fn setup_before(&self) -> Option<Setup> {
        let handlers = self.before_handlers.as_ref().unwrap_or(&self.handlers);
        self.before.as_ref().map(|binary| self.setup_of("before", binary, handlers))
    }

    fn setup_of(&self, name: &'static str, binary: &Path, handlers: &Path) -> Setup {
        Setup {
            name,
            binary: binary.to_owned(),
            handlers: handlers.to_owned(),
            synchronous: self.synchronous.clone(),
            scratch: self.scratch.clone(),
            tls: None,
            scrape: false,
        }
    }

    /// Whether to measure this.
    pub(crate) fn wants(&self, name: &str) -> bool {
        if !self.shapes.is_empty() {
            return self.shapes.iter().any(|shape| shape == name);
        }
        let is_load = SHAPES.iter().any(|shape| shape.name == name);
        is_load || self.before.is_none() && name != "hostile" && !(self.quick && name == "growth")
    }
}
