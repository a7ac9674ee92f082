//! Writes what cases came to into their table, and leaves the rest of the file as it is. A fault is not written: a
//! handler that fails is mended, and not expected to fail.

use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::CaseReport;
use super::matching::{Extent, closed, has_null_in_payload};
use super::table::Expected;

/// The keys that tell an expectation.
const KEYS: [&str; 5] = ["returns", "returns_json", "matches", "refuses", "traps"];

/// The longest expectation that is written, in bytes: a longer one is better made of `[strings]` by hand.
const WRITTEN_BYTES_MAX: usize = 4_000;

/// The table `toml` with the outcome of each failed case that has one, and how many cases that are.
///
/// # Errors
///
/// When it is not TOML.
pub fn updated(toml: &str, reports: &[CaseReport]) -> anyhow::Result<(String, usize)> {
    let mut document: DocumentMut = toml.parse()?;
    let mut written = 0;
    let tables = document.get_mut("case").and_then(Item::as_array_of_tables_mut);
    for case in tables.into_iter().flat_map(|tables| tables.iter_mut()) {
        let name = case.get("name").and_then(Item::as_str).unwrap_or_default();
        let Some(report) = reports.iter().find(|report| report.name == name) else { continue };
        let steps = report.got.iter().filter(|(index, got)| step(case, *index).is_some_and(|step| write(step, got)));
        written += usize::from(steps.count() > 0);
    }
    Ok((document.to_string(), written))
}

/// The table of one step: the case itself where it is one call.
fn step(case: &mut Table, index: usize) -> Option<&mut Table> {
    if case.contains_key("steps") {
        return case.get_mut("steps")?.as_array_of_tables_mut()?.get_mut(index);
    }
    Some(case)
}

/// A whole answer with its payload opened, as the key and the value that expect it.
pub(super) fn expectation(function: &str, answer: &Json) -> (&'static str, Value) {
    let plain = if has_null_in_payload(function, answer) { None } else { value(answer) };
    match plain {
        Some(plain) => ("returns", plain),
        None => ("returns_json", closed(function, answer.clone()).to_string().into()),
    }
}

/// Whether the outcome could be written.
fn write(step: &mut Table, got: &Expected) -> bool {
    let function = step.get("call").and_then(Item::as_str).unwrap_or_default();
    let (key, value) = match got {
        Expected::Answer(answer, Extent::Whole) => expectation(function, answer),
        Expected::Answer(json, Extent::Partial) | Expected::Refusal(json) => {
            let Some(value) = value(json) else { return false };
            (if matches!(got, Expected::Refusal(_)) { "refuses" } else { "matches" }, value)
        }
        Expected::Trap(_) => return false,
    };
    if value.to_string().len() > WRITTEN_BYTES_MAX {
        return false;
    }
    KEYS.into_iter().filter(|known| *known != key).for_each(|known| {
        step.remove(known);
    });
    step.insert(key, Item::Value(value));
    true
}

/// JSON as TOML, which has no null: an option that is none is left out. None: a null stands where it cannot be left out.
pub(super) fn value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().filter(|_| number.is_f64())?.into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value).collect::<Option<Array>>()?.into(),
        Json::Object(fields) => {
            let given = fields.iter().filter(|(_, field)| !field.is_null());
            let given = given.map(|(key, field)| Some((key.as_str(), value(field)?)));
            given.collect::<Option<InlineTable>>()?.into()
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use serde_json::json;

    use super::*;

    fn report(name: &str, got: Vec<(usize, Expected)>) -> CaseReport {
        CaseReport {
            name: name.to_owned(),
            call: String::new(),
            differences: vec!["it differs".to_owned()],
            cold_microseconds: None,
            warm_microseconds: None,
            memory_bytes: 0,
            printed: None,
            got,
        }
    }

    #[test]
    fn only_the_expectation_of_a_failed_case_changes() {
        let table = "# kept\n[[case]]\nname = 'one' # kept too\ncall = 'a.b'\nreturns = { post = { text = 'old' } }\n\n\
                     [[case]]\nname = 'two'\ncall = 'a.b'\nrefuses = { code = 'x' }\n";
        let got = Expected::Answer(json!({"post": {"text": "new", "client-id": null}}), Extent::Whole);
        let (text, written) = updated(table, &[report("one", vec![(0, got)]), report("two", Vec::new())]).unwrap();
        assert_eq!((text, written), (table.replace("'old'", "\"new\""), 1));
    }

    #[test]
    fn a_step_is_found_by_its_place_and_a_bare_null_is_json() {
        let table = "[[case]]\nname = 'x'\n[[case.steps]]\ncall = 'a.b'\nreturns = 1\n[[case.steps]]\ncall = 'a.b'\n\
                     returns = 2\n";
        let got = Expected::Answer(Json::Null, Extent::Whole);
        let (text, _) = updated(table, &[report("x", vec![(1, got)])]).unwrap();
        assert!(text.contains("returns = 1") && text.ends_with("returns_json = \"null\"\n"), "{text}");
    }
}
