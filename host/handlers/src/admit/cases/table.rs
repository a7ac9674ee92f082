//! Reading a table of cases from TOML. Knows how a case is written, and nothing of types or calls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::matching::{ANYTHING, Extent};
use crate::run::kind::SettingsMap;
use crate::run::setting::setting_text;

/// Calls of one instance, and what is expected of them.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) settings: SettingsMap,
    pub(super) steps: Vec<Step>,
    /// The longest that the last call may take in an instance that has answered before, in milliseconds.
    pub(super) time_ms_max: Option<f64>,
    /// The most memory that the instance may have at the end.
    pub(super) memory_bytes_max: Option<usize>,
    /// Whether a handler in any language can be expected to pass it.
    pub(super) portable: bool,
}

/// One call, and its expected outcome.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) call: String,
    pub(super) arguments: Json,
    pub(super) expected: Expected,
}

/// The expected outcome of a call.
#[derive(Debug)]
pub(super) enum Expected {
    /// This answer, all of it or a part.
    Answer(Json, Extent),
    /// A refusal with these fields; the others may be anything.
    Refusal(Json),
    /// A fault whose text, or the output before it, contains this.
    Trap(String),
}

/// A table that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// It is not TOML, or has an unknown key.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A case is malformed.
    #[error("the case {name:?}: {why}")]
    Case {
        /// The case.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    settings: BTreeMap<String, toml::Value>,
    #[serde(default)]
    strings: BTreeMap<String, Repeated>,
    #[serde(rename = "case", default)]
    cases: Vec<Written>,
}

/// A string that is too long to be written out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeated {
    repeat: String,
    times: usize,
}

/// A case of one call has the keys of its step beside its own.
#[derive(Deserialize)]
struct Written {
    name: String,
    #[serde(default)]
    settings: BTreeMap<String, toml::Value>,
    time_ms_max: Option<f64>,
    memory_bytes_max: Option<usize>,
    #[serde(default = "yes")]
    portable: bool,
    #[serde(default)]
    steps: Vec<WrittenStep>,
    #[serde(flatten)]
    step: toml::Table,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    call: String,
    args: Option<Vec<toml::Value>>,
    args_json: Option<String>,
    returns: Option<toml::Value>,
    returns_json: Option<String>,
    matches: Option<toml::Value>,
    refuses: Option<toml::Table>,
    traps: Option<String>,
}

/// Long strings by their names, as `${name}`.
type Strings = BTreeMap<String, String>;

/// The longest such string, in bytes.
const STRING_BYTES_MAX: usize = 268_435_456;

pub(super) fn read(text: &str) -> Result<Vec<Case>, CasesError> {
    let file: File = toml::from_str(text)?;
    let mut strings = Strings::new();
    for (name, Repeated { repeat, times }) in file.strings {
        if repeat.len().saturating_mul(times) > STRING_BYTES_MAX {
            let why = format!("would be longer than {STRING_BYTES_MAX} bytes");
            return Err(CasesError::Case { name: format!("[strings] {name}"), why });
        }
        strings.insert(format!("${{{name}}}"), repeat.repeat(times));
    }
    let known: Vec<String> = strings.keys().cloned().collect();
    let strings = KnownStrings { strings, known: known.join(", ") };
    file.cases.into_iter().map(|case| case.read(&file.settings, &strings)).collect()
}

/// The long strings, and what a case with an unknown one is told.
struct KnownStrings {
    strings: Strings,
    known: String,
}

impl KnownStrings {
    fn fill(&self, json: Json) -> Result<Json, String> {
        expand(json, &self.strings)
            .map_err(|unknown| format!("there is no string `{unknown}`; [strings] has {}", self.known))
    }
}

impl Written {
    fn read(self, common: &BTreeMap<String, toml::Value>, strings: &KnownStrings) -> Result<Case, CasesError> {
        let name = self.name.clone();
        self.read_in(common, strings).map_err(|why| CasesError::Case { name, why })
    }

    fn read_in(self, common: &BTreeMap<String, toml::Value>, strings: &KnownStrings) -> Result<Case, String> {
        let settings = common.iter().chain(&self.settings).map(|(key, value)| {
            let (key, value) = setting(key, value)?;
            match strings.fill(Json::String(value))? {
                Json::String(value) => Ok((key, value)),
                other => Ok((key, other.to_string())),
            }
        });
        let settings = settings.collect::<Result<SettingsMap, String>>()?;
        let steps = match (self.steps, self.step) {
            (steps, step) if steps.is_empty() => {
                vec![step.try_into::<WrittenStep>().map_err(|error| error.message().to_owned())?]
            }
            (steps, step) if step.is_empty() => steps,
            (_, step) => {
                let keys: Vec<String> = step.keys().cloned().collect();
                return Err(format!("has steps, and beside them {}", keys.join(", ")));
            }
        };
        let steps = steps.into_iter().map(|step| step.read(strings)).collect::<Result<_, String>>()?;
        let Self { name, time_ms_max, memory_bytes_max, portable, .. } = self;
        Ok(Case { name, settings, steps, time_ms_max, memory_bytes_max, portable })
    }
}

impl WrittenStep {
    fn read(self, strings: &KnownStrings) -> Result<Step, String> {
        let parse =
            |key: &str, text: &str| serde_json::from_str(text).map_err(|error| format!("{key} is not JSON: {error}"));
        let arguments = match (self.args, self.args_json) {
            (Some(arguments), None) => Json::Array(arguments.into_iter().map(json).collect()),
            (None, Some(text)) => parse("args_json", &text)?,
            (None, None) => Json::Array(Vec::new()),
            (Some(_), Some(_)) => return Err("has args and args_json".to_owned()),
        };
        let expected: [Option<Result<Expected, String>>; 5] = [
            self.returns.map(|answer| Ok(Expected::Answer(strings.fill(json(answer))?, Extent::Whole))),
            self.returns_json
                .map(|text| Ok(Expected::Answer(strings.fill(parse("returns_json", &text)?)?, Extent::Whole))),
            self.matches.map(|part| Ok(Expected::Answer(strings.fill(json(part))?, Extent::Partial))),
            self.refuses.map(|fields| Ok(Expected::Refusal(strings.fill(json(toml::Value::Table(fields)))?))),
            self.traps.map(|part| Ok(Expected::Trap(part))),
        ];
        let mut expected = expected.into_iter().flatten();
        let (Some(expected), None) = (expected.next(), expected.next()) else {
            return Err("takes one of returns, returns_json, matches, refuses and traps".to_owned());
        };
        Ok(Step { call: self.call, arguments: strings.fill(arguments)?, expected: expected? })
    }
}

/// A setting's text, as from the config.
fn setting(key: &str, value: &toml::Value) -> Result<(String, String), String> {
    let text = Some(value).filter(|value| !value.is_datetime()).and_then(|value| setting_text(&json(value.clone())));
    let text = text.ok_or_else(|| {
        format!("the setting {key} takes a text, a number, a truth value or a list of these; got {value}")
    })?;
    Ok((key.to_owned(), text))
}

fn json(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => Json::Array(items.into_iter().map(json).collect()),
        toml::Value::Table(table) => Json::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
    }
}

/// Replaces names by their long strings. An error is an unknown name.
fn expand(json: Json, strings: &Strings) -> Result<Json, String> {
    Ok(match json {
        Json::String(text) => Json::String(expand_text(text, strings)?),
        Json::Array(items) => {
            Json::Array(items.into_iter().map(|item| expand(item, strings)).collect::<Result<_, _>>()?)
        }
        Json::Object(fields) => {
            let filled = fields.into_iter().map(|(key, value)| Ok((key, expand(value, strings)?)));
            Json::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other,
    })
}

fn expand_text(text: String, strings: &Strings) -> Result<String, String> {
    // A file without long strings has no names to look for, and `${` in it is plain text.
    if strings.is_empty() || !text.contains("${") || text == ANYTHING {
        return Ok(text);
    }
    let mut whole = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("${{{after}"))?;
        let name = format!("${{{name}}}");
        whole.push_str(before);
        whole.push_str(strings.get(&name).ok_or(name)?);
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_case_is_read_with_its_strings_and_settings() {
        let cases = read(
            "[settings]\na = 1\nb = 'two'\n[strings]\nlong = { repeat = '가', times = 3 }\n\
             [[case]]\nname = 'x'\ncall = 'messages.receive'\nsettings = { b = true }\n\
             args = [{ id = 'u', text = '<${long}>' }, 7]\nreturns = { post = { text = '${long}${long}' } }\n",
        )
        .unwrap();
        let case = &cases[0];
        assert_eq!(case.steps[0].arguments, json!([{"id": "u", "text": "<가가가>"}, 7]));
        assert_eq!(case.settings.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["a=1", "b=true"]);
        assert!(
            matches!(&case.steps[0].expected, Expected::Answer(answer, _) if *answer == json!({"post": {"text": "가가가가가가"}}))
        );
    }

    #[test]
    fn what_toml_cannot_say_is_given_as_json() {
        let cases = read("[[case]]\nname = 'x'\ncall = 'a.b'\nargs_json = '[null]'\nreturns_json = 'null'\n").unwrap();
        assert_eq!(cases[0].steps[0].arguments, json!([null]));
        assert!(matches!(&cases[0].steps[0].expected, Expected::Answer(Json::Null, Extent::Whole)));
    }

    #[test]
    fn a_case_is_portable_unless_it_says_otherwise() {
        let cases = "[[case]]\nname = 'x'\ncall = 'a.b'\nreturns = 1\n";
        let cases = read(&format!("{cases}{cases}portable = false\n")).unwrap();
        assert_eq!(cases.iter().map(|case| case.portable).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_case_that_is_not_written_right_is_named() {
        let wrong = |rest: &str| read(&format!("[[case]]\nname = 'x'\ncall = 'a.b'\n{rest}")).unwrap_err().to_string();
        assert_eq!(wrong(""), "the case \"x\": takes one of returns, returns_json, matches, refuses and traps");
        assert!(wrong("returns = 1\ntraps = 'y'").contains("takes one of"));
        assert!(wrong("returns_json = '{'").contains("returns_json is not JSON"));
        assert!(wrong("return = 1").contains("unknown field `return`"));
        let unknown =
            "[strings]\na = { repeat = 'a', times = 1 }\n[[case]]\nname = 'x'\ncall = 'a.b'\nreturns = '${b}'\n";
        assert_eq!(
            read(unknown).unwrap_err().to_string(),
            "the case \"x\": there is no string `${b}`; [strings] has ${a}"
        );
    }
}
