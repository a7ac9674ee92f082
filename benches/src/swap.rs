//! What the members of a busy server notice when a handler is replaced: the longest delivery of those that fall into a
//! swap, beside the longest of as long a time without one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cli::Run;
use crate::crowd::Crowd;
use crate::histogram::Histogram;
use crate::load::{Pace, Talk};
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server, scratch};

const ROOMS: usize = 10;
const MEMBERS: usize = 10;
const PACE: Pace = Pace::Open(1000);
pub(crate) const ACTIVE_TIME_MAX: Duration = Duration::from_secs(30);
/// A directory in the watched one: what happens in it is no event for the watch.
const BESIDE: &str = "beside";
/// What the server logs when a version has become the active one.
pub(crate) const ACTIVE: &str = "handler is active";

/// Replaces `events.wasm` again and again while messages flow, and checks that none is lost.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let directory = scratch(&setup.scratch)?;
    let handlers = Handlers::copy(&setup.handlers, directory.path())?;
    let mut server = Server::ondol_at(setup, scratch(&setup.scratch)?, directory.path())?;
    let rooms = server.new_rooms(ROOMS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, MEMBERS, 1)?;
    crowd.settle()?;
    let swaps = if run.quick { 8 } else { 20 };
    let found = swap_under_traffic(&mut crowd, &server, &handlers, swaps);
    let Found { calm_ms, swap_ms, active_ms } = found.with_context(|| told(&server, "swap"))?;
    let figure = |server: &str, values: &[f64], tells: &str| {
        let (least, most) = range(values);
        let tells = format!("{tells}; {least:.1}–{most:.1} ms");
        Figure { measure: "swap", server: server.to_owned(), value: median(values), unit: "ms", tells }
    };
    Ok(vec![
        figure("ondol", &swap_ms, "longest delivery around a swap, 1,000 messages/s"),
        figure("ondol, no swap", &calm_ms, "longest delivery in as long a time"),
        figure("ondol", &active_ms, "from the file's change to its being active"),
    ])
}

/// A value for each swap, in milliseconds.
struct Found {
    calm_ms: Vec<f64>,
    swap_ms: Vec<f64>,
    active_ms: Vec<f64>,
}

fn swap_under_traffic(crowd: &mut Crowd, server: &Server, handlers: &Handlers, swaps: u32) -> anyhow::Result<Found> {
    const STEP: Duration = Duration::from_millis(10);
    let mut talk = Talk::begin(crowd, PACE)?;
    talk.go_on(Duration::from_millis(300))?;
    talk.crowd.tally.timing = true;
    let mut found = Found { calm_ms: Vec::new(), swap_ms: Vec::new(), active_ms: Vec::new() };
    for swap in 0..swaps {
        let before = activations(server);
        take_longest_ms(&mut talk);
        let began = Instant::now();
        handlers.replace_events(swap)?;
        while activations(server) == before {
            ensure!(began.elapsed() < ACTIVE_TIME_MAX, "the replaced handler does not become active");
            talk.go_on(STEP)?;
        }
        found.active_ms.push(began.elapsed().as_secs_f64() * 1e3);
        talk.go_on(10 * STEP)?;
        let span = began.elapsed();
        found.swap_ms.push(take_longest_ms(&mut talk));
        talk.go_on(span)?;
        found.calm_ms.push(take_longest_ms(&mut talk));
    }
    talk.crowd.tally.timing = false;
    talk.end()?;
    Ok(found)
}

fn activations(server: &Server) -> usize {
    server.log().matches(ACTIVE).count()
}

fn take_longest_ms(talk: &mut Talk<'_>) -> f64 {
    let latency: Histogram = std::mem::take(&mut talk.crowd.tally.latency);
    latency.longest().as_secs_f64() * 1e3
}

/// A directory of handlers whose `events.wasm` is to be replaced.
pub(crate) struct Handlers {
    directory: PathBuf,
    /// As it was at first.
    pub(crate) events: Vec<u8>,
}

impl Handlers {
    pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<Self> {
        for name in ["rooms.wasm", "messages.wasm", "events.wasm"] {
            let file = from.join(name);
            fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        fs::create_dir(to.join(BESIDE))?;
        Ok(Self { directory: to.to_owned(), events: fs::read(to.join("events.wasm"))? })
    }

    /// Puts the same code there under another hash: a custom section with a number is appended.
    fn replace_events(&self, number: u32) -> anyhow::Result<()> {
        let mut events = self.events.clone();
        events.extend_from_slice(&[0, 10, 5]);
        events.extend_from_slice(b"bench");
        events.extend_from_slice(&number.to_le_bytes());
        self.prepare(&events)?;
        self.replace()
    }

    /// Writes the next `events.wasm` where the server does not look, and to the disk: some file systems would do that when
    /// it is put into its place, and those who talk wait meanwhile.
    pub(crate) fn prepare(&self, events: &[u8]) -> anyhow::Result<()> {
        let write = || {
            let mut file = File::create(self.prepared())?;
            file.write_all(events)?;
            file.sync_all()
        };
        write().context("cannot write the next events.wasm")
    }

    /// Puts what was prepared into its place.
    pub(crate) fn replace(&self) -> anyhow::Result<()> {
        fs::rename(self.prepared(), self.directory.join("events.wasm")).context("cannot replace events.wasm")
    }

    fn prepared(&self) -> PathBuf {
        self.directory.join(BESIDE).join("events.wasm")
    }
}
