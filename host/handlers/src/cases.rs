//! The tables of `ondol test`: calls, and what each is expected to come to. Knows the tables and how to hold an outcome
//! against one; the calls are the sandbox's.

mod difference;
mod table;

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

pub(super) use table::CasesError;
use table::{Case, Expected};

use super::value::{Called, Outcome, Trial};

/// A table of cases, as a file holds it.
#[derive(Debug)]
pub struct Cases(Vec<Case>);

/// How one case went.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// The case's name.
    pub name: String,
    /// What was called.
    pub call: String,
    /// What is wrong, a line each. Empty: it passed.
    pub differences: Vec<String>,
    /// From the start of the call to its answer, in microseconds. None: it was not made.
    pub microseconds: Option<u128>,
    /// The linear memory of its instance, in bytes.
    pub memory_bytes: usize,
    /// The end of what it printed.
    pub printed: Option<String>,
}

impl CaseReport {
    /// Whether it came to what was expected.
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

    /// The names of the cases, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|case| case.name.as_str())
    }

    /// Runs the cases whose name or call holds `filter`, each in a fresh instance.
    pub fn run<'a>(&'a self, trial: &'a Trial<'_>, filter: &'a str) -> impl Iterator<Item = CaseReport> + 'a {
        let wanted = move |case: &&Case| case.name.contains(filter) || case.call.contains(filter);
        self.0.iter().filter(wanted).map(|case| run(case, trial))
    }
}

fn run(case: &Case, trial: &Trial<'_>) -> CaseReport {
    let mut report = CaseReport {
        name: case.name.clone(),
        call: case.call.clone(),
        differences: Vec::new(),
        microseconds: None,
        memory_bytes: 0,
        printed: None,
    };
    match trial.call(&case.call, &case.arguments, &case.settings) {
        Ok(called) => {
            report.differences = judge(case, trial, &called);
            report.microseconds = Some(called.cost.took.as_micros());
            report.memory_bytes = called.cost.memory_bytes;
            report.printed = called.cost.printed;
        }
        Err(error) => report.differences.push(format!("the call cannot be made: {error}")),
    }
    report
}

fn judge(case: &Case, trial: &Trial<'_>, called: &Called) -> Vec<String> {
    match (&case.expected, &called.outcome) {
        (Expected::Answer(expected), Outcome::Answer(got)) => match trial.answer(&case.call, expected) {
            Ok(expected) => difference::between(&expected, got, ""),
            Err(error) => vec![format!("no such answer can come: {error}")],
        },
        (Expected::Refusal(expected), Outcome::Refusal(got)) => difference::of_given_fields(expected, got),
        (Expected::Trap(part), Outcome::Fault(cause)) => {
            let mut said = cause.to_string();
            if let Some(printed) = &called.cost.printed {
                let _ = write!(said, "\n{printed}");
            }
            if said.contains(part) {
                Vec::new()
            } else {
                vec![format!("expected a fault that says {part:?}"), format!("got      {said}")]
            }
        }
        (expected, outcome) => {
            let mut lines =
                vec![format!("expected {expected}"), format!("got      {}", difference::shown(&outcome.to_string()))];
            if let (Outcome::Fault(_), Some(printed)) = (outcome, &called.cost.printed) {
                lines.push(format!("printed  {printed}"));
            }
            lines
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = |json: &Json| difference::shown(&json.to_string());
        match self {
            Self::Answer(answer) => write!(f, "the answer {}", json(answer)),
            Self::Refusal(refusal) => write!(f, "a refusal with {}", json(refusal)),
            Self::Trap(part) => write!(f, "a fault that says {part:?}"),
        }
    }
}
