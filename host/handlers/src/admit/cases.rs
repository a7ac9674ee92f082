//! Tables of cases: calls, and the outcome that each is expected to have. Knows the tables and how to judge an outcome;
//! the calls are the sandbox's.

mod matching;
mod recorded;
mod table;
mod update;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::dynamic_call::{Called, DynamicCaller, Outcome, Session};
use super::json_difference::Difference;
use crate::run::fault::Cause;
use matching::{COMPARISON, Extent, closed, differences, has_anything, opened, seen};
pub(crate) use recorded::record;
pub use recorded::{Recorded, RecordedCall, RecordedOutcome};
pub(crate) use table::CasesError;
use table::{Case, Expected, Step};
pub use update::updated;

/// The calls that measure how long an instance takes that has answered before: the fastest of them counts.
const WARM_CALLS: usize = 5;

/// A table of cases, as a file holds it.
#[derive(Debug)]
pub struct Cases(Vec<Case>);

/// The result of one case.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// The case's name.
    pub name: String,
    /// What was called; of several steps, at last.
    pub call: String,
    /// What is wrong, a line each. Empty: it passed.
    pub differences: Vec<String>,
    /// The start of an instance with its first call, in microseconds. None: it was not made.
    pub cold_microseconds: Option<u128>,
    /// The fastest of a few more calls in the same instance, in microseconds. None: the last call failed.
    pub warm_microseconds: Option<u128>,
    /// The linear memory of its instance, in bytes.
    pub memory_bytes: usize,
    /// The end of its output.
    pub printed: Option<String>,
    /// The place of each failed step, with what it came to in the form that a table would expect it.
    #[serde(skip)]
    got: Vec<(usize, Expected)>,
}

impl CaseReport {
    /// Whether its outcome was the expected one.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Cases {
    /// Reads a table from TOML.
    ///
    /// # Errors
    ///
    /// When it is not TOML, or a case is not written as it has to be: the case's name and what is wrong with it.
    pub fn read(toml: &str) -> Result<Self, CasesError> {
        table::read(toml).map(Self)
    }

    /// The cases that a handler in any language can be expected to pass.
    #[must_use]
    pub fn portable(self) -> Self {
        Self(self.0.into_iter().filter(|case| case.portable).collect())
    }

    /// The names of the cases, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|case| case.name.as_str())
    }

    /// Runs the cases whose name or call holds `filter`, each in a fresh instance, without their limits of time: those
    /// depend on what else the machine does.
    pub fn run<'a>(&'a self, caller: &'a DynamicCaller<'_>, filter: &'a str) -> impl Iterator<Item = CaseReport> + 'a {
        self.wanted(filter).map(|case| run(case, caller).0)
    }

    /// The same, with their limits of time.
    pub fn run_timed<'a>(
        &'a self,
        caller: &'a DynamicCaller<'_>,
        filter: &'a str,
    ) -> impl Iterator<Item = CaseReport> + 'a {
        self.wanted(filter).map(|case| {
            let (mut report, mut session) = run(case, caller);
            if let Some(took) = warm(case, &mut session) {
                report.warm_microseconds = Some(took.as_micros());
                let took_ms = took.as_secs_f64() * 1_000.0;
                if let Some(ms_max) = case.time_ms_max.filter(|ms_max| took_ms > *ms_max) {
                    report.differences.push(format!("it takes {took_ms:.3} ms, more than time_ms_max = {ms_max}"));
                }
            }
            report
        })
    }

    fn wanted<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = &'a Case> {
        let named =
            move |case: &&Case| case.name.contains(filter) || case.steps.iter().any(|step| step.call.contains(filter));
        self.0.iter().filter(named)
    }
}

fn run<'a>(case: &Case, caller: &'a DynamicCaller<'_>) -> (CaseReport, Session<'a>) {
    let mut report = CaseReport {
        name: case.name.clone(),
        call: case.steps.last().map(|step| step.call.clone()).unwrap_or_default(),
        differences: Vec::new(),
        cold_microseconds: None,
        warm_microseconds: None,
        memory_bytes: 0,
        printed: None,
        got: Vec::new(),
    };
    let mut session = caller.session(&case.settings);
    for (index, step) in case.steps.iter().enumerate() {
        let wrong = match session.call(&step.call, &step.arguments) {
            Ok(called) => {
                let wrong = judge(step, caller, &called);
                report.got.extend(as_expected(step, &called).filter(|_| !wrong.is_empty()).map(|got| (index, got)));
                let first = called.cost.started.unwrap_or_default() + called.cost.took;
                report.cold_microseconds.get_or_insert(first.as_micros());
                report.memory_bytes = called.cost.memory_bytes;
                report.printed = called.cost.printed;
                wrong
            }
            Err(error) => vec![format!("the call cannot be made: {error}")],
        };
        if !wrong.is_empty() && case.steps.len() > 1 {
            report.differences.push(format!("step {} ({}):", index + 1, step.call));
        }
        report.differences.extend(wrong);
    }
    if let Some(bytes_max) = case.memory_bytes_max.filter(|bytes_max| report.memory_bytes > *bytes_max) {
        let bytes = report.memory_bytes;
        report.differences.push(format!("it has {bytes} bytes of memory, more than memory_bytes_max = {bytes_max}"));
    }
    (report, session)
}

/// How long the case's last call takes in an instance that has answered before. None: it failed.
fn warm(case: &Case, session: &mut Session<'_>) -> Option<Duration> {
    let step = case.steps.last()?;
    if matches!(step.expected, Expected::Trap(_)) {
        return None;
    }
    let calls = (0..WARM_CALLS).map_while(|_| {
        let called = session.call(&step.call, &step.arguments).ok()?;
        let is_warm = called.cost.started.is_none() && !matches!(called.outcome, Outcome::Fault(_));
        is_warm.then_some(called.cost.took)
    });
    calls.min()
}

/// What is wrong with an outcome, a line each.
fn judge(step: &Step, caller: &DynamicCaller<'_>, called: &Called) -> Vec<String> {
    match (&step.expected, &called.outcome) {
        (Expected::Answer(expected, extent), Outcome::Answer(got)) => answer(step, *extent, caller, expected, got),
        (Expected::Refusal(expected), Outcome::Refusal(got)) => {
            let mut all = lines(&differences(expected, got, Extent::Partial));
            if !all.is_empty() {
                all.push(format!("the refusal: {}", COMPARISON.value(got)));
            }
            all
        }
        (Expected::Trap(part), Outcome::Fault(cause)) => {
            let mut said = cause.to_string();
            if let Some(printed) = &called.cost.printed {
                let _ = write!(said, "\n{printed}");
            }
            if said.contains(part) {
                return Vec::new();
            }
            let mut lines = lines(&[COMPARISON.difference("", describe(&step.expected), said)]);
            lines.extend(places(cause));
            lines
        }
        (expected, outcome) => {
            let got = match outcome {
                Outcome::Answer(answer) => format!("the answer {}", COMPARISON.value(answer)),
                Outcome::Refusal(refusal) => format!("the refusal {}", COMPARISON.value(refusal)),
                Outcome::Fault(cause) => format!("a fault: {cause}"),
            };
            let mut lines = lines(&[COMPARISON.difference("", describe(expected), got)]);
            if let Outcome::Fault(cause) = outcome {
                lines.extend(places(cause));
                lines.extend(called.cost.printed.as_ref().map(|printed| format!("printed  {printed}")));
            }
            lines
        }
    }
}

/// The functions that a fault happened in, innermost first, a line each.
fn places(cause: &Cause) -> impl Iterator<Item = String> + '_ {
    cause.backtrace().iter().map(|function| format!("in {function}"))
}

fn answer(step: &Step, extent: Extent, caller: &DynamicCaller<'_>, expected: &Json, got: &Json) -> Vec<String> {
    let got = opened(&step.call, got.clone());
    if extent == Extent::Partial || has_anything(expected) {
        return lines(&differences(&opened(&step.call, expected.clone()), &got, extent));
    }
    match caller.answer(&step.call, &closed(&step.call, expected.clone())) {
        Ok(expected) => lines(&COMPARISON.differences(&opened(&step.call, expected), &got)),
        Err(error) => vec![format!("the expected answer cannot come: {error}")],
    }
}

/// An outcome as a table would expect it, with as much of it as the table tells now. A fault is not expected by itself.
fn as_expected(step: &Step, called: &Called) -> Option<Expected> {
    match (&step.expected, &called.outcome) {
        (Expected::Answer(expected, extent), Outcome::Answer(got)) => {
            let got = seen(&opened(&step.call, expected.clone()), &opened(&step.call, got.clone()), *extent);
            Some(Expected::Answer(got, *extent))
        }
        (_, Outcome::Answer(got)) => Some(Expected::Answer(opened(&step.call, got.clone()), Extent::Whole)),
        (Expected::Refusal(expected), Outcome::Refusal(got)) => {
            Some(Expected::Refusal(seen(expected, got, Extent::Partial)))
        }
        (_, Outcome::Refusal(got)) => Some(Expected::Refusal(got.clone())),
        (_, Outcome::Fault(_)) => None,
    }
}

fn lines(differences: &[Difference]) -> Vec<String> {
    differences
        .iter()
        .flat_map(|difference| difference.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn describe(expected: &Expected) -> String {
    match expected {
        Expected::Answer(answer, Extent::Whole) => format!("the answer {}", COMPARISON.value(answer)),
        Expected::Answer(answer, Extent::Partial) => format!("an answer with {}", COMPARISON.value(answer)),
        Expected::Refusal(refusal) => format!("a refusal with {}", COMPARISON.value(refusal)),
        Expected::Trap(part) => format!("a fault that says {part:?}"),
    }
}
