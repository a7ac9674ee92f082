//! What can be asked of the benchmark.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limits::raised_rates;
use crate::load::Spans;
use crate::server::{Elsewhere, OndolSetup};
use crate::shapes::SHAPES;

/// What the tables call the two builds that `--before` compares.
pub(crate) const BEFORE: &str = "before";
pub(crate) const NOW: &str = "now";

/// All that can be measured: the loads of `shapes`, and what has a file of its own.
const NAMES: [&str; 16] = [
    "1x2",
    "1x50",
    "20x50",
    "20x50-open",
    "1x1000",
    "200x2",
    "idle",
    "durable",
    "start",
    "swap",
    "swaps",
    "wasm",
    "share",
    "join1000",
    "growth",
    "flood",
];

/// What `--quick` leaves out unless it is named.
const LONG: [&str; 4] = ["wasm", "share", "join1000", "growth"];

/// What takes so long that it is always left out unless it is named.
const LONGER: [&str; 2] = ["swaps", "flood"];

/// Rounds without `--rounds`, and when two builds are compared: their difference is smaller than the noise of a round.
const ROUNDS: u32 = 5;
const ROUNDS_OF_TWO_BUILDS: u32 = 15;

/// Measures what a delivery costs: Ondol beside a plain WebSocket server, under the same load.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Drive the servers in turn, check every delivery, print a table; exit 1 when a delivery is missing or doubled
    Run(Run),
    /// What hostile handlers cost everybody else: a table, a line for each guest of tests/guests
    Hostile(Hostile),
    /// Be the plain server
    Plain(Plain),
}

#[derive(Args)]
pub(crate) struct Plain {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
}

#[derive(Args)]
pub(crate) struct Hostile {
    /// How often the quiet rooms are listened to, with and without
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Calls before memory is looked at; after as many more it is looked at again
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(101..))]
    pub(crate) calls: u32,
    /// Only the guests whose description holds this
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) filter: String,
    /// The server's binary
    #[arg(long, default_value = "target/release/ondol", value_name = "FILE")]
    pub(crate) ondol: PathBuf,
    /// The directory of its handlers
    #[arg(long, default_value = "target/handlers", value_name = "DIR")]
    pub(crate) handlers: PathBuf,
    /// The directory of the guests
    #[arg(long, default_value = "target/wasm32-wasip2/handler", value_name = "DIR")]
    pub(crate) guests: PathBuf,
    /// Where databases are put while measuring
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub(crate) scratch: PathBuf,
}

impl Hostile {
    /// How Ondol is to be started.
    pub(crate) fn setup(&self) -> OndolSetup {
        OndolSetup {
            binary: self.ondol.clone(),
            handlers: self.handlers.clone(),
            name: "ondol".to_owned(),
            synchronous: Durability::Full,
            scratch: self.scratch.clone(),
            flags: Vec::new(),
        }
    }
}

#[derive(Args)]
pub(crate) struct Run {
    /// Short measurements, less than two minutes in all: without wasm, share, join1000 and growth, unless they are named
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each server is measured with each load; the order changes from round to round [default: 5, or 15 with
    /// --before]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// What to measure, separated by commas [default: all but swaps and flood; with --before the loads alone]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = NAMES)]
    pub(crate) shapes: Vec<String>,
    /// Versions of a handler that `swaps` makes active one after another
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=999_999))]
    pub(crate) swaps: u32,
    /// When Ondol's messages count as stored
    #[arg(long, value_enum, default_value_t = Synchronous::Full)]
    pub(crate) synchronous: Synchronous,
    /// Another server to compare, already running; give it again for more
    #[arg(long = "target", value_name = "NAME=HOST:PORT:PID")]
    pub(crate) targets: Vec<Elsewhere>,
    /// Leave Ondol out
    #[arg(long)]
    pub(crate) no_ondol: bool,
    /// An older build to compare with, load by load: prints the ratio of server CPU, now ÷ before
    #[arg(long, value_name = "FILE", conflicts_with = "no_ondol")]
    pub(crate) before: Option<PathBuf>,
    /// The directory of the older build's handlers [default: that of --handlers]
    #[arg(long, value_name = "DIR", requires = "before")]
    before_handlers: Option<PathBuf>,
    /// The server's binary
    #[arg(long, default_value = "target/release/ondol", value_name = "FILE")]
    pub(crate) ondol: PathBuf,
    /// The directory of its handlers
    #[arg(long, default_value = "target/handlers", value_name = "DIR")]
    pub(crate) handlers: PathBuf,
    /// Where databases are put while measuring: on the disk that counts, not in memory
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    pub(crate) scratch: PathBuf,
    /// Messages in a transaction of the plain loop of inserts that `durable` compares with
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) durable_batch: u32,
    /// Also write every measurement here
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Synchronous {
    /// On the disk
    Full,
    /// In the operating system's hands
    Normal,
    /// Both, as two servers side by side
    Both,
}

/// When the messages of one server count as stored.
#[derive(Clone, Copy)]
pub(crate) enum Durability {
    Full,
    Normal,
}

impl Synchronous {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => Durability::Full.name(),
            Self::Normal => Durability::Normal.name(),
            Self::Both => "both",
        }
    }
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

impl From<Durability> for ondol_host_store::Synchronous {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Full => Self::Full,
            Durability::Normal => Self::Normal,
        }
    }
}

impl Run {
    /// How long each measurement takes.
    pub(crate) fn spans(&self) -> Spans {
        let (warm_up, measured) = if self.quick { (150, 600) } else { (500, 2000) };
        Spans { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }

    /// Connections that `idle` opens.
    pub(crate) fn idle_connections(&self) -> usize {
        if self.quick { 1_000 } else { 10_000 }
    }

    /// How often each server is measured with each load.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.before.is_some() { ROUNDS_OF_TWO_BUILDS } else { ROUNDS })
    }

    /// How Ondol is to be started: one way or two, the first of which counts where one is enough.
    ///
    /// Errors when two builds cannot be compared so, and when a binary does not list its limits.
    pub(crate) fn setups(&self) -> anyhow::Result<Vec<OndolSetup>> {
        let setup = |name: &str, durability: Durability| -> anyhow::Result<OndolSetup> {
            Ok(OndolSetup {
                name: name.to_owned(),
                binary: self.ondol.clone(),
                handlers: self.handlers.clone(),
                synchronous: durability,
                scratch: self.scratch.clone(),
                flags: if self.no_ondol { Vec::new() } else { raised_rates(&self.ondol)? },
            })
        };
        let durability = match self.synchronous {
            Synchronous::Full => Durability::Full,
            Synchronous::Normal => Durability::Normal,
            Synchronous::Both if self.before.is_some() => {
                bail!("--before compares two builds in one way: give --synchronous full or normal")
            }
            Synchronous::Both => {
                return Ok(vec![setup("ondol full", Durability::Full)?, setup("ondol normal", Durability::Normal)?]);
            }
        };
        let Some(binary) = &self.before else { return Ok(vec![setup("ondol", durability)?]) };
        let same = binary.canonicalize().with_context(|| format!("--before {}", binary.display()))?
            == self.ondol.canonicalize().with_context(|| format!("--ondol {}", self.ondol.display()))?;
        ensure!(
            !same,
            "--before {} is the build that it would be compared with: keep a copy elsewhere",
            binary.display()
        );
        let now = setup(NOW, durability)?;
        let before = OndolSetup {
            name: BEFORE.to_owned(),
            handlers: self.before_handlers.as_ref().unwrap_or(&self.handlers).clone(),
            flags: raised_rates(binary)?,
            binary: binary.clone(),
            ..now.clone()
        };
        Ok(vec![now, before])
    }

    /// Whether this is to be measured: all is, unless some are named, or it takes long, or two builds are compared.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let left_out = self.quick && LONG.contains(&name)
            || LONGER.contains(&name)
            || self.before.is_some() && SHAPES.iter().all(|shape| shape.name != name);
        self.shapes.is_empty() && !left_out || self.shapes.iter().any(|shape| shape == name)
    }
}
