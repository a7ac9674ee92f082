//! The order in which metrics are written, and what each is read from.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::families::{cluster as b, connections as c, handlers as h, messages as m, process as p};
use super::process::ProcessFigures;
use super::writer::{Histogram, Writer};
use super::{ConnectionFigures, Measured};
use ondol_host_handlers::{LatencySnapshot, VersionFigures};
use ondol_host_store::PowersOfTwoRow;

/// The powers of two of nanoseconds by which the times of calls are told apart: from 1 µs to 1 s, closest around what a call
/// usually takes.
const CALL_POWERS: [u32; 14] = [10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 27, 30];

/// The same of microseconds for commits: from 64 µs to 8 s.
const COMMIT_POWERS: [usize; 18] = [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/// The same of messages for batches.
const BATCH_POWERS: [usize; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// All that is measured at one scrape.
pub(super) struct Figures {
    pub(super) measured: Measured,
    pub(super) process: ProcessFigures,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.server(&mut writer)?;
        self.connections(&mut writer)?;
        self.messages(&mut writer)?;
        self.store(&mut writer)?;
        self.handlers(&mut writer)?;
        self.releases(&mut writer)?;
        self.cluster(&mut writer)?;
        self.process(&mut writer)
    }
}

impl Figures {
    fn server(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Measured { chat, log_dropped, is_stopping, .. } = &self.measured;
        to.gauges(p::BUILD_INFO, [([("version", env!("CARGO_PKG_VERSION"))], 1)])?;
        to.gauge(p::READY, u64::from(chat.ready && !is_stopping))?;
        to.counter(p::LOG_DROPPED, *log_dropped)
    }

    fn connections(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Measured { chat, listener, connections, .. } = &self.measured;
        let ConnectionFigures { open, accepted, refused, max } = *connections;
        // A connection that is being closed may be counted as a WebSocket a moment longer.
        let http = open.saturating_sub(listener.open);
        to.gauges(c::OPEN, [([("kind", "websocket")], listener.open), ([("kind", "http")], http)])?;
        to.gauge(c::MAX, max as f64)?;
        to.counter(c::ACCEPTED, accepted)?;
        to.counter(c::REFUSED, refused)?;
        to.counter(c::SOCKETS_OPENED, listener.opened)?;
        to.counters(c::SOCKETS_CLOSED, listener.closed.iter().map(|(end, number)| ([("reason", *end)], *number)))?;
        to.counters(c::RESPONSES, listener.answers.iter().map(|(class, number)| ([("code", *class)], *number)))?;
        to.counters(c::TOO_FAST, listener.too_fast.iter().map(|(rate, number)| ([("rate", *rate)], *number)))?;
        to.gauge(c::ROOMS, chat.rooms.rooms)?;
        to.gauge(c::MEMBERS, chat.rooms.members)?;
        to.gauge(c::OUTBOX_BYTES, chat.rooms.waiting_bytes)
    }

    fn messages(&self, to: &mut Writer<'_>) -> fmt::Result {
        let chat = &self.measured.chat;
        to.counter(m::ACCEPTED, chat.accepted)?;
        to.counter(m::RELAYED, chat.relayed)?;
        to.counters(m::REFUSED, chat.refused.iter().map(|(code, number)| ([("code", code.as_str())], *number)))?;
        to.counter(m::STORED, chat.store.commit_messages.sum)?;
        to.counter(m::DELIVERED, chat.rooms.delivered)
    }

    fn store(&self, to: &mut Writer<'_>) -> fmt::Result {
        let store = &self.measured.chat.store;
        to.histogram(m::COMMIT, &powers(&store.commit_us, &COMMIT_POWERS, 1e-6))?;
        to.histogram(m::BATCH, &powers(&store.commit_messages, &BATCH_POWERS, 1.0))?;
        to.counter(m::COMMIT_FAILED, store.failed)?;
        to.gauge(m::COMMIT_WAITING, store.waiting)?;
        to.counter(m::READS, store.reads)?;
        to.gauge(m::LOG_BYTES, store.log_bytes)
    }

    fn handlers(&self, to: &mut Writer<'_>) -> fmt::Result {
        let chat = &self.measured.chat;
        let labels = |row: &'_ VersionFigures| (row.handler.name(), short(&row.version).to_owned());
        let rows: Vec<_> = chat.calls.iter().map(|row| (labels(row), row)).collect();
        let labels =
            rows.iter().map(|((handler, version), row)| ([("handler", *handler), ("version", version.as_str())], row));
        to.histograms(h::CALL, labels.clone().map(|(labels, row)| (labels, call_times(&row.times))))?;
        to.counters(h::FAULTS, labels.map(|(labels, row)| (labels, row.faults)))?;
        let instances = &chat.releases.instances;
        to.gauges(h::INSTANCES, instances.iter().map(|(handler, number)| ([("handler", handler.name())], *number)))
    }

    fn releases(&self, to: &mut Writer<'_>) -> fmt::Result {
        let releases = &self.measured.chat.releases;
        let versions = releases.versions.iter().map(|(handler, version, role)| {
            ([("handler", handler.name()), ("version", short(version)), ("role", *role)], 1)
        });
        let count = |trigger: &str| {
            let mut activations = releases.activations.iter();
            activations.find(|(known, _)| *known == trigger).map_or(0, |(_, number)| *number)
        };
        let rollbacks = [("operator", count("rollback")), ("probation", count("probation"))];
        to.gauge(h::RELEASE, releases.release)?;
        to.gauges(h::VERSION_INFO, versions)?;
        to.counters(h::SWAPS, releases.activations.iter().map(|(trigger, number)| ([("trigger", *trigger)], *number)))?;
        to.counters(h::ROLLBACKS, rollbacks.map(|(cause, number)| ([("cause", cause)], number)))?;
        to.counters(h::PROBATIONS, releases.probations.map(|(outcome, number)| ([("outcome", outcome)], number)))?;
        to.counter(h::WARNINGS, releases.warnings)?;
        to.gauge(h::PROBATIONS_RUNNING, releases.running)?;
        to.counters(h::REJECTED, releases.rejected.iter().map(|(step, number)| ([("step", step.as_str())], *number)))?;
        to.gauge(h::BLOCKED, releases.blocked)
    }

    /// Nothing, if this host is the only one.
    fn cluster(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Some(cluster) = &self.measured.chat.cluster else { return Ok(()) };
        to.counter(b::SENT, cluster.packets_sent)?;
        to.counter(b::RECEIVED, cluster.packets_received)?;
        to.counter(b::MISSED, cluster.missed)?;
        to.gauge(b::ECHO_AGE, cluster.echo_age.as_secs_f64())?;
        to.counter(b::REPAIRS, cluster.repairs)?;
        to.gauge(b::UNSETTLED, cluster.unsettled)?;
        let rooms = [("home", cluster.at_home), ("attached", cluster.attached), ("unattached", cluster.unattached)];
        to.gauges(b::ROOMS, rooms.map(|(role, number)| ([("role", role)], number as u64)))
    }

    fn process(&self, to: &mut Writer<'_>) -> fmt::Result {
        let process = &self.process;
        to.counter_of_seconds(p::CPU, process.cpu_seconds)?;
        to.gauge(p::RESIDENT, process.resident_bytes)?;
        to.gauge(p::VIRTUAL, process.virtual_bytes)?;
        to.gauge(p::OPEN_FDS, process.open_fds)?;
        // There may be no limit, which is more than a whole number here can say.
        to.gauge(p::MAX_FDS, process.max_fds as f64)?;
        to.gauge(p::THREADS, process.threads)?;
        to.gauge(p::STARTED, process.started)
    }
}

/// The digits of a version that the log shows. Another name stays.
fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

fn call_times(times: &LatencySnapshot) -> Histogram {
    let mut below = 0;
    let bucket = |power: u32| {
        let up_to = times.count_below(1 << power);
        let bound = (1_u64 << power) as f64 * 1e-9;
        (bound, up_to - std::mem::replace(&mut below, up_to))
    };
    let mut buckets: Vec<_> = CALL_POWERS.into_iter().map(bucket).collect();
    buckets.push((f64::MAX, times.count() - below));
    Histogram { buckets, sum: times.sum().as_secs_f64() }
}

/// What the store counts by powers of two, told apart at these powers. `unit`: what one is.
fn powers(row: &PowersOfTwoRow, powers: &[usize], unit: f64) -> Histogram {
    let mut counted = 0;
    let bucket = |power: &usize| {
        let up_to = row.counts.iter().take(power + 1).sum();
        ((1_u64 << power) as f64 * unit, up_to - std::mem::replace(&mut counted, up_to))
    };
    let mut buckets: Vec<(f64, u64)> = powers.iter().map(bucket).collect();
    buckets.push((f64::MAX, row.counts.iter().sum::<u64>() - counted));
    Histogram { buckets, sum: row.sum as f64 * unit }
}
