//! What a hostile handler costs all other clients: the p99 of quiet rooms, with and without one client that provokes
//! the handler. A row without a handler shows what a loop outside the server costs them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use tokio_tungstenite::tungstenite;

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Driver, Pace};
use crate::report::Figure;
use crate::server::Server;
use crate::statistics::{latencies, latency_ms};

const ROOMS: usize = 20;
const MEMBERS: usize = 2;
/// In all quiet rooms together.
const PACE: Pace = Pace::Open(400);
/// Between an answer to the provoking client and its next frame.
const PROVOKE_EVERY: Duration = Duration::from_millis(50);
/// A call that reaches its deadline takes 100 ms, and its client is paused for 400 ms.
const LOOP_BUSY: Duration = Duration::from_millis(100);
const LOOP_PAUSE: Duration = Duration::from_millis(400);

/// A row, the handler that `tests/guests` replaces, the guest's name, and the word that provokes it. Without a word,
/// this process runs a loop instead.
type Guest = (&'static str, &'static str, &'static str, Option<&'static str>);

const GUESTS: [Guest; 8] = [
    ("nothing hostile", "messages", "relaying_messages", Some("hello")),
    ("a loop outside the server", "messages", "relaying_messages", None),
    ("endless loop in messages", "messages", "spinning_messages", Some("spin")),
    ("endless loop in events", "events", "hostile_events", Some("spin")),
    ("deep recursion", "messages", "recursing_messages", Some("deep")),
    ("memory that grows", "messages", "hungry_messages", Some("hungry")),
    ("2 MB answer", "messages", "hostile_messages", Some("large")),
    ("stderr without end", "messages", "hostile_messages", Some("deluge")),
];

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    GUESTS.into_iter().map(|guest| measure_guest(run, guest).context(guest.0)).collect()
}

fn measure_guest(run: &Run, (title, handler, file, word): Guest) -> anyhow::Result<Figure> {
    crate::progress::line(&format!("  {title}"));
    let (setup, handlers) = run.setup().with_copied_handlers()?;
    let guest = run.guests.join(format!("guest_{file}.wasm"));
    std::fs::copy(&guest, handlers.path().join(format!("{handler}.wasm")))
        .with_context(|| format!("cannot copy {}: `make guests`", guest.display()))?;
    let mut server = Server::ondol(&setup)?;
    let mut clients = Clients::join(server.address, server.new_rooms(ROOMS)?, MEMBERS, 1)?;
    let room = server.new_rooms(1)?.first().context("no room")?.id;

    let (is_provoked, is_ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let (found, calls) = std::thread::scope(|scope| {
        let provoker = scope.spawn(|| provoke(server.address.socket, room, word, [&is_provoked, &is_ended]));
        let found = compare(run, &mut clients, &is_provoked).with_context(|| server.failed());
        is_ended.store(true, Relaxed);
        (found, provoker.join())
    });
    let calls = calls.map_err(|_| anyhow!("the provoking client panicked"))??;
    let [without, with] = found?.map(|latencies| latency_ms(&latencies, 0.99));
    let detail = format!("p99 of {ROOMS} quiet rooms {without:.2} → {with:.2} ms, {calls} calls");
    Ok(Figure::new("hostile", title, format!("{:.2} times", with / without), detail))
}

/// The latencies of the quiet rooms, without and with provocation.
fn compare(run: &Run, clients: &mut Clients, is_provoked: &AtomicBool) -> anyhow::Result<[Histogram<u64>; 2]> {
    let mut found = [latencies()?, latencies()?];
    let mut driver = Driver::start(clients, PACE)?;
    for _ in 0..run.rounds() {
        for (latencies, now) in found.iter_mut().zip([false, true]) {
            is_provoked.store(now, Relaxed);
            driver.run_for(run.spans().warm_up)?;
            latencies.add(driver.time_for(run.spans().measured)?)?;
        }
    }
    is_provoked.store(false, Relaxed);
    driver.finish()?;
    Ok(found)
}

/// Sends the word, or runs the loop, again and again while it is to provoke; gives the number of calls.
fn provoke(
    server: SocketAddr,
    room: u64,
    word: Option<&str>,
    [is_provoked, is_ended]: [&AtomicBool; 2],
) -> anyhow::Result<u32> {
    let user = "user_id=provoker&nickname=provoker&email=provoker%40example.com";
    let (mut socket, _) = tungstenite::connect(format!("ws://{server}/ws/chat/{room}/chat/?{user}"))?;
    let mut calls = 0;
    while !is_ended.load(Relaxed) {
        std::thread::sleep(if word.is_some() { PROVOKE_EVERY } else { LOOP_PAUSE });
        if !is_provoked.load(Relaxed) {
            continue;
        }
        calls += 1;
        if let Some(word) = word {
            let frame = serde_json::json!({"type": "chat.message", "message": word});
            socket.send(frame.to_string().into())?;
            // The answer is an event or an error. Joins and pings are no answers.
            while !socket.read()?.to_text().is_ok_and(|text| text.contains("\"type\"") && !text.contains("chat.user."))
            {
            }
        } else {
            let began = Instant::now();
            while began.elapsed() < LOOP_BUSY {
                std::hint::spin_loop();
            }
        }
    }
    Ok(calls)
}
