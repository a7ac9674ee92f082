//! How much of the time somebody commits, which only one can do at once: where more cores would stop helping. How many
//! messages share a commit is counted from outside, in the index of the server's log; how long such a commit takes is
//! timed in this process, by the same store, on the same disk, with nothing else to do.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::Run;
use crate::clock::own_thread_time;
use crate::inside::Disk;
use crate::load::measure as measure_load;
use crate::report::{Figure, median, range};
use crate::run::{gather, told};
use crate::server::{OndolSetup, Server, scratch};
use crate::shapes::{ROOMS_OF_2, ROOMS_OF_50, Shape};

/// Rooms that the messages of a timed commit are for.
const ROOMS: usize = 100;

/// The most messages in a commit for which the writer's end is reckoned.
const LARGE_BATCH: usize = 256;

/// The share of the wall time, for each load.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let directory = scratch(&setup.scratch)?;
    let mut disk = Disk::create(directory.path(), setup.synchronous.into(), ROOMS)?;
    let mut figures = Vec::new();
    for shape in [ROOMS_OF_50, ROOMS_OF_2] {
        figures.push(share(run, setup, &shape, &mut disk)?);
    }
    let large = commits(&mut disk, LARGE_BATCH, run.spans().measured)?;
    figures.push(Figure {
        measure: "share",
        server: setup.name.clone(),
        value: large.messages_per_second(),
        unit: "messages/s",
        tells: format!(
            "what one writer can commit, {LARGE_BATCH} at once: {:.0} µs a commit, {:.0} µs of it CPU",
            large.wall_us, large.cpu_us
        ),
    });
    Ok(figures)
}

fn share(run: &Run, setup: &OndolSetup, shape: &Shape, disk: &mut Disk) -> anyhow::Result<Figure> {
    let mut server = Server::ondol(setup)?;
    let mut crowd = gather(&mut server, shape)?;
    let (mut shares, mut batches, mut rates, mut walls, mut ends) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..run.rounds() {
        let (commits_before, said_before) = (commits_so_far(&server)?, crowd.tally.said);
        let measured = measure_load(&mut crowd, server.pid, shape.pace, run.spans());
        let measured = measured.with_context(|| told(&server, "share"))?;
        let commits_made = commits_so_far(&server)?.wrapping_sub(commits_before);
        let batch = (crowd.tally.said - said_before) as f64 / f64::from(commits_made.max(1));
        let per_second = measured.deliveries as f64 / shape.members as f64 / measured.wall.as_secs_f64();
        let commit = commits(disk, (batch.round() as usize).max(1), run.spans().measured / 4)?;
        shares.push(per_second / batch * commit.wall_us / 1e4);
        batches.push(batch);
        rates.push(per_second);
        walls.push(commit.wall_us);
        ends.push(commit.messages_per_second());
    }
    let (least, most) = range(&shares);
    Ok(Figure {
        measure: "share",
        server: format!("{}, {}", setup.name, shape.name),
        value: median(&shares),
        unit: "% of the time in a commit",
        tells: format!(
            "{:.0} messages/s, {:.1} a commit, which takes {:.0} µs when nothing else runs: one writer ends at {:.0} \
             messages/s with such batches; {least:.0}–{most:.0} %",
            median(&rates),
            median(&batches),
            median(&walls),
            median(&ends)
        ),
    })
}

/// What a commit of so many messages took, on average.
struct Commits {
    messages: usize,
    wall_us: f64,
    cpu_us: f64,
}

impl Commits {
    fn messages_per_second(&self) -> f64 {
        self.messages as f64 * 1e6 / self.wall_us
    }
}

fn commits(disk: &mut Disk, messages: usize, span: Duration) -> anyhow::Result<Commits> {
    let (began, cpu, mut count) = (Instant::now(), own_thread_time(), 0.0);
    while began.elapsed() < span {
        disk.commit(messages)?;
        count += 1.0;
    }
    let us = |time: Duration| time.as_secs_f64() * 1e6 / count;
    Ok(Commits { messages, wall_us: us(began.elapsed()), cpu_us: us(own_thread_time().saturating_sub(cpu)) })
}

/// The transactions that the server has committed, modulo 2³². SQLite counts them in the header of the log's index
/// (`iChange`, <https://sqlite.org/walformat.html#walidxfmt>), in the machine's own order of bytes.
fn commits_so_far(server: &Server) -> anyhow::Result<u32> {
    let directory: &Path = server.directory().context("the server is not ours")?;
    let index = std::fs::read(directory.join("ondol.db-shm")).context("no index of the log")?;
    let count = index.get(8..).and_then(|rest| rest.first_chunk()).context("the index of the log is too short")?;
    Ok(u32::from_ne_bytes(*count))
}
