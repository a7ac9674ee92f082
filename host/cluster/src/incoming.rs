//! What comes in: records in their order, and whatever is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::beat::ToAll;
use super::nats::{Said, Subscribed};
use super::packet::{Packet, Reassembly};
use super::{Bus, BusError, Event};

/// How many events wait for the reader. Then NATS keeps what comes, and drops it if that is too much: which is noticed.
const EVENTS_MAX: usize = 8_192;

/// How long the first beat may take to come back.
const FIRST_ECHO_MAX: Duration = Duration::from_secs(5);

/// What comes in. For one reader.
pub struct Incoming {
    events: mpsc::Receiver<Event>,
}

impl Incoming {
    /// The next event. Waits for ever once the bus is gone.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// The stream of one host.
#[derive(Default)]
struct Stream {
    /// The number of the last packet.
    last: u64,
    /// The number that it had reached at its last beat but one, as it says.
    announced: u64,
    reassembly: Reassembly,
    /// A record has begun here: what came before it is incomplete.
    is_whole: bool,
}

/// Reads what comes.
struct Reader {
    bus: Weak<Bus>,
    no: i32,
    streams: BTreeMap<i32, Stream>,
    events: mpsc::Sender<Event>,
    is_silent: bool,
}

/// Begins to read, once this host's own beat has come back.
pub(crate) async fn receive(bus: &Arc<Bus>, mut subscribed: Subscribed) -> Result<Incoming, BusError> {
    let (events, incoming) = mpsc::channel(EVENTS_MAX);
    bus.beat().await;
    bus.nats.flush().await;
    let echo = async {
        loop {
            match subscribed.next().await {
                Some(Said::ToAll(said)) => match ToAll::decode(said) {
                    Some(ToAll::Beat { from, .. }) if from == bus.no => return Ok(()),
                    _ => {}
                },
                Some(Said::Packet(_)) => {}
                None => return Err(BusError::Nats("the subscription has ended".to_owned())),
            }
        }
    };
    let silent = || BusError::Nats("what this host says does not come back: may it publish and subscribe?".to_owned());
    timeout(FIRST_ECHO_MAX, echo).await.map_err(|_| silent())??;
    bus.pulse().echo = Instant::now();
    let reader = Reader { bus: Arc::downgrade(bus), no: bus.no, streams: BTreeMap::new(), events, is_silent: false };
    tokio::spawn(reader.run(subscribed, Duration::from_millis(bus.limits.beat_ms.max(1))));
    Ok(Incoming { events: incoming })
}

impl Reader {
    async fn run(mut self, mut subscribed: Subscribed, beat: Duration) {
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Some(bus) = self.bus.upgrade() else { return };
            tokio::select! {
                biased;
                said = subscribed.next() => match said {
                    Some(Said::Packet(packet)) => self.packet(&bus, packet).await,
                    Some(Said::ToAll(said)) => self.said(&bus, said).await,
                    None => return,
                },
                _ = beats.tick() => {
                    bus.beat().await;
                    self.look(&bus).await;
                }
            }
        }
    }

    async fn packet(&mut self, bus: &Bus, bytes: Bytes) {
        bus.counts.packets_received.add(1);
        bus.counts.bytes_received.add(bytes.len() as u64);
        let Some(Packet { from, to, number, first, piece }) = Packet::decode(bytes) else {
            return tracing::warn!("a packet on the bus is of another version of this server");
        };
        if to != self.no || bus.links.is_gone(from) {
            return;
        }
        let stream = self.streams.entry(from).or_insert_with(|| Stream { is_whole: true, ..Stream::default() });
        if number <= stream.last {
            return;
        }
        let is_next = number == stream.last + 1;
        stream.last = number;
        if !is_next {
            stream.lose();
            self.missed(bus, from).await;
        }
        let Some(stream) = self.streams.get_mut(&from) else { return };
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let piece =
            if stream.is_whole { Some(piece.as_ref()) } else { piece.get(first..).filter(|piece| !piece.is_empty()) };
        let Some(piece) = piece else { return };
        stream.is_whole = true;
        stream.reassembly.push(piece);
        let records: Vec<Bytes> = std::iter::from_fn(|| stream.reassembly.next()).collect();
        bus.counts.records_received.add(records.len() as u64);
        for record in records {
            self.tell(Event::Record { from, record }).await;
        }
    }

    async fn said(&mut self, bus: &Bus, said: Bytes) {
        match ToAll::decode(said) {
            Some(ToAll::Beat { from, .. }) if from == self.no => {
                bus.pulse().echo = Instant::now();
                if std::mem::take(&mut self.is_silent) {
                    self.tell(Event::Echo).await;
                }
            }
            Some(ToAll::Beat { from, release, sent }) => {
                if bus.links.is_gone(from) {
                    return;
                }
                bus.pulse().beats.insert(from, Instant::now());
                if let Some(sent) = sent.get(&self.no) {
                    let stream =
                        self.streams.entry(from).or_insert_with(|| Stream { is_whole: true, ..Stream::default() });
                    // What was sent before the last beat has come, or is lost.
                    if stream.last < stream.announced {
                        stream.last = stream.announced;
                        stream.lose();
                        self.missed(bus, from).await;
                    }
                    if let Some(stream) = self.streams.get_mut(&from) {
                        stream.announced = *sent;
                    }
                }
                self.tell(Event::Beat { host: from, release }).await;
            }
            Some(ToAll::Record { from, record }) if from != self.no => self.tell(Event::ToAll { from, record }).await,
            Some(ToAll::Record { .. }) | None => {}
        }
    }

    /// Notices that beats do not come back, and forgets the streams of hosts that are gone.
    async fn look(&mut self, bus: &Bus) {
        self.streams.retain(|host, _| !bus.links.is_gone(*host));
        let age = bus.pulse().echo.elapsed();
        if !self.is_silent && age > Duration::from_millis(bus.limits.echo_ms_max) {
            self.is_silent = true;
            self.tell(Event::Silent).await;
        }
    }

    async fn missed(&self, bus: &Bus, host: i32) {
        bus.counts.missed.add(1);
        self.tell(Event::Missed { host }).await;
    }

    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

impl Stream {
    fn lose(&mut self) {
        self.reassembly.reset();
        self.is_whole = false;
    }
}

impl Bus {
    /// Shows that this host lives.
    async fn beat(&self) {
        let release = self.pulse().release;
        self.nats.tell_all(ToAll::Beat { from: self.no, release, sent: self.links.sent() }.encode()).await;
    }
}
