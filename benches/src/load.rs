//! How fast a crowd speaks, and what that costs the server. Knows nothing of which server it is.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::clock::cpu_time;
use crate::crowd::Crowd;
use crate::histogram::Histogram;

/// A server that delivers nothing for so long has lost something.
const STALL_MAX: Duration = Duration::from_secs(10);

/// When the senders speak.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each sender keeps this many messages in flight: it says the next when one has come back to it, which is all the
    /// acknowledgement that a client gets.
    Closed(usize),
    /// So many messages a second, the senders in turn, whatever the server does.
    Open(u32),
}

/// How long a measurement takes.
#[derive(Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What one measurement found.
pub(crate) struct Measured {
    pub(crate) wall: Duration,
    /// Deliveries, each message counted at each member.
    pub(crate) deliveries: u64,
    /// CPU time of the server.
    pub(crate) cpu: Duration,
    /// CPU time of the clients.
    pub(crate) own_cpu: Duration,
    pub(crate) latency: Histogram,
}

impl Measured {
    /// Microseconds of the server's CPU for each delivery.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.deliveries.max(1) as f64
    }
}

/// Lets the crowd speak, measures in the midst of it, and then waits until everything has reached everybody.
///
/// Errors for any fault in what was delivered, and when deliveries stop.
pub(crate) fn measure(crowd: &mut Crowd, pid: u32, pace: Pace, spans: Spans) -> anyhow::Result<Measured> {
    let mut talk = Talk::begin(crowd, pace)?;
    talk.go_on(spans.warm_up)?;

    let deliveries = talk.crowd.tally.deliveries;
    talk.crowd.tally.latency = Histogram::default();
    talk.crowd.tally.timing = true;
    let (began, cpu, own_cpu) = (Instant::now(), cpu_time(pid)?, cpu_time(std::process::id())?);
    talk.go_on(spans.measured)?;
    let measured = Measured {
        wall: began.elapsed(),
        deliveries: talk.crowd.tally.deliveries - deliveries,
        cpu: cpu_time(pid)?.saturating_sub(cpu),
        own_cpu: cpu_time(std::process::id())?.saturating_sub(own_cpu),
        latency: talk.crowd.tally.latency.clone(),
    };
    talk.crowd.tally.timing = false;
    talk.end()?;
    Ok(measured)
}

/// A crowd that is speaking.
pub(crate) struct Talk<'a> {
    pub(crate) crowd: &'a mut Crowd,
    pace: Pace,
    /// In an open loop, when the next message is due and whose turn it is.
    due: Instant,
    next: usize,
    heard: (u64, Instant),
}

impl<'a> Talk<'a> {
    pub(crate) fn begin(crowd: &'a mut Crowd, pace: Pace) -> anyhow::Result<Self> {
        let now = Instant::now();
        if let Pace::Closed(in_flight) = pace {
            for sender in (0..crowd.senders()).flat_map(|sender| std::iter::repeat_n(sender, in_flight)) {
                crowd.say(sender, now)?;
            }
        }
        let heard = (crowd.tally.deliveries, now);
        Ok(Self { crowd, pace, due: now, next: 0, heard })
    }

    /// Speaks and listens for `span`.
    pub(crate) fn go_on(&mut self, span: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + span;
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            let wait = match self.pace {
                Pace::Closed(_) => until - now,
                Pace::Open(per_second) => self.say_due(now, per_second)?.min(until).saturating_duration_since(now),
            };
            self.turn(wait)?;
            if let Pace::Closed(_) = self.pace {
                let now = Instant::now();
                while let Some(sender) = self.crowd.acknowledged.pop() {
                    self.crowd.say(sender, now)?;
                }
            }
        }
    }

    /// Says all that is due, and gives when the next is. Latency counts from when a message was due, so what the load
    /// itself is late does not hide what the server is late.
    fn say_due(&mut self, now: Instant, per_second: u32) -> anyhow::Result<Instant> {
        while self.due <= now {
            self.crowd.say(self.next, self.due)?;
            self.next = (self.next + 1) % self.crowd.senders();
            self.due += Duration::from_secs(1) / per_second;
        }
        self.crowd.acknowledged.clear();
        Ok(self.due)
    }

    /// Falls silent, and listens until everything has reached everybody.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        while self.crowd.in_flight() > 0 {
            self.turn(Duration::from_millis(100))?;
        }
        self.crowd.acknowledged.clear();
        Ok(())
    }

    fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.crowd.turn(wait.min(STALL_MAX))?;
        let now = Instant::now();
        let (deliveries, in_flight) = (self.crowd.tally.deliveries, self.crowd.in_flight());
        if deliveries > self.heard.0 || in_flight == 0 {
            self.heard = (deliveries, now);
        }
        let stalled = now.duration_since(self.heard.1);
        ensure!(stalled < STALL_MAX, "{in_flight} messages have not reached everybody, nothing came for {stalled:.0?}");
        Ok(())
    }
}
