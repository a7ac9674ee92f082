//! What a scrape of the metrics costs: beside a load with `--scrape`, and alone as a measurement of its own.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::Run;
use crate::clients::Clients;
use crate::connection::Address;
use crate::process::cpu_time;
use crate::report::Figure;
use crate::server::Server;
use crate::statistics::median;
use crate::wire;

/// How often a server is scraped beside a load.
const EVERY: Duration = Duration::from_secs(5);

/// How often it is scraped to measure that alone.
const SCRAPES: usize = 100;

/// Rooms, and members of each.
const ROOMS: usize = 200;
const MEMBERS: usize = 50;

/// Scrapes a server for as long as it runs.
pub(crate) fn beside(admin: Address) {
    std::thread::spawn(move || {
        while wire::get(admin, "/metrics").is_ok() {
            std::thread::sleep(EVERY);
        }
    });
}

/// The CPU time and the time of a scrape of a server with many rooms.
pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::ondol(&run.setup())?;
    let admin = server.admin.context("no admin API")?;
    let _clients = Clients::join(server.address, server.new_rooms(ROOMS)?, MEMBERS, 0)?;
    let (mut cpu_ms, mut took_ms, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SCRAPES {
        let (before, began) = (cpu_time(server.pid)?, Instant::now());
        bytes = wire::get(admin, "/metrics")?.len();
        took_ms.push(began.elapsed().as_secs_f64() * 1e3);
        cpu_ms.push((cpu_time(server.pid)? - before).as_secs_f64() * 1e3);
    }
    let (cpu, took) = (median(&cpu_ms), median(&took_ms));
    let detail = format!("{took:.2} ms until it is read, {bytes} bytes; {} connections", ROOMS * MEMBERS);
    Ok(vec![Figure::new("scrape", server.name, format!("{cpu:.2} ms of CPU"), detail)])
}
