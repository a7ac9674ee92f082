//! The layer of the environment: variables that begin with `ONDOL_`. No other module reads the environment for
//! settings.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::error::{Origin, Problem, nearest};
use super::given::Given;
use super::identity::IdentityConfig;
use super::key::{Entry, Key, names};
use super::limits::Limits;
use super::settings::Settings;

/// Variables with the prefix `ONDOL_` that are not settings: the path of the file, and one that the tests use.
const NOT_SETTINGS: [&str; 2] = ["ONDOL_CONFIG", "ONDOL_BIN"];

/// The variables with the prefix `ONDOL_` that are ignored because Kubernetes or Docker set them.
#[must_use]
pub fn ignored_variables() -> Vec<String> {
    let mut names: Vec<_> = env::vars_os()
        .filter(|(name, value)| is_service_variable(name, value))
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// The user's directory for what can be made again, by the XDG Base Directory Specification.
pub(super) fn user_cache_dir() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(Path::new(".cache"))))
}

/// The variables that are settings of this program.
pub(super) fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        if is_service_variable(&name, &value) {
            continue;
        }
        let Some(name) = name.to_str().filter(|name| name.starts_with("ONDOL_")) else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(_) => problems
                .push(Problem::Malformed { origin: Origin::Environment(name.to_owned()), why: "not UTF-8".to_owned() }),
        }
    }
    variables.sort_unstable();
    variables
}

/// Whether a variable is one that Kubernetes or Docker sets for a service named `ondol`: `ONDOL_SERVICE_HOST`,
/// `ONDOL_SERVICE_PORT` and `ONDOL_SERVICE_PORT_name`, `ONDOL_PORT` with a URL, `ONDOL_PORT_8000_TCP` and
/// `ONDOL_PORT_8000_TCP_ADDR`, `_PORT`, `_PROTO`.
fn is_service_variable(name: &OsStr, value: &OsStr) -> bool {
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

/// The entries of the environment. `options` are the names of the settings that are no limits.
pub(super) fn entries(
    variables: &[(String, String)],
    options: &[&'static str],
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, value) in variables.iter().filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str())) {
        let origin = Origin::Environment(name.clone());
        match key(name, options) {
            Some(key) => entries.push(Entry { key, given: Given::Word(value.clone()), origin }),
            None => {
                let known: Vec<String> =
                    names(options).map(|known| format!("ONDOL_{}", known.to_ascii_uppercase())).collect();
                let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
                problems.push(Problem::Unknown { origin, name: name.clone(), nearest });
            }
        }
    }
    entries
}

fn key(name: &str, options: &[&'static str]) -> Option<Key> {
    let name = name.strip_prefix("ONDOL_").filter(|name| !name.contains(|c: char| c.is_ascii_lowercase()))?;
    let name = name.to_ascii_lowercase();
    if let Some((handler, key)) = name.strip_prefix("settings_").and_then(|rest| rest.split_once('_')) {
        let known = Settings::HANDLERS.contains(&handler) && !key.is_empty();
        return known.then(|| Key::Setting { handler: handler.to_owned(), key: key.to_owned() });
    }
    if let Some(handler) = name.strip_prefix("failure_") {
        return Settings::HANDLERS.contains(&handler).then(|| Key::Failure(handler.to_owned()));
    }
    if let Some(rest) = name.strip_prefix("identity_") {
        let known = IdentityConfig::NAMES.iter().find(|known| known.replace('.', "_") == rest);
        return known.map(|known| Key::Identity((*known).to_owned()));
    }
    if options.contains(&name.as_str()) {
        return Some(Key::Option(name));
    }
    if let Some(limit) = Limits::names_of_handlers().find(|limit| limit.replace('.', "_") == name) {
        return Some(Key::Limit(limit));
    }
    Limits::TABLE.iter().any(|limit| limit.name == name).then_some(Key::Limit(name))
}
