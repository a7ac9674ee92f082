//! A handler is replaced under load: how long until the new version is active, and how long deliveries take meanwhile.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Driver, Pace};
use crate::report::Figure;
use crate::server::{Server, Setup, scratch};
use crate::statistics::{latencies, latency_ms, spread};
use crate::wire;

const ROOMS: usize = 10;
const MEMBERS: usize = 10;
const PACE: Pace = Pace::Open(1000);
const ACTIVE_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two questions to the server which version is active.
const STEP: Duration = Duration::from_millis(10);
/// How much longer a large handler is, as one with an interpreter.
const LARGE: usize = 20_000_000;
/// How long deliveries still count as near the swap.
const AFTERMATH: Duration = Duration::from_millis(100);

/// Deliveries near the swaps, and in as long a time without one.
struct Found {
    active_ms: Vec<f64>,
    near: Histogram<u64>,
    calm: Histogram<u64>,
}

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let (setup, _handlers) = run.setup().with_copied_handlers()?;
    let mut server = Server::ondol(&setup)?;
    let mut clients = Clients::join(server.address, server.new_rooms(ROOMS)?, MEMBERS, 1)?;
    let swaps = if run.quick { 5 } else { 20 };
    let found = swap(&mut clients, &server, &setup, swaps, 0).with_context(|| server.failed())?;
    let large = swap(&mut clients, &server, &setup, swaps.div_ceil(4), LARGE).with_context(|| server.failed())?;
    let figure = |subject, value, detail| Figure::new("swap", subject, value, detail);
    let longest = |latencies: &Histogram<u64>| format!("longest {:.2} ms", latencies.max() as f64 / 1e6);
    let p99 = |latencies: &Histogram<u64>| format!("p99 {:.2} ms", latency_ms(latencies, 0.99));
    Ok(vec![
        figure(
            "file changed to version active",
            format!("{} ms", spread(&found.active_ms, 0)),
            format!("limit 400 ms; {swaps} swaps"),
        ),
        figure("deliveries near a swap", p99(&found.near), format!("{}; 1,000 messages/s", longest(&found.near))),
        figure("deliveries near a swap of 20 MB", p99(&large.near), longest(&large.near)),
        figure("deliveries without a swap", p99(&found.calm), longest(&found.calm)),
    ])
}

/// Swaps the handler for one that is `longer` bytes longer.
fn swap(clients: &mut Clients, server: &Server, setup: &Setup, swaps: u32, longer: usize) -> anyhow::Result<Found> {
    let mut found = Found { active_ms: Vec::new(), near: latencies()?, calm: latencies()? };
    let mut events = fs::read(setup.handlers.join("events.wasm"))?;
    section(&mut events, &vec![0; longer]);
    let beside = scratch(&setup.scratch)?;
    let prepared = beside.path().join("events.wasm");
    let mut driver = Driver::start(clients, PACE)?;
    for number in 0..swaps {
        prepare(&prepared, &events, number).context("cannot write the next events.wasm")?;
        let before = active_version(server)?;
        driver.run_for(3 * AFTERMATH)?;

        driver.clients.start_timing()?;
        let began = Instant::now();
        fs::rename(&prepared, setup.handlers.join("events.wasm"))?;
        let is_active = |version: String| version != before;
        meanwhile(&mut driver, || ask_until(server, ACTIVE_TIME_MAX, is_active))??;
        found.active_ms.push(began.elapsed().as_secs_f64() * 1e3);
        driver.run_for(AFTERMATH)?;
        found.near.add(driver.clients.stop_timing()?)?;

        let span = began.elapsed();
        driver.clients.start_timing()?;
        // It is asked as often without a swap.
        let _ = meanwhile(&mut driver, || ask_until(server, span, |_| false))?;
        found.calm.add(driver.clients.stop_timing()?)?;
    }
    driver.finish()?;
    Ok(found)
}

/// Drives the clients while `work` runs beside them: the answer to a question may take longer than a delivery.
fn meanwhile<T: Send>(driver: &mut Driver<'_>, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        while !working.is_finished() {
            driver.run_for(STEP)?;
        }
        working.join().map_err(|_| anyhow::anyhow!("the thread that asks the server panicked"))
    })
}

/// Asks the server for its active version until it is the one, for so long.
fn ask_until(server: &Server, time_max: Duration, is_the_one: impl Fn(String) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_the_one(active_version(server)?) {
        ensure!(began.elapsed() < time_max, "the new version does not become active");
        thread::sleep(STEP);
    }
    Ok(())
}

/// The version of `events` that is active.
fn active_version(server: &Server) -> anyhow::Result<String> {
    let status = wire::request(server.admin.context("no admin API")?, "GET /v1/status", "")?;
    let version = status.pointer("/handlers/events/version").and_then(serde_json::Value::as_str);
    Ok(version.context("no version in the status")?.to_owned())
}

/// Writes the same code under another hash: a custom section holds a number. The file is synced here, because some file
/// systems would otherwise sync it while it is renamed.
fn prepare(file: &Path, events: &[u8], number: u32) -> anyhow::Result<()> {
    let mut bytes = events.to_vec();
    section(&mut bytes, &number.to_le_bytes());
    let mut file = File::create(file)?;
    file.write_all(&bytes)?;
    Ok(file.sync_all()?)
}

/// Appends a custom section.
fn section(component: &mut Vec<u8>, content: &[u8]) {
    const NAME: &[u8] = b"\x05bench";
    component.push(0);
    let mut length = NAME.len() + content.len();
    while length >= 0x80 {
        component.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    component.push(length as u8);
    component.extend_from_slice(NAME);
    component.extend_from_slice(content);
}
