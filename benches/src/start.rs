//! How long it takes from exec to the first accepted connection, and to the first message that has come back: of three
//! handlers, and of three that hold the code of ten.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::cli::Run;
use crate::crowd::Crowd;
use crate::padded::padded;
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server, scratch};
use crate::wire;

const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(30);

/// What ten handlers are of three.
const TEN_OF_THREE: f64 = 10.0 / 3.0;
/// How many more times each handler holds its main module, so that the three have the code of ten at the least.
const COPIES: usize = 3;

/// Starts each server anew each round: Ondol in an empty directory, Ondol again where it has been, with three handlers and
/// with ten handlers' worth of code, and the plain one.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let ten = ten_handlers_worth(setup)?;
    let mut three = [Starts::of("ondol, first"), Starts::of("ondol, again")];
    let mut more = [Starts::of("ondol, ten handlers' worth, first"), Starts::of("ondol, ten handlers' worth, again")];
    let mut plain = Starts::of("plain");
    for _ in 0..run.rounds() {
        for (handlers, [first, again]) in [(setup.handlers.as_path(), &mut three), (ten.path(), &mut more)] {
            let directory = first.start(|| Server::ondol_at(setup, scratch(&setup.scratch)?, handlers))?;
            let directory = again.start(|| Server::ondol_at(setup, directory, handlers))?;
            again.compiled_kib = compiled_kib(directory.path())?;
        }
        plain.start(|| Server::plain(setup))?;
    }
    let [_, again] = &three;
    let [_, ten_again] = &more;
    let times = ten_again.compiled_kib as f64 / again.compiled_kib as f64;
    ensure!(times >= TEN_OF_THREE, "ten handlers' worth is {times:.2} times the compiled code of three");
    Ok(three.iter().chain(&more).chain([&plain]).flat_map(Starts::figures).collect())
}

/// One way to start, measured again and again.
struct Starts {
    tells: &'static str,
    accepted_ms: Vec<f64>,
    message_ms: Vec<f64>,
    /// What it found compiled.
    compiled_kib: u64,
}

impl Starts {
    fn of(tells: &'static str) -> Self {
        Self { tells, accepted_ms: Vec::new(), message_ms: Vec::new(), compiled_kib: 0 }
    }

    /// Starts a server, takes the times and ends it.
    fn start(&mut self, start: impl FnOnce() -> anyhow::Result<Server>) -> anyhow::Result<TempDir> {
        let began = Instant::now();
        let mut server = start()?;
        if server.name != "plain" {
            let (status, _) = wire::get(server.address, "/healthz")?;
            ensure!(status == 200, "/healthz answers {status}");
            self.accepted_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let took = ms_to_first_message(&mut server, began);
        self.message_ms.push(took.with_context(|| told(&server, self.tells))?);
        server.end()
    }

    fn figures(&self) -> Vec<Figure> {
        let kept =
            if self.compiled_kib > 0 { format!("; {} KiB of compiled code", self.compiled_kib) } else { String::new() };
        let figure = |ms: &[f64], tells: &str| {
            let (least, most) = range(ms);
            let tells = format!("{tells}; {least:.0}–{most:.0} ms{kept}");
            Figure { measure: "start", server: self.tells.to_owned(), value: median(ms), unit: "ms", tells }
        };
        let accepted = (!self.accepted_ms.is_empty())
            .then(|| figure(&self.accepted_ms, "exec to the answer on the first accepted connection"));
        accepted.into_iter().chain([figure(&self.message_ms, "exec to first message")]).collect()
    }
}

fn ms_to_first_message(server: &mut Server, began: Instant) -> anyhow::Result<f64> {
    let room = server.new_room()?;
    let mut crowd = Crowd::gather(server.address, &[room], 1, 1)?;
    crowd.say(0, Instant::now())?;
    while crowd.in_flight() > 0 {
        crowd.turn(Duration::from_millis(100))?;
        ensure!(began.elapsed() < FIRST_MESSAGE_MAX, "{} delivers nothing", server.name);
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// A directory with the three handlers, whose code is that of ten.
fn ten_handlers_worth(setup: &OndolSetup) -> anyhow::Result<TempDir> {
    let directory = scratch(&setup.scratch)?;
    for name in ["rooms.wasm", "messages.wasm", "events.wasm"] {
        let file = setup.handlers.join(name);
        let component = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        std::fs::write(directory.path().join(name), padded(&component, COPIES)?)?;
    }
    Ok(directory)
}

/// KiB of compiled code that a server keeps in its directory.
fn compiled_kib(directory: &Path) -> anyhow::Result<u64> {
    Ok(compiled(directory)?.iter().map(|(_, bytes)| bytes).sum::<u64>() / 1024)
}

/// The files of compiled code that a server keeps in its directory, with their sizes.
pub(crate) fn compiled(directory: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let cache = std::fs::read_dir(directory.join("cache")).context("the server keeps no compiled code")?;
    cache.map(|file| file.and_then(|file| Ok((file.path(), file.metadata()?.len()))).map_err(Into::into)).collect()
}
