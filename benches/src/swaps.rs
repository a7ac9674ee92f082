//! A handler that is replaced a thousand times while people talk, by a version that never was there before each time: what
//! stays in memory, and how long deliveries take in the seconds in which it happens. Every delivery is checked, also for
//! which version wrote it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::cli::Run;
use crate::crowd::Crowd;
use crate::histogram::Histogram;
use crate::kernel::resident_kib;
use crate::load::{Pace, Talk};
use crate::report::{Figure, median};
use crate::run::told;
use crate::server::{Log, OndolSetup, Server, scratch};
use crate::stamp::{Stamps, stamped};
use crate::start::compiled;
use crate::swap::{ACTIVE, ACTIVE_TIME_MAX, Handlers};

const ROOMS: usize = 20;
const MEMBERS: usize = 10;
const PACE: Pace = Pace::Open(1000);
/// Swaps that have a second of their own, with a quiet one before each.
const SPACED_MAX: u32 = 30;
/// What is left between such a second and what was before.
const BREATH: Duration = Duration::from_millis(300);
/// A second begins so long before the change.
const BEFORE: Duration = Duration::from_millis(100);
const REST_OF_SECOND: Duration = Duration::from_millis(900);
const STEP: Duration = Duration::from_millis(5);
/// How long nothing is swapped before memory is looked at.
const CALM: Duration = Duration::from_secs(1);
/// What the server logs when a version was refused, or did not stay.
const WRONG: [&str; 3] = ["was not taken", "failed its probation", "handler failed"];

/// Swaps first with a second for each, then without a pause.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let directory = scratch(&setup.scratch)?;
    let handlers = Handlers::copy(&setup.handlers, directory.path())?;
    handlers.prepare(&stamped(&handlers.events, 0)?)?;
    handlers.replace()?;
    let mut server = Server::ondol_at(setup, scratch(&setup.scratch)?, directory.path())?;
    let rooms = server.new_rooms(ROOMS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, MEMBERS, 1)?;
    crowd.stamps = Some(Stamps::default());
    crowd.settle()?;
    let found = swap(&mut crowd, &server, &handlers, run.swaps).with_context(|| told(&server, "swaps"))?;
    let versions = crowd.stamps.as_ref().map_or(0, Stamps::versions);
    let kept = compiled(server.directory().context("the server is not ours")?)?;
    let mib = kept.iter().map(|(_, bytes)| bytes).sum::<u64>() as f64 / 1_048_576.0;
    let figure =
        |server: &str, value, unit, tells| Figure { measure: "swaps", server: server.to_owned(), value, unit, tells };
    Ok(vec![
        figure(
            "resident after all ÷ after a tenth",
            found.resident_ratio(),
            "times",
            format!("MiB after each tenth of {} swaps: {}", run.swaps, found.residents_told()),
        ),
        figure(
            "p99.9 around a swap ÷ quiet",
            found.around.median_ms() / found.quiet.median_ms(),
            "times",
            format!("with a swap: {}; in turn with as many without: {}", found.around, found.quiet),
        ),
        figure(
            "without a pause",
            found.per_second,
            "swaps/s",
            format!(
                "{} deliveries to {} connections: none lost, doubled, out of order, or by a version that was replaced; \
                 {versions} versions have written",
                crowd.tally.deliveries,
                ROOMS * MEMBERS,
            ),
        ),
        figure("compiled code kept", mib, "MiB", format!("{} files after {} swaps", kept.len(), run.swaps)),
    ])
}

/// What a thousand swaps came to.
struct Found {
    /// KiB after each tenth of the swaps.
    residents: Vec<u64>,
    around: Seconds,
    quiet: Seconds,
    per_second: f64,
}

/// The deliveries of some seconds. One second in which the machine does something else must not decide.
#[derive(Default)]
struct Seconds {
    p999_ms: Vec<f64>,
    all: Histogram,
}

impl Seconds {
    fn add(&mut self, second: &Histogram) {
        self.p999_ms.push(p999_ms(second));
        self.all.merge(second);
    }

    fn median_ms(&self) -> f64 {
        median(&self.p999_ms)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, seconds, all) = (self.median_ms(), self.p999_ms.len(), p999_ms(&self.all));
        let longest = self.all.longest().as_secs_f64() * 1e3;
        write!(f, "median {median:.2} ms of {seconds} seconds, {all:.2} ms of all deliveries, longest {longest:.1} ms")
    }
}

fn p999_ms(latency: &Histogram) -> f64 {
    latency.quantile(0.999).as_secs_f64() * 1e3
}

impl Found {
    fn resident_ratio(&self) -> f64 {
        let kib = |resident: Option<&u64>| resident.map_or(f64::NAN, |kib| *kib as f64);
        kib(self.residents.last()) / kib(self.residents.first())
    }

    fn residents_told(&self) -> String {
        self.residents.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect::<Vec<_>>().join(" ")
    }
}

fn swap(crowd: &mut Crowd, server: &Server, handlers: &Handlers, swaps: u32) -> anyhow::Result<Found> {
    let talk = Talk::begin(crowd, PACE)?;
    let mut swapping = Swapping { talk, handlers, log: server.follow_log()?, done: 0 };
    swapping.talk.go_on(CALM)?;
    let spaced = SPACED_MAX.min(swaps / 10);
    let (mut around, mut quiet) = (Seconds::default(), Seconds::default());
    swapping.talk.crowd.tally.timing = true;
    for _ in 0..spaced {
        quiet.add(&swapping.second(false)?);
        around.add(&swapping.second(true)?);
    }
    swapping.talk.crowd.tally.timing = false;

    let (mut residents, mut busy) = (Vec::new(), Duration::ZERO);
    for tenth in 1..=10 {
        let began = Instant::now();
        while swapping.done < swaps * tenth / 10 {
            swapping.prepare()?;
            swapping.replace()?;
        }
        busy += began.elapsed();
        swapping.talk.go_on(CALM)?;
        residents.push(resident_kib(server.pid)?);
        eprintln!("  {} swaps: {} KiB resident", swapping.done, residents.last().copied().unwrap_or_default());
    }
    let per_second = f64::from(swaps - spaced) / busy.as_secs_f64();
    swapping.talk.end()?;
    Ok(Found { residents, around, quiet, per_second })
}

/// People who talk while versions come and go.
struct Swapping<'a> {
    talk: Talk<'a>,
    handlers: &'a Handlers,
    log: Log,
    /// Swaps so far; the next version has the next number.
    done: u32,
}

impl Swapping<'_> {
    /// The deliveries of a second, which may be one in which the handler is replaced.
    fn second(&mut self, with_swap: bool) -> anyhow::Result<Histogram> {
        if with_swap {
            self.prepare()?;
        }
        self.talk.go_on(BREATH)?;
        self.talk.crowd.tally.latency = Histogram::default();
        self.talk.go_on(BEFORE)?;
        let began = Instant::now();
        if with_swap {
            self.replace()?;
        }
        self.talk.go_on(REST_OF_SECOND.saturating_sub(began.elapsed()))?;
        Ok(std::mem::take(&mut self.talk.crowd.tally.latency))
    }

    fn prepare(&self) -> anyhow::Result<()> {
        self.handlers.prepare(&stamped(&self.handlers.events, self.done + 1)?)
    }

    /// Puts the next version into its place and waits until it is active. People go on talking.
    fn replace(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.handlers.replace()?;
        loop {
            let news = self.log.news()?;
            if let Some(wrong) = news.lines().find(|line| WRONG.iter().any(|wrong| line.contains(wrong))) {
                bail!("swap {}: {wrong}", self.done + 1);
            }
            if news.contains(ACTIVE) {
                self.done += 1;
                return Ok(());
            }
            ensure!(began.elapsed() < ACTIVE_TIME_MAX, "version {} does not become active", self.done + 1);
            self.talk.go_on(STEP)?;
        }
    }
}
