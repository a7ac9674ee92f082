//! How fast clients send, and what that costs the server. Knows nothing of which server it is.

use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use crate::clients::Clients;
use crate::process::cpu_time;

/// A server that delivers nothing for so long has lost a message.
const STALL_MAX: Duration = Duration::from_secs(10);

/// When the senders send.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// A closed loop: each sender keeps this many messages in flight, and sends the next when one has come back to it.
    Closed(usize),
    /// An open loop: so many messages a second, the senders in turn, whatever the server does.
    Open(u32),
}

/// How long a measurement takes.
#[derive(Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// The result of one measurement.
pub(crate) struct Measured {
    /// The server's CPU time for each delivery, in µs. A message counts as one delivery for each member.
    pub(crate) cpu_us: f64,
    /// The share of one CPU that the clients took: near 1, they and not the server set the pace.
    pub(crate) clients_cpu: f64,
    pub(crate) latencies: Histogram<u64>,
}

/// Lets the clients send, measures in the midst of it, and then waits for the last delivery.
///
/// Errors for any fault in what was delivered, and when deliveries stop.
pub(crate) fn measure(clients: &mut Clients, pid: u32, pace: Pace, spans: Spans) -> anyhow::Result<Measured> {
    let mut driver = Driver::start(clients, pace)?;
    driver.run_for(spans.warm_up)?;

    let (began, deliveries) = (Instant::now(), driver.clients.deliveries());
    let (cpu, own_cpu) = (cpu_time(pid)?, cpu_time(std::process::id())?);
    let latencies = driver.time_for(spans.measured)?;
    let (cpu, own_cpu) = (cpu_time(pid)? - cpu, cpu_time(std::process::id())? - own_cpu);
    let (wall, deliveries) = (began.elapsed(), driver.clients.deliveries() - deliveries);
    driver.finish()?;
    Ok(Measured {
        cpu_us: cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64,
        clients_cpu: own_cpu.as_secs_f64() / wall.as_secs_f64(),
        latencies,
    })
}

/// Clients that are sending.
pub(crate) struct Driver<'a> {
    pub(crate) clients: &'a mut Clients,
    pace: Pace,
    /// In an open loop, when the next message is due and whose turn it is.
    due: Instant,
    next: usize,
    /// The deliveries so far, and when the last of them arrived.
    progress: (u64, Instant),
}

impl<'a> Driver<'a> {
    pub(crate) fn start(clients: &'a mut Clients, pace: Pace) -> anyhow::Result<Self> {
        let now = Instant::now();
        if let Pace::Closed(in_flight) = pace {
            for sender in (0..clients.senders()).flat_map(|sender| std::iter::repeat_n(sender, in_flight)) {
                clients.send(sender, now)?;
            }
        }
        let progress = (clients.deliveries(), now);
        Ok(Self { clients, pace, due: now, next: 0, progress })
    }

    /// Sends and receives for `span`.
    pub(crate) fn run_for(&mut self, span: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + span;
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            let wait = match self.pace {
                Pace::Closed(_) => until - now,
                Pace::Open(per_second) => self.send_due(now, per_second)?.min(until).saturating_duration_since(now),
            };
            self.poll(wait)?;
            let now = Instant::now();
            for sender in self.clients.take_acknowledged() {
                if let Pace::Closed(_) = self.pace {
                    self.clients.send(sender, now)?;
                }
            }
        }
    }

    /// The same, and gives the latencies.
    pub(crate) fn time_for(&mut self, span: Duration) -> anyhow::Result<Histogram<u64>> {
        self.clients.start_timing()?;
        self.run_for(span)?;
        self.clients.stop_timing()
    }

    /// Sends all messages that are due, and gives when the next one is. Latency counts from when a message was due, so
    /// a delay of the load itself does not hide one of the server.
    fn send_due(&mut self, now: Instant, per_second: u32) -> anyhow::Result<Instant> {
        while self.due <= now {
            self.clients.send(self.next, self.due)?;
            self.next = (self.next + 1) % self.clients.senders();
            self.due += Duration::from_secs(1) / per_second;
        }
        Ok(self.due)
    }

    /// Sends no more, and waits for the last delivery.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        while self.clients.outstanding() > 0 {
            self.poll(Duration::from_millis(100))?;
        }
        self.clients.take_acknowledged();
        self.clients.drain(Duration::ZERO)
    }

    fn poll(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.clients.poll(wait.min(STALL_MAX))?;
        let (now, deliveries, outstanding) = (Instant::now(), self.clients.deliveries(), self.clients.outstanding());
        if deliveries > self.progress.0 || outstanding == 0 {
            self.progress = (deliveries, now);
        }
        let stalled = now.duration_since(self.progress.1);
        ensure!(stalled < STALL_MAX, "{outstanding} deliveries are missing, the last one arrived {stalled:.0?} ago");
        Ok(())
    }
}
