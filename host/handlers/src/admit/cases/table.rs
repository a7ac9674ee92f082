//! Reading a table of cases from TOML. Knows how a case is written, and nothing of types or calls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::run::kind::SettingsMap;

/// One call, and its expected outcome.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) call: String,
    pub(super) settings: SettingsMap,
    pub(super) arguments: Json,
    pub(super) expected: Expected,
    /// Whether a handler in any language can be expected to pass it.
    pub(super) portable: bool,
}

/// The expected outcome of a call.
#[derive(Debug)]
pub(super) enum Expected {
    /// This answer.
    Answer(Json),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    call: String,
    #[serde(default)]
    settings: BTreeMap<String, toml::Value>,
    args: Option<Vec<toml::Value>>,
    args_json: Option<String>,
    returns: Option<toml::Value>,
    returns_json: Option<String>,
    refuses: Option<toml::Table>,
    traps: Option<String>,
    #[serde(default = "yes")]
    portable: bool,
}

fn yes() -> bool {
    true
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
    file.cases.into_iter().map(|case| case.read(&file.settings, &strings, &known)).collect()
}

impl Written {
    fn read(
        self,
        common: &BTreeMap<String, toml::Value>,
        strings: &Strings,
        known: &[String],
    ) -> Result<Case, CasesError> {
        let name = self.name.clone();
        let wrong = |why: String| CasesError::Case { name: name.clone(), why };
        let parse = |key: &str, text: &str| {
            serde_json::from_str(text).map_err(|error| wrong(format!("{key} is not JSON: {error}")))
        };
        let fill = |json: Json| {
            expand(json, strings)
                .map_err(|unknown| wrong(format!("there is no string `{unknown}`; [strings] has {}", known.join(", "))))
        };

        let settings: Result<SettingsMap, String> =
            common.iter().chain(&self.settings).map(|(k, v)| setting(k, v)).collect();
        let settings = settings.map_err(wrong)?.into_iter().map(|(key, value)| match fill(Json::String(value))? {
            Json::String(value) => Ok((key, value)),
            other => Ok((key, other.to_string())),
        });
        let arguments = match (self.args, self.args_json) {
            (Some(arguments), None) => Json::Array(arguments.into_iter().map(json).collect()),
            (None, Some(text)) => parse("args_json", &text)?,
            (None, None) => Json::Array(Vec::new()),
            (Some(_), Some(_)) => return Err(wrong("has args and args_json".to_owned())),
        };
        let expected = match (self.returns, self.returns_json, self.refuses, self.traps) {
            (Some(answer), None, None, None) => Expected::Answer(fill(json(answer))?),
            (None, Some(text), None, None) => Expected::Answer(fill(parse("returns_json", &text)?)?),
            (None, None, Some(fields), None) => Expected::Refusal(fill(json(toml::Value::Table(fields)))?),
            (None, None, None, Some(part)) => Expected::Trap(part),
            _ => return Err(wrong("takes one of returns, returns_json, refuses and traps".to_owned())),
        };
        Ok(Case {
            settings: settings.collect::<Result<_, CasesError>>()?,
            arguments: fill(arguments)?,
            expected,
            portable: self.portable,
            name: self.name,
            call: self.call,
        })
    }
}

/// A setting's text, from a text, a number or a truth value, as in the config.
fn setting(key: &str, value: &toml::Value) -> Result<(String, String), String> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => value.to_string(),
        other => return Err(format!("the setting {key} takes a text, a number or a truth value; got {other}")),
    };
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
    if strings.is_empty() || !text.contains("${") {
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
        assert_eq!(case.arguments, json!([{"id": "u", "text": "<가가가>"}, 7]));
        assert_eq!(case.settings.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["a=1", "b=true"]);
        assert!(
            matches!(&case.expected, Expected::Answer(answer) if *answer == json!({"post": {"text": "가가가가가가"}}))
        );
    }

    #[test]
    fn what_toml_cannot_say_is_given_as_json() {
        let cases = read("[[case]]\nname = 'x'\ncall = 'a.b'\nargs_json = '[null]'\nreturns_json = 'null'\n").unwrap();
        assert_eq!(cases[0].arguments, json!([null]));
        assert!(matches!(&cases[0].expected, Expected::Answer(Json::Null)));
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
        assert_eq!(wrong(""), "the case \"x\": takes one of returns, returns_json, refuses and traps");
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
