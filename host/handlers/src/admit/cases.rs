//! Tables of cases: calls, and the outcome that each is expected to have. Knows the tables and how to compare an
//! outcome with one; the calls are the sandbox's.

mod table;

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

use super::dynamic_call::{Called, DynamicCaller, Outcome};
use super::json_difference::{Comparison, Difference};
pub(crate) use table::CasesError;
use table::{Case, Expected};

/// How an outcome is compared with what is expected.
const COMPARISON: Comparison = Comparison { left: "expected", right: "got", around_chars: 24, side_chars_max: 160 };

/// A table of cases, as a file holds it.
#[derive(Debug)]
pub struct Cases(Vec<Case>);

/// The result of one case.
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
    /// The end of its output.
    pub printed: Option<String>,
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

    /// Runs the cases whose name or call holds `filter`, each in a fresh instance.
    pub fn run<'a>(&'a self, caller: &'a DynamicCaller<'_>, filter: &'a str) -> impl Iterator<Item = CaseReport> + 'a {
        let wanted = move |case: &&Case| case.name.contains(filter) || case.call.contains(filter);
        self.0.iter().filter(wanted).map(|case| run(case, caller))
    }
}

fn run(case: &Case, caller: &DynamicCaller<'_>) -> CaseReport {
    let mut report = CaseReport {
        name: case.name.clone(),
        call: case.call.clone(),
        differences: Vec::new(),
        microseconds: None,
        memory_bytes: 0,
        printed: None,
    };
    match caller.call(&case.call, &case.arguments, &case.settings) {
        Ok(called) => {
            report.differences = judge(case, caller, &called);
            report.microseconds = Some(called.cost.took.as_micros());
            report.memory_bytes = called.cost.memory_bytes;
            report.printed = called.cost.printed;
        }
        Err(error) => report.differences.push(format!("the call cannot be made: {error}")),
    }
    report
}

/// What is wrong with an outcome, a line each.
fn judge(case: &Case, caller: &DynamicCaller<'_>, called: &Called) -> Vec<String> {
    match (&case.expected, &called.outcome) {
        (Expected::Answer(expected), Outcome::Answer(got)) => match caller.answer(&case.call, expected) {
            Ok(expected) => lines(&COMPARISON.differences(&expected, got)),
            Err(error) => vec![format!("the expected answer cannot come: {error}")],
        },
        (Expected::Refusal(expected), Outcome::Refusal(got)) => refusal(expected, got),
        (Expected::Trap(part), Outcome::Fault(cause)) => {
            let mut said = cause.to_string();
            if let Some(printed) = &called.cost.printed {
                let _ = write!(said, "\n{printed}");
            }
            if said.contains(part) {
                Vec::new()
            } else {
                lines(&[COMPARISON.difference("", describe(&case.expected), said)])
            }
        }
        (expected, outcome) => {
            let got = match outcome {
                Outcome::Answer(answer) => format!("the answer {}", COMPARISON.value(answer)),
                Outcome::Refusal(refusal) => format!("the refusal {}", COMPARISON.value(refusal)),
                Outcome::Fault(cause) => format!("a fault: {cause}"),
            };
            let mut lines = lines(&[COMPARISON.difference("", describe(expected), got)]);
            if let (Outcome::Fault(_), Some(printed)) = (outcome, &called.cost.printed) {
                lines.push(format!("printed  {printed}"));
            }
            lines
        }
    }
}

/// The given fields of a refusal that are missing or differ. Fields that are not given are not compared.
fn refusal(expected: &Json, got: &Json) -> Vec<String> {
    let (Json::Object(wanted), Json::Object(found)) = (expected, got) else {
        return lines(&COMPARISON.differences(expected, got));
    };
    let mut all = Vec::new();
    for (key, expected) in wanted {
        match found.get(key).or_else(|| found.get(&key.replace('_', "-"))) {
            Some(got) => all.extend(lines(&COMPARISON.differences_at(key, expected, got))),
            None => all.push(format!("a refusal has no field {key:?}")),
        }
    }
    if !all.is_empty() {
        all.push(format!("the refusal: {}", COMPARISON.value(got)));
    }
    all
}

fn lines(differences: &[Difference]) -> Vec<String> {
    differences
        .iter()
        .flat_map(|difference| difference.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn describe(expected: &Expected) -> String {
    match expected {
        Expected::Answer(answer) => format!("the answer {}", COMPARISON.value(answer)),
        Expected::Refusal(refusal) => format!("a refusal with {}", COMPARISON.value(refusal)),
        Expected::Trap(part) => format!("a fault that says {part:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_given_fields_of_a_refusal_are_compared() {
        let got = json!({"code": "too_long", "message": "…", "field": "message"});
        assert_eq!(refusal(&json!({"code": "too_long"}), &got), [""; 0]);
        let wrong = refusal(&json!({"code": "blank", "colour": "red"}), &got);
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert_eq!(wrong[..2], ["code: expected \"blank\"", "      got      \"too_long\""]);
    }
}
