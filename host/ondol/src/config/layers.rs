//! The three layers over the defaults, each turned into the same list of entries: a file, the environment, the flags.
//! Knows the names that there are, and nothing of what they take.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem, nearest};
use super::limits::Limits;
use super::{ConfigFlags, NO_SETTINGS, OPTIONS, Settings};

/// One value for one setting, and where it came from.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) given: Given,
    pub(super) origin: Origin,
}

/// Which setting is meant.
pub(super) enum Key {
    Option(String),
    Limit(String),
    Setting { handler: String, key: String },
    Failure(String),
}

/// A value as it was given.
pub(super) enum Given {
    /// From the environment or a flag: text that stands for a value of whatever type is wanted.
    Word(String),
    /// From a file: a string.
    Text(String),
    /// From a file: a whole number.
    Number(i64),
    /// From a file: `true` or `false`.
    Truth(bool),
    /// From a file: an array.
    List(Vec<Self>),
    /// From a file: anything else, as it stands there, and what it is.
    Other(String, &'static str),
}

/// The variables that are meant for this program, as text.
pub(super) fn ours(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut ours = Vec::new();
    for (name, value) in environment {
        if is_foreign(&name, &value) {
            continue;
        }
        let Some(name) = name.to_str().filter(|name| name.starts_with("ONDOL_")) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => ours.push((name.to_owned(), value)),
            Err(_) => problems.push(Problem::Malformed {
                origin: Origin::Environment(name.to_owned()),
                why: "is not UTF-8".to_owned(),
            }),
        }
    }
    ours.sort_unstable();
    ours
}

/// Whether a variable comes from Kubernetes or Docker, which set some for each service, here one named `ondol`:
/// `ONDOL_SERVICE_HOST`, `ONDOL_SERVICE_PORT` and `ONDOL_SERVICE_PORT_name`, `ONDOL_PORT` with a URL, `ONDOL_PORT_8000_TCP` and
/// `ONDOL_PORT_8000_TCP_ADDR`, `_PORT`, `_PROTO`.
pub(super) fn is_foreign(name: &OsStr, value: &OsStr) -> bool {
    let Some(name) = name.to_str().and_then(|name| name.strip_prefix("ONDOL_")) else { return false };
    if name == "PORT" {
        return value.to_str().is_some_and(|value| value.contains("://"));
    }
    if let Some(rest) = name.strip_prefix("SERVICE_") {
        return matches!(rest, "HOST" | "PORT") || rest.starts_with("PORT_");
    }
    let mut parts = name.split('_');
    parts.next() == Some("PORT")
        && parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
        && matches!(parts.next(), None | Some("ADDR" | "PORT" | "PROTO"))
        && parts.next().is_none()
}

/// The entries of the environment.
pub(super) fn environment(ours: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, value) in ours.iter().filter(|(name, _)| !NO_SETTINGS.contains(&name.as_str())) {
        let origin = Origin::Environment(name.clone());
        match variable(name) {
            Some(key) => entries.push(Entry { key, given: Given::Word(value.clone()), origin }),
            None => {
                let known: Vec<String> = names().map(|known| format!("ONDOL_{}", known.to_ascii_uppercase())).collect();
                let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                problems.push(Problem::Unknown { origin, name: name.clone(), nearest });
            }
        }
    }
    entries
}

fn variable(name: &str) -> Option<Key> {
    let name = name.strip_prefix("ONDOL_").filter(|name| !name.contains(|c: char| c.is_ascii_lowercase()))?;
    let name = name.to_ascii_lowercase();
    if let Some((handler, key)) = name.strip_prefix("settings_").and_then(|rest| rest.split_once('_')) {
        let known = Settings::HANDLERS.contains(&handler) && !key.is_empty();
        return known.then(|| Key::Setting { handler: handler.to_owned(), key: key.to_owned() });
    }
    if let Some(handler) = name.strip_prefix("failure_") {
        return Settings::HANDLERS.contains(&handler).then(|| Key::Failure(handler.to_owned()));
    }
    if OPTIONS.contains(&name.as_str()) {
        return Some(Key::Option(name));
    }
    if let Some(limit) = Limits::names_of_handlers().find(|limit| limit.replace('.', "_") == name) {
        return Some(Key::Limit(limit));
    }
    Limits::TABLE.iter().any(|limit| limit.name == name).then_some(Key::Limit(name))
}

/// The entries of the command line.
pub(super) fn flags(flags: &ConfigFlags, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let single = [
        ("listen", "--listen", &flags.listen),
        ("data", "--data", &flags.data),
        ("handlers", "--handlers", &flags.handlers),
        ("cache", "--cache", &flags.cache),
        ("admin", "--admin", &flags.admin),
        ("admin_token_file", "--admin-token-file", &flags.admin_token_file),
        ("refusal", "--refusal", &flags.refusal),
        ("synchronous", "--synchronous", &flags.synchronous),
        ("log", "--log", &flags.log),
    ];
    let mut entries = Vec::new();
    for (name, flag, value) in single {
        if let Some(value) = value {
            let given = Given::Word(value.clone());
            entries.push(Entry { key: Key::Option(name.to_owned()), given, origin: Origin::Flag(flag) });
        }
    }
    if !flags.origins.is_empty() {
        let given = Given::Word(flags.origins.join(","));
        entries.push(Entry { key: Key::Option("origins".to_owned()), given, origin: Origin::Flag("--origin") });
    }
    for limit in &flags.limits {
        let origin = Origin::Flag("--limit");
        match limit.split_once('=') {
            Some((name, value)) => entries.push(Entry {
                key: Key::Limit(name.trim().to_owned()),
                given: Given::Word(value.trim().to_owned()),
                origin,
            }),
            None => problems.push(Problem::Malformed { origin, why: format!("takes NAME=VALUE; got `{limit}`") }),
        }
    }
    for failure in &flags.failures {
        let origin = Origin::Flag("--failure");
        match failure.split_once('=') {
            Some((handler, value)) => entries.push(Entry {
                key: Key::Failure(handler.trim().to_owned()),
                given: Given::Word(value.trim().to_owned()),
                origin,
            }),
            None => problems.push(Problem::Malformed { origin, why: format!("takes HANDLER=WHAT; got `{failure}`") }),
        }
    }
    for setting in &flags.settings {
        let origin = Origin::Flag("--setting");
        match setting.split_once('=').and_then(|(name, value)| Some((name.trim().split_once('.')?, value))) {
            Some(((handler, key), value)) => entries.push(Entry {
                key: Key::Setting { handler: handler.to_owned(), key: key.to_owned() },
                given: Given::Word(value.to_owned()),
                origin,
            }),
            None => {
                problems.push(Problem::Malformed { origin, why: format!("takes HANDLER.KEY=VALUE; got `{setting}`") });
            }
        }
    }
    entries
}

/// The entries of a TOML file.
pub(super) fn file(path: &Path, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => {
            problems.push(Problem::Unreadable { path: path.to_owned(), source });
            return Vec::new();
        }
    };
    let at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(&text);
        Origin::File(path.to_owned(), before.matches('\n').count() + 1)
    };
    let root = match DeTable::parse(&text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            let origin = at(error.span().map_or(0, |span| span.start));
            problems.push(Problem::Malformed { origin, why: format!("is not TOML: {}", error.message()) });
            return Vec::new();
        }
    };

    let mut entries = Vec::new();
    let mut entry = |key: Key, value: &Spanned<DeValue<'_>>, offset: usize| {
        entries.push(Entry { key, given: Given::from_toml(value.get_ref()), origin: at(offset) });
    };
    for (name, value) in &root {
        let (key, start) = (name.get_ref().as_ref(), name.span().start);
        match (key, value.get_ref()) {
            ("limits", DeValue::Table(table)) => {
                for (name, value) in table {
                    let DeValue::Table(of_handler) = value.get_ref() else {
                        entry(Key::Limit(name.get_ref().to_string()), value, name.span().start);
                        continue;
                    };
                    let handler = name.get_ref();
                    for (name, value) in of_handler {
                        entry(Key::Limit(format!("{handler}.{}", name.get_ref())), value, name.span().start);
                    }
                }
            }
            ("failure", DeValue::Table(table)) => {
                for (handler, value) in table {
                    entry(Key::Failure(handler.get_ref().to_string()), value, handler.span().start);
                }
            }
            ("settings", DeValue::Table(handlers)) => {
                for (handler, value) in handlers {
                    let DeValue::Table(table) = value.get_ref() else {
                        let key = Key::Setting { handler: handler.get_ref().to_string(), key: String::new() };
                        entry(key, value, handler.span().start);
                        continue;
                    };
                    for (name, value) in table {
                        let (handler, key) = (handler.get_ref().to_string(), name.get_ref().to_string());
                        entry(Key::Setting { handler, key }, value, name.span().start);
                    }
                }
            }
            _ => entry(Key::Option(key.to_owned()), value, start),
        }
    }
    entries
}

impl Key {
    /// The known name that was probably meant, if one is near.
    pub(super) fn nearest(&self) -> Option<String> {
        match self {
            // A limit or a handler's setting written a level too high.
            Self::Option(name) => match nearest(name, names()) {
                Some(near) if OPTIONS.contains(&near) => Some(near.to_owned()),
                Some(near) => Some(format!("limits.{near}")),
                None => nearest(name, ["limits", "settings", "failure"]).map(str::to_owned),
            },
            Self::Limit(name) if name.contains('.') => {
                let known: Vec<String> = Limits::names_of_handlers().collect();
                nearest(name, known.iter().map(String::as_str)).map(|near| format!("limits.{near}"))
            }
            Self::Failure(handler) => nearest(handler, Settings::HANDLERS).map(|near| format!("failure.{near}")),
            Self::Limit(name) => nearest(name, Limits::TABLE.iter().map(|limit| limit.name))
                .map(|near| format!("limits.{near}"))
                .or_else(|| nearest(name, OPTIONS.iter().copied()).map(str::to_owned)),
            Self::Setting { handler, key } => {
                nearest(handler, Settings::HANDLERS).map(|near| format!("settings.{near}.{key}"))
            }
        }
    }
}

/// The names of the options and the limits.
fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().copied().chain(Limits::TABLE.iter().map(|limit| limit.name))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "{name}"),
            Self::Limit(name) => write!(f, "limits.{name}"),
            Self::Failure(handler) => write!(f, "failure.{handler}"),
            Self::Setting { handler, key } if key.is_empty() => write!(f, "settings.{handler}"),
            Self::Setting { handler, key } => write!(f, "settings.{handler}.{key}"),
        }
    }
}

impl Given {
    fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Self::Other(number.as_str().to_owned(), "a number"), Self::Number),
            DeValue::Float(number) => Self::Other(number.as_str().to_owned(), "a number"),
            DeValue::Boolean(truth) => Self::Truth(*truth),
            DeValue::Array(list) => Self::List(list.iter().map(|value| Self::from_toml(value.get_ref())).collect()),
            DeValue::Datetime(time) => Self::Other(time.to_string(), "a time"),
            DeValue::Table(_) => Self::Other("{ … }".to_owned(), "a table"),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<u64> {
        match self {
            Self::Word(text) => text.replace('_', "").parse().ok(),
            Self::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The text that a handler reads: a number or a truth value is taken as its text.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Truth(truth) => Some(truth.to_string()),
            Self::Other(text, "a number") => Some(text.clone()),
            Self::List(_) | Self::Other(..) => None,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) => write!(f, "`{text}`"),
            Self::Text(text) => write!(f, "the string {text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::List(list) => {
                write!(f, "the array [")?;
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, "]")
            }
            Self::Other(text, kind) => write!(f, "{text} ({kind})"),
        }
    }
}
