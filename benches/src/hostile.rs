//! What a hostile handler costs everybody else: quiet rooms with and without one client that sets it off, in turn and on
//! one server; and what stays in the server's memory after a thousand such calls, and after a thousand more. Knows the
//! guests by their file and the word that each waits for.
//!
//! A guest that spins takes a CPU from the server and from this process alike. How much of what the quiet rooms feel is
//! only that, a row of its own tells: there this process spins as long, and no handler does.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Hostile;
use crate::crowd::Crowd;
use crate::histogram::Histogram;
use crate::kernel::resident_kib;
use crate::load::{Pace, Talk};
use crate::run::told;
use crate::server::{OndolSetup, Server, scratch};
use crate::villain::{Loud, Villain};

const ROOMS: usize = 20;
const MEMBERS: usize = 2;
/// Of all quiet rooms together.
const PACE: Pace = Pace::Open(400);
/// Between two frames of the client that sets the guest off.
const VILLAIN_EVERY: Duration = Duration::from_millis(50);
/// Memory is looked at after so many calls, and again after all and after twice as many.
const CALLS_BEFORE: u32 = 100;
/// The row without a hostile handler: this process takes the CPU that a guest takes that runs into its deadline.
const OWN_LOOP: &str = "no guest: a loop outside the server, for as long";
/// A deadline's time, and the pause that its client is made to take.
const OWN_LOOP_BUSY: Duration = Duration::from_millis(100);
const OWN_LOOP_REST: Duration = Duration::from_millis(400);
/// The deadline while memory is measured, so that two thousand calls take no minutes: of guests that run until it, and of those
/// that come to another end before.
const MEMORY_DEADLINES: [&str; 2] = ["handler_deadline_ms=5", "handler_deadline_ms=20"];

/// A guest of `tests/guests` and what sets it off.
struct Guest {
    tells: &'static str,
    handler: &'static str,
    file: &'static str,
    word: &'static str,
}

const fn guest(tells: &'static str, handler: &'static str, file: &'static str, word: &'static str) -> Guest {
    Guest { tells, handler, file, word }
}

const GUESTS: [Guest; 19] = [
    guest("nothing hostile", "messages", "relaying_messages", "hello"),
    guest(OWN_LOOP, "messages", "relaying_messages", "hello"),
    guest("endless loop", "messages", "spinning_messages", "spin"),
    guest("endless loop in events", "events", "hostile_events", "spin"),
    guest("deep recursion", "messages", "recursing_messages", "deep"),
    guest("memory that grows", "messages", "hungry_messages", "hungry"),
    guest("handles without end", "messages", "hostile_messages", "handles"),
    guest("100 MB answer", "messages", "huge_messages", "huge"),
    guest("2 MB answer", "messages", "hostile_messages", "large"),
    guest("1.7 MB on stderr, then an answer", "messages", "hostile_messages", "flood"),
    guest("stderr without end", "messages", "hostile_messages", "deluge"),
    guest("a panic with a message", "messages", "hostile_messages", "panic"),
    guest("a panic in events", "events", "trapping_events", "trap"),
    guest("an answer that claims another sender", "events", "hostile_events", "forge"),
    guest("invalid UTF-8 in a payload", "events", "hostile_events", "mojibake"),
    guest("invalid JSON in a payload", "events", "hostile_events", "prose"),
    guest("sleeping in a clock", "messages", "sleeping_messages", "sleep"),
    guest("trying files", "messages", "hostile_messages", "files"),
    guest("trying the environment", "messages", "sleeping_messages", "snoop"),
];

/// Measures every guest and prints a line of a table for each.
pub(crate) fn main(hostile: &Hostile) -> anyhow::Result<()> {
    let calls = hostile.calls;
    println!(
        "{ROOMS} quiet rooms of {MEMBERS}, {} rounds of {} s with and without; memory after {CALLS_BEFORE}, {calls} and \
         {} calls\n",
        hostile.rounds,
        hostile.seconds,
        2 * calls
    );
    println!(
        "| guest | calls | its sender got | the operator saw | p99 of others, ms: without → with | ratio \
         | memory, KiB: {CALLS_BEFORE} → {calls} | {calls} → {} |",
        2 * calls
    );
    println!("|---|--:|---|---|--:|--:|--:|--:|");
    let setup = hostile.setup();
    for guest in GUESTS.iter().filter(|guest| guest.tells.contains(&hostile.filter)) {
        let directory = scratch(&setup.scratch)?;
        place(&setup.handlers, &hostile.guests, guest, directory.path())?;
        let felt = felt(hostile, &setup, directory.path(), guest).with_context(|| guest.tells)?;
        let [until_it, others] = MEMORY_DEADLINES;
        let deadline = if felt.saw.contains("handler_deadline_ms") { until_it } else { others };
        let grown = grown(hostile, &setup, directory.path(), (guest, deadline)).with_context(|| guest.tells)?;
        let Felt { calls, quiet_ms, loud_ms, got, saw } = felt;
        let (tells, ratio, [first, second]) = (guest.tells, loud_ms / quiet_ms, grown);
        println!(
            "| {tells} | {calls} | {got} | {saw} | {quiet_ms:.2} → {loud_ms:.2} | {ratio:.2} | {first:+} | {second:+} |"
        );
    }
    Ok(())
}

/// What the quiet rooms felt, and what was said of it.
struct Felt {
    calls: u64,
    quiet_ms: f64,
    loud_ms: f64,
    got: String,
    saw: String,
}

fn felt(hostile: &Hostile, setup: &OndolSetup, handlers: &Path, guest: &Guest) -> anyhow::Result<Felt> {
    let mut server = Server::ondol_at(setup, scratch(&setup.scratch)?, handlers)?;
    let rooms = server.new_rooms(ROOMS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, MEMBERS, 1)?;
    crowd.settle()?;
    let villain = Villain::join(server.address, server.new_room()?, guest.word)?;
    let loud = if guest.tells == OWN_LOOP {
        Loud::spin(villain, OWN_LOOP_BUSY, OWN_LOOP_REST)
    } else {
        Loud::start(villain, VILLAIN_EVERY)
    };
    let heard = listen(hostile, &mut crowd, &loud).with_context(|| told(&server, guest.tells));
    let (quiet, with) = heard?;
    let (calls, got) = loud.end()?;
    let p99_ms = |latency: &Histogram| latency.quantile(0.99).as_secs_f64() * 1e3;
    let saw = last_fault(&server.log());
    Ok(Felt { calls, quiet_ms: p99_ms(&quiet), loud_ms: p99_ms(&with), got, saw })
}

/// The latencies of the quiet rooms, without and with the client that sets the guest off.
fn listen(hostile: &Hostile, crowd: &mut Crowd, loud: &Loud) -> anyhow::Result<(Histogram, Histogram)> {
    const BREATH: Duration = Duration::from_millis(300);
    let span = Duration::from_secs(hostile.seconds.into());
    let (mut quiet, mut with) = (Histogram::default(), Histogram::default());
    let mut talk = Talk::begin(crowd, PACE)?;
    for _ in 0..hostile.rounds {
        for (is_loud, latencies) in [(false, &mut quiet), (true, &mut with)] {
            loud.set(is_loud);
            talk.go_on(BREATH)?;
            talk.crowd.tally.latency = Histogram::default();
            talk.crowd.tally.timing = true;
            talk.go_on(span)?;
            talk.crowd.tally.timing = false;
            latencies.merge(&talk.crowd.tally.latency);
        }
    }
    loud.set(false);
    talk.end()?;
    Ok((quiet, with))
}

/// KiB that the server has grown by from its hundredth such call to its thousandth, and in a thousand more. What a worker
/// takes once, such as a stack that was never so deep, is in the first of the two at the most; what leaks is in both.
fn grown(
    hostile: &Hostile,
    setup: &OndolSetup,
    handlers: &Path,
    (guest, deadline): (&Guest, &str),
) -> anyhow::Result<[i64; 2]> {
    let flags = ["--limit", deadline, "--limit", "handler_overrun_pause_ms=0"];
    let mut server = Server::ondol_with(setup, scratch(&setup.scratch)?, handlers, &flags)?;
    let mut villain = Villain::join(server.address, server.new_room()?, guest.word)?;
    let mut resident = |calls| -> anyhow::Result<i64> {
        for _ in 0..calls {
            villain.call().with_context(|| told(&server, guest.tells))?;
        }
        Ok(i64::try_from(resident_kib(server.pid)?)?)
    };
    let before = resident(CALLS_BEFORE)?;
    let after = resident(hostile.calls.saturating_sub(CALLS_BEFORE))?;
    Ok([after - before, resident(hostile.calls)? - after])
}

/// Puts the guest beside the standard handlers that it does not replace.
fn place(handlers: &Path, guests: &Path, guest: &Guest, to: &Path) -> anyhow::Result<()> {
    for name in ["rooms", "messages", "events"] {
        let file = if name == guest.handler {
            guests.join(format!("guest_{}.wasm", guest.file))
        } else {
            handlers.join(format!("{name}.wasm"))
        };
        let to = to.join(format!("{name}.wasm"));
        std::fs::copy(&file, to).with_context(|| format!("cannot copy {}: `make handlers guests`", file.display()))?;
    }
    Ok(())
}

/// The last thing that the log says of the guest, without its fields.
fn last_fault(log: &str) -> String {
    let marks = ["handler failed, ", "more lines of this call"];
    let Some(line) = log.lines().rev().find(|line| marks.iter().any(|mark| line.contains(mark))) else {
        return "nothing".to_owned();
    };
    let said = line.split_once(": ").map_or(line, |(_, said)| said);
    let said = said.split(" request=").next().unwrap_or(said);
    let said = said.split(" handler=").next().unwrap_or(said);
    said.split_once("hears of an error: ").map_or(said, |(_, cause)| cause).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_line_is_cut_to_what_it_says() {
        let log =
            "t ERROR ondol::x: handler failed, its sender hears of an error: it panicked at a: no request=1 room=1\n";
        assert_eq!(last_fault(log), "it panicked at a: no");
        assert_eq!(last_fault("t INFO ondol: fine\n"), "nothing");
    }
}
