//! What the components take of a message's CPU. The two calls that each message makes are timed in this process, in the
//! real sandbox and, in turn with it, as the same functions linked natively; the difference is held against what a whole
//! message costs the server over sockets.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use ondol::config::Limits;
use ondol_host_handlers::Handlers;

use crate::cli::Run;
use crate::clock::own_thread_time;
use crate::inside::{Parrot, handlers};
use crate::load::measure as measure_load;
use crate::report::{Figure, median, range};
use crate::run::{gather, told};
use crate::server::{OndolSetup, Server};
use crate::shapes::{ROOMS_OF_2, ROOMS_OF_100};

/// All of it round by round, so that what the machine does besides falls on all alike.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let handlers = handlers(&setup.handlers, &Limits::default())?;
    let mut calls = Calls::new(&handlers)?;
    let shapes = [ROOMS_OF_2, ROOMS_OF_100];
    let mut server = Server::ondol(setup)?;
    let mut crowds = Vec::new();
    for shape in shapes {
        crowds.push(gather(&mut server, &shape)?);
    }

    let messages = if run.quick { 20_000 } else { 200_000 };
    let (mut sandboxed, mut native, mut whole) = (Vec::new(), Vec::new(), [const { Vec::new() }; 2]);
    for _ in 0..run.rounds() {
        sandboxed.push(calls.sandboxed_us(messages)?);
        native.push(calls.native_us(messages)?);
        for ((shape, crowd), whole) in shapes.iter().zip(&mut crowds).zip(&mut whole) {
            let measured = measure_load(crowd, server.pid, shape.pace, run.spans());
            let measured = measured.with_context(|| told(&server, "wasm"))?;
            whole.push(measured.cpu_us() * shape.members as f64);
        }
    }

    let figure =
        |server: &str, value, unit, tells| Figure { measure: "wasm", server: server.to_owned(), value, unit, tells };
    let timed = |how: &str, us: &[f64]| {
        let (least, most) = range(us);
        format!("receive and message, {how}, {messages} times a round; {least:.2}–{most:.2} µs")
    };
    let mut figures = vec![
        figure("sandbox", median(&sandboxed), "µs a message", timed("kept instances", &sandboxed)),
        figure("native", median(&native), "µs a message", timed("linked natively", &native)),
    ];
    for (shape, whole) in shapes.iter().zip(&whole) {
        let shares: Vec<_> = (sandboxed.iter().zip(&native).zip(whole))
            .map(|((sandboxed, native), whole)| (sandboxed - native) / whole * 100.0)
            .collect();
        let (least, most) = range(&shares);
        let tells = format!(
            "of {:.1} µs of the server for a message in {}: (sandbox − native) ÷ server; {least:.2}–{most:.2} %",
            median(whole),
            shape.tells
        );
        figures.push(figure(&format!("share, {}", shape.name), median(&shares), "%", tells));
    }
    Ok(figures)
}

/// The same message both ways.
struct Calls<'a> {
    handlers: &'a Handlers,
    parrot: Parrot,
}

impl<'a> Calls<'a> {
    /// Errors when the components and the native functions do not come to the same event.
    fn new(handlers: &'a Handlers) -> anyhow::Result<Self> {
        let (sandboxed, native) = (Parrot::new().through_sandbox(handlers)?, Parrot::new().natively()?);
        ensure!(sandboxed == native, "the sandbox answers {sandboxed}, the native functions {native}");
        Ok(Self { handlers, parrot: Parrot::new() })
    }

    fn sandboxed_us(&mut self, messages: u32) -> anyhow::Result<f64> {
        let Self { handlers, parrot } = self;
        us_each(messages, || parrot.through_sandbox(handlers))
    }

    fn native_us(&mut self, messages: u32) -> anyhow::Result<f64> {
        us_each(messages, || self.parrot.natively())
    }
}

/// Microseconds of this thread's CPU that each takes.
fn us_each<T>(times: u32, mut once: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let before: Duration = own_thread_time();
    for _ in 0..times {
        std::hint::black_box(once()?);
    }
    Ok(own_thread_time().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(times))
}
