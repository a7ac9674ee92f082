//! What it costs the server that many come into one room, and go again: each coming is told to all who are there.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cli::Run;
use crate::clock::cpu_time;
use crate::crowd::{Crowd, Guests};
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server};

const CALM_TIME_MAX: Duration = Duration::from_secs(30);

/// How many come, and how many of them at once.
const WAYS: [(usize, usize, &str); 3] =
    [(100, 1, "100 users"), (1_000, 1, "1,000 users"), (1_000, 1_000, "1,000 users at once")];

/// Each way in a new room, round by round.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::ondol(setup)?;
    let mut found = [const { Found::new() }; WAYS.len()];
    for _ in 0..run.rounds() {
        for ((users, at_once, _), found) in WAYS.into_iter().zip(&mut found) {
            found.add(&mut server, users, at_once).with_context(|| told(&server, "join1000"))?;
        }
    }
    Ok(WAYS.into_iter().zip(&found).flat_map(|((_, _, who), found)| found.figures(who)).collect())
}

/// A value for each round.
struct Found {
    join_us: Vec<f64>,
    leave_us: Vec<f64>,
    /// For each event that a member heard.
    event_us: Vec<f64>,
    events: Vec<f64>,
}

impl Found {
    const fn new() -> Self {
        Self { join_us: Vec::new(), leave_us: Vec::new(), event_us: Vec::new(), events: Vec::new() }
    }

    fn add(&mut self, server: &mut Server, users: usize, at_once: usize) -> anyhow::Result<()> {
        let room = server.new_room()?;
        let us_since = |before: Duration| Ok(calm(server.pid)?.saturating_sub(before).as_secs_f64() * 1e6);
        let before = calm(server.pid)?;
        let guests = Guests { members: users, senders: 0, last_seq: 0, at_once };
        let mut crowd = Crowd::gather_as(server.address, &[room], guests)?;
        crowd.settle()?;
        let took: anyhow::Result<f64> = us_since(before);
        let took = took?;
        let events = crowd.tally.others;
        // Who came hears of themselves and of all who come after.
        let least = (users * (users + 1) / 2) as u64;
        ensure!(events >= least, "{users} users heard {events} joins of at least {least}");
        self.join_us.push(took / users as f64);
        self.event_us.push(took / events as f64);
        self.events.push(events as f64);

        let before = cpu_time(server.pid)?;
        drop(crowd);
        let took: anyhow::Result<f64> = us_since(before);
        self.leave_us.push(took? / users as f64);
        Ok(())
    }

    fn figures(&self, who: &str) -> [Figure; 2] {
        let figure = |what: &str, values: &[f64], tells: &str| {
            let (least, most) = range(values);
            let tells = format!("{tells}; {least:.0}–{most:.0} µs");
            Figure { measure: "join1000", server: format!("{what}, {who}"), value: median(values), unit: "µs", tells }
        };
        let (events, event_us) = (median(&self.events), median(&self.event_us));
        let heard = format!("server CPU for each, handshake and all; {events:.0} events heard, {event_us:.2} µs each");
        [
            figure("join", &self.join_us, &heard),
            figure("leave", &self.leave_us, "server CPU for each, all sockets closed in one go"),
        ]
    }
}

/// Waits until the server has next to nothing to do, and gives the CPU time that it has had.
fn calm(pid: u32) -> anyhow::Result<Duration> {
    const LOOK: Duration = Duration::from_millis(50);
    const NEXT_TO_NOTHING: Duration = Duration::from_millis(1);
    let began = Instant::now();
    let mut before = cpu_time(pid)?;
    loop {
        std::thread::sleep(LOOK);
        let now = cpu_time(pid)?;
        if now.saturating_sub(before) < NEXT_TO_NOTHING {
            return Ok(now);
        }
        before = now;
        ensure!(began.elapsed() < CALM_TIME_MAX, "the server does not come to rest");
    }
}
