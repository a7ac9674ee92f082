//! What several commands need: usage errors, input files, settings and output.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::fs::Mode;
use rustix::process::umask;

use super::progress::Progress;
use crate::config::{Config, Limits, Settings};
use ondol_host_handlers::{Sandbox, SandboxLimits, SettingsMap, compose, read_file};
use ondol_host_store::Contents;

/// The format of a command's output. `Json` prints one JSON value.
// Doc comments on the variants would turn the compact `--help` into clap's long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
}

/// A usage error, found before the command did anything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

/// Keeps the files that this process creates to its user, as a server does.
pub(super) fn private_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// What a database holds, for people.
pub(super) fn contents(contents: &Contents) -> String {
    let Contents { rooms, messages, newest } = contents;
    let newest = newest.map(|time| format!(", the newest of {time}")).unwrap_or_default();
    format!("{}, {}{newest}", counted(*rooms, "room"), counted(*messages, "message"))
}

/// A number with the thing that it counts.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// The size of a file, for people.
pub(super) fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// A file with its size, if it is there.
pub(super) fn file_and_size(path: &Path) -> String {
    let size = path.metadata().map(|file| format!(" ({})", megabytes(file.len())));
    format!("{}{}", path.display(), size.unwrap_or_default())
}

/// Reads a component file, or composes those that `FRONT+BACK` names. `limits` is None for a server whose limits are
/// unknown; the maximum of the limit applies then.
pub(super) fn read(path: &Path, limits: Option<&Limits>) -> anyhow::Result<Vec<u8>> {
    match path.to_str() {
        Some(layers) if layers.contains('+') && !path.exists() => {
            compose_files(&layers.split('+').map(PathBuf::from).collect::<Vec<_>>(), limits)
        }
        _ => read_component(path, limits),
    }
}

/// Composes the components of these files, the front one first.
pub(super) fn compose_files(paths: &[PathBuf], limits: Option<&Limits>) -> anyhow::Result<Vec<u8>> {
    let layer = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok((stem.replace('_', "-"), read_component(path, limits)?))
    };
    let layers = paths.iter().map(layer).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(compose(&layers)?)
}

fn read_component(path: &Path, limits: Option<&Limits>) -> anyhow::Result<Vec<u8>> {
    read_within(path, "handler_file_bytes_max", limits.map(|limits| limits.handler_file_bytes_max))
}

/// A sandbox with the cache of compiled code. `file` is what will be compiled, if that is one file.
pub(super) fn sandbox(limits: &SandboxLimits, config: Option<&Config>, file: Option<&Path>) -> anyhow::Result<Sandbox> {
    let cache = config.and_then(Config::command_cache_dir);
    // A cache that another user owns or can open, or that cannot be made, is not used: everything is compiled then.
    let cached = cache.and_then(|cache| Sandbox::new(limits, Some(&cache)).ok());
    let sandbox = cached.map_or_else(|| Sandbox::new(limits, None), Ok)?;
    let name = file.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    Ok(sandbox.with_announcement(move |bytes| {
        let name = name.as_deref().unwrap_or("a component");
        Box::new(Progress::new(format!("compiling {name} ({})", megabytes(bytes as u64))))
    }))
}

/// Reads a table of test cases.
pub(super) fn read_cases(path: &Path, limits: Option<&Limits>) -> anyhow::Result<String> {
    let bytes = read_within(path, "handler_cases_bytes_max", limits.map(|limits| limits.handler_cases_bytes_max))?;
    let text = String::from_utf8(bytes);
    text.map_err(|_| Misuse(format!("{}: not UTF-8", path.display())).into())
}

fn read_within(path: &Path, limit: &'static str, bytes_max: Option<usize>) -> anyhow::Result<Vec<u8>> {
    let bytes_max = bytes_max.unwrap_or_else(|| Limits::largest(limit));
    read_file(path, limit, bytes_max).map_err(|error| Misuse(format!("{}: {error}", path.display())).into())
}

/// The two sides of an argument such as `HANDLER=FILE`; `form` is what the error shows.
pub(super) fn split<'a>(argument: &'a str, form: &str) -> Result<(&'a str, &'a str), Misuse> {
    argument.split_once('=').ok_or_else(|| misuse(argument, form))
}

pub(super) fn misuse(argument: &str, form: &str) -> Misuse {
    Misuse(format!("expected {form}, got `{argument}`"))
}

/// Prints one JSON value on standard output.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("writing JSON")?);
    Ok(())
}

/// A size of linear memory, which comes in pages of 64 KiB, for people.
pub(super) fn kibibytes(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1_024))
}

/// Parses `KEY=VALUE`, or `HANDLER.KEY=VALUE` as `ondol serve` takes it, so that a setting can be copied from there.
pub(super) fn settings(given: &[String]) -> Result<SettingsMap, Misuse> {
    let read = |setting: &String| {
        let (key, value) =
            setting.split_once('=').ok_or_else(|| Misuse(format!("--setting expects KEY=VALUE, got `{setting}`")))?;
        let key = match key.split_once('.') {
            Some((handler, key)) if Settings::HANDLERS.contains(&handler) => key,
            _ => key,
        };
        Ok((key.to_owned(), value.to_owned()))
    };
    given.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn memory_is_shown_in_kibibytes() {
        assert_eq!(kibibytes(1_114_112), "1088 KiB");
    }

    #[test]
    fn the_size_of_a_file_is_shown_in_megabytes() {
        assert_eq!([0, 1, 12_345_678].map(megabytes), ["0.0 MB", "0.1 MB", "12.4 MB"]);
    }

    #[test]
    fn a_setting_is_read_with_and_without_its_handler() {
        let map = settings(&["a=1=2".to_owned(), "messages.b=3".to_owned(), "c.d=4".to_owned()]).unwrap();
        assert_eq!((map["a"].as_str(), map["b"].as_str(), map["c.d"].as_str()), ("1=2", "3", "4"));
        assert!(settings(&["a".to_owned()]).is_err());
    }
}
