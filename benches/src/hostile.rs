//! What a hostile handler costs all other clients: the p99 of quiet rooms, with and without one client that provokes the
//! handler. A row without a handler shows what a loop outside the server costs them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio_tungstenite::tungstenite;

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Driver, Pace};
use crate::report::Figure;
use crate::server::{Server, Setup, scratch};
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

/// A handler of `tests/guests`, and the word that provokes it. Without a word, this process runs a loop instead.
struct Guest(&'static str, &'static str, &'static str, Option<&'static str>);

const GUESTS: [Guest; 9] = [
    Guest("nothing hostile", "messages", "relaying_messages", Some("hello")),
    Guest("a loop outside the server", "messages", "relaying_messages", None),
    Guest("endless loop in messages", "messages", "spinning_messages", Some("spin")),
    Guest("endless loop in events", "events", "hostile_events", Some("spin")),
    Guest("deep recursion", "messages", "recursing_messages", Some("deep")),
    Guest("memory that grows", "messages", "hungry_messages", Some("hungry")),
    Guest("handles without end", "messages", "hostile_messages", Some("handles")),
    Guest("2 MB answer", "messages", "hostile_messages", Some("large")),
    Guest("stderr without end", "messages", "hostile_messages", Some("deluge")),
];

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    GUESTS.iter().map(|guest| measure_guest(run, guest).context(guest.0)).collect()
}

fn measure_guest(run: &Run, guest: &Guest) -> anyhow::Result<Figure> {
    let Guest(title, handler, file, word) = *guest;
    eprintln!("  {title}");
    let setup = run.setup();
    let handlers = scratch(&setup.scratch)?;
    for name in ["rooms", "messages", "events"] {
        let own = setup.handlers.join(format!("{name}.wasm"));
        let from = if name == handler { run.guests.join(format!("guest_{file}.wasm")) } else { own };
        let to = handlers.path().join(format!("{name}.wasm"));
        std::fs::copy(&from, to).with_context(|| format!("cannot copy {}: `make handlers guests`", from.display()))?;
    }
    let mut server = Server::ondol(&Setup { handlers: handlers.path().to_owned(), ..setup })?;
    let mut clients = Clients::join(server.address, server.new_rooms(ROOMS)?, MEMBERS, 1)?;
    clients.settle()?;
    let room = server.new_rooms(1)?.first().context("no room")?.id;
    let provoker = Provoker::start(server.address, room, word);

    let [mut without, mut with] = [latencies()?, latencies()?];
    let mut driver = Driver::start(&mut clients, PACE)?;
    for _ in 0..run.rounds() {
        for (is_provoked, latencies) in [(false, &mut without), (true, &mut with)] {
            provoker.is_active.store(is_provoked, Ordering::Relaxed);
            driver.run_for(run.spans().warm_up)?;
            driver.clients.start_timing()?;
            driver.run_for(run.spans().measured)?;
            latencies.add(driver.clients.stop_timing()?)?;
        }
    }
    driver.finish().with_context(|| server.failed())?;
    let calls = provoker.end()?;
    let [without, with] = [without, with].map(|latencies| latency_ms(&latencies, 0.99));
    Ok(Figure {
        measure: "hostile",
        subject: title.to_owned(),
        value: format!("{:.2} times", with / without),
        detail: format!("p99 of {ROOMS} quiet rooms {without:.2} → {with:.2} ms, {calls} calls"),
    })
}

/// The provoking client, or the loop, on a thread of its own.
struct Provoker {
    is_active: Arc<AtomicBool>,
    is_ended: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u32>>,
}

impl Provoker {
    fn start(server: SocketAddr, room: u64, word: Option<&'static str>) -> Self {
        let (is_active, is_ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (active, ended) = (Arc::clone(&is_active), Arc::clone(&is_ended));
        let thread = std::thread::spawn(move || {
            let user = "user_id=provoker&nickname=provoker&email=provoker%40example.com";
            let (mut socket, _) = tungstenite::connect(format!("ws://{server}/ws/chat/{room}/chat/?{user}"))?;
            let mut calls = 0;
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(if word.is_some() { PROVOKE_EVERY } else { LOOP_PAUSE });
                if !active.load(Ordering::Relaxed) {
                    continue;
                }
                calls += 1;
                let Some(word) = word else {
                    let began = Instant::now();
                    while began.elapsed() < LOOP_BUSY {
                        std::hint::spin_loop();
                    }
                    continue;
                };
                let frame = serde_json::json!({"type": "chat.message", "message": word});
                socket.send(frame.to_string().into())?;
                // The answer is an event or an error; that it has joined is neither.
                while !socket.read()?.to_text().is_ok_and(|text| !text.is_empty() && !text.contains("chat.user.")) {}
            }
            Ok(calls)
        });
        Self { is_active, is_ended, thread }
    }

    /// Ends it and gives the number of calls.
    fn end(self) -> anyhow::Result<u32> {
        self.is_active.store(false, Ordering::Relaxed);
        self.is_ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the provoking client panicked"))?
    }
}
