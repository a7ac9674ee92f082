//! How long it takes from exec to the first message that has come back.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cli::Run;
use crate::crowd::Crowd;
use crate::report::{Figure, median, range};
use crate::server::{OndolSetup, Server};

const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(30);

/// Starts each server anew each round: Ondol in an empty directory, Ondol again where it has been, the plain one.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let (mut first, mut again, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..run.rounds {
        let began = Instant::now();
        let mut server = Server::ondol(setup)?;
        first.push(ms_to_first_message(&mut server, began)?);
        let directory = server.end()?;

        let began = Instant::now();
        let mut server = Server::ondol_at(setup, directory, &setup.handlers)?;
        again.push(ms_to_first_message(&mut server, began)?);

        let began = Instant::now();
        let mut server = Server::plain(setup)?;
        plain.push(ms_to_first_message(&mut server, began)?);
    }
    Ok([("ondol, first", first), ("ondol, again", again), ("plain", plain)].map(figure).into())
}

fn figure((server, ms): (&str, Vec<f64>)) -> Figure {
    let (least, most) = range(&ms);
    let tells = format!("exec to first message; {least:.0}–{most:.0} ms");
    Figure { measure: "start", server: server.to_owned(), value: median(&ms), unit: "ms", tells }
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
