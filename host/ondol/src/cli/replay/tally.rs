//! The result of a replay: how many answers are equal, the first differences, the cost of the calls. The text output
//! shows no more of a message than a difference needs.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value as Json, json};

use ondol_host_handlers::{Compared, Fault, Replay, Replied, Side};
use ondol_host_model::{MessageId, RoomId, Seq};

/// A replay stops after so many slow calls, each of which takes as long as its deadline.
const SLOW_MAX: usize = 100;

/// The room or message of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    Room(RoomId),
    Message(RoomId, Seq, MessageId),
}

/// The counts and the first differences.
pub(super) struct Tally {
    compared: usize,
    same: usize,
    slow: usize,
    before: Costs,
    after: Costs,
    differences: Vec<(Subject, Compared)>,
    show: usize,
}

/// Faults and times of one version's calls.
#[derive(Default)]
struct Costs {
    faults: usize,
    /// The times of the answered calls.
    took: Vec<Duration>,
}

impl Tally {
    /// A tally that keeps the first `show` differences.
    pub(super) fn new(show: usize) -> Self {
        let (before, after) = (Costs::default(), Costs::default());
        Self { compared: 0, same: 0, slow: 0, before, after, differences: Vec::new(), show }
    }

    /// Adds a comparison. Breaks after [`SLOW_MAX`] slow calls.
    pub(super) fn add(&mut self, subject: Subject, compared: Compared) -> ControlFlow<()> {
        self.compared += 1;
        self.slow += usize::from(self.before.add(&compared.before)) + usize::from(self.after.add(&compared.after));
        if compared.same() {
            self.same += 1;
        } else if self.differences.len() < self.show {
            self.differences.push((subject, compared));
        }
        if self.slow < SLOW_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    pub(super) fn compared(&self) -> usize {
        self.compared
    }

    pub(super) fn all_same(&self) -> bool {
        self.same == self.compared
    }

    fn different(&self) -> usize {
        self.compared - self.same
    }

    pub(super) fn print(&self, replay: &Replay) {
        let (before, after) = (replay.before(), replay.after());
        println!("{}: version {} compared with {}", after.handler(), after.version(), before.version());
        println!("{} compared: {} equal, {} different", self.compared, self.same, self.different());
        for (subject, compared) in &self.differences {
            println!("\n{subject}");
            print_fault("before", &compared.before);
            print_fault("after", &compared.after);
            for line in compared.differences().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").lines() {
                println!("    {line}");
            }
        }
        let more = self.different() - self.differences.len();
        if more > 0 {
            println!("\n{more} more not shown; raise --show to see them");
        }
        if self.slow >= SLOW_MAX {
            println!("\nstopped early: {SLOW_MAX} calls exceeded their deadline");
        }
        println!();
        self.before.print("before", before);
        self.after.print("after", after);
    }

    pub(super) fn json(&self, replay: &Replay) -> Json {
        let difference = |(subject, compared): &(Subject, Compared)| {
            let mut difference = subject.json();
            if let Some(fields) = difference.as_object_mut() {
                fields.insert("before".to_owned(), answer(&compared.before));
                fields.insert("after".to_owned(), answer(&compared.after));
            }
            difference
        };
        let differences: Vec<Json> = self.differences.iter().map(difference).collect();
        json!({
            "handler": replay.after().handler().name(),
            "asked": self.compared,
            "same": self.same,
            "different": self.different(),
            "complete": self.slow < SLOW_MAX,
            "before": self.before.json(replay.before()),
            "after": self.after.json(replay.after()),
            "differences": differences,
        })
    }
}

impl Costs {
    /// Adds a call, and returns whether it was slow.
    fn add(&mut self, replied: &Replied) -> bool {
        match &replied.answer {
            Ok(_) => {
                self.took.push(replied.took);
                false
            }
            Err(fault) => {
                self.faults += 1;
                fault.cause.was_slow()
            }
        }
    }

    /// The mean and the 99th percentile, in microseconds. None if no call was answered.
    fn microseconds(&self) -> Option<(f64, f64)> {
        let mut took = self.took.clone();
        took.sort_unstable();
        let rank = (took.len() * 99).div_ceil(100).checked_sub(1)?;
        let p99 = took.get(rank)?;
        let whole: Duration = took.iter().sum();
        let microseconds = |time: f64| (time * 1e7).round() / 10.0;
        Some((microseconds(whole.as_secs_f64() / took.len() as f64), microseconds(p99.as_secs_f64())))
    }

    fn print(&self, side: &str, of: &Side) {
        let cost = match self.microseconds() {
            Some((mean, p99)) => format!("mean {mean:.1} µs, p99 {p99:.1} µs"),
            None => "no answers".to_owned(),
        };
        println!("{side:<6} {}: {cost}, {} faults", of.version(), self.faults);
    }

    fn json(&self, side: &Side) -> Json {
        let (mean, p99) = self.microseconds().unzip();
        json!({
            "version": side.version().whole(),
            "faults": self.faults,
            "mean_microseconds": mean,
            "p99_microseconds": p99,
        })
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room {room}"),
            Self::Message(room, seq, id) => write!(f, "room {room}, seq {} (message {})", seq.0, id.0),
        }
    }
}

impl Subject {
    fn json(self) -> Json {
        match self {
            Self::Room(room) => json!({ "room": room.0 }),
            Self::Message(room, seq, id) => json!({ "room": room.0, "seq": seq.0, "id": id.0 }),
        }
    }
}

fn print_fault(side: &str, replied: &Replied) {
    let Err(Fault { function, cause, printed, .. }) = &replied.answer else { return };
    println!("    {side}: fault in {function}: {cause}");
    cause.backtrace().iter().for_each(|function| println!("      in {function}"));
    printed.iter().flat_map(|printed| printed.lines()).for_each(|line| println!("      printed {line:?}"));
}

fn answer(replied: &Replied) -> Json {
    match &replied.answer {
        Ok(answer) => answer.json(),
        Err(Fault { function, cause, printed, .. }) => json!({ "fault": {
            "function": function,
            "cause": cause.to_string(),
            "backtrace": cause.backtrace(),
            "printed": printed,
        }}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_a_hundred_is_past_the_99th_percentile() {
        let took: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(Costs { faults: 0, took }.microseconds(), Some((50.5, 99.0)));
        assert_eq!(Costs { faults: 0, took: vec![Duration::from_nanos(1_240)] }.microseconds(), Some((1.2, 1.2)));
        assert_eq!(Costs::default().microseconds(), None);
    }
}
