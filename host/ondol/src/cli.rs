//! The command line: what can be asked, and with which words. Each verb has its own file; knows nothing of how any of them
//! does its work.

mod call;
mod check;
mod compile;
mod handlers;
mod inspect;
mod replay;
mod serve;
mod test;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

use crate::config::Limits;
use ondol_host_handlers::read_file;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "ondol",
    version,
    about = "A chat server whose logic is three WebAssembly components that are swapped while sockets stay open",
    after_help = EXAMPLES,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  ondol serve --handlers target/handlers
  ondol check --config ondol.toml
  ondol inspect my-events.wasm
  ondol call my-rooms.wasm rooms.create '{\"name\": \"안녕\"}'
  ondol test my-messages.wasm --cases cases.toml
  ondol replay my-events.wasm --data ondol-data
  ondol handlers deploy events=my-events.wasm --admin 127.0.0.1:8001

Every setting also stands in a TOML file (--config) and in the environment (ONDOL_LISTEN,
ONDOL_FRAME_BYTES_MAX, …). A flag beats the environment, and that the file.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve(serve::Serve),
    /// Ask a running server which handlers answer, deploy others, go back
    Handlers(handlers::Handlers),
    /// Check the config and the handlers, without serving
    Check(check::Check),
    /// Say what a .wasm file exports and imports, for which world it fits, and why not
    Inspect(inspect::Inspect),
    /// Make one call to a handler, in the sandbox that the server uses
    Call(call::Call),
    /// Hold a handler against a table of cases, in the sandbox that the server uses
    Test(test::Test),
    /// Ask another handler what was stored, and show what would have changed
    Replay(replay::Replay),
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// How a command tells what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: one JSON value
    Json,
}

/// The exit status of a command that was used wrongly. clap's own.
const USAGE: u8 = 2;

/// `println!` panics when whoever reads is gone, as `head` is after its lines. Ends as a command ends that SIGPIPE ends.
fn end_quietly_without_a_reader() {
    const SIGPIPE_STATUS: i32 = 141;
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to stdout")) {
            std::process::exit(SIGPIPE_STATUS);
        }
        default(panic);
    }));
}

/// Reads the command line, does what it asks, and says how it went: 0 for well, 1 for not, 2 for a wrong use.
#[must_use]
pub fn run() -> ExitCode {
    end_quietly_without_a_reader();
    let done = match Cli::parse().verb {
        Verb::Serve(serve) => serve.run(),
        Verb::Check(check) => check.run(),
        Verb::Handlers(handlers) => handlers.run(),
        Verb::Inspect(inspect) => inspect.run(),
        Verb::Call(call) => call.run(),
        Verb::Test(test) => test.run(),
        Verb::Replay(replay) => replay.run(),
        Verb::Compile(compile) => compile.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("ondol: {error:#}");
        let misused = error.downcast_ref::<Misuse>().is_some() || error.is::<crate::config::ConfigError>();
        ExitCode::from(if misused { USAGE } else { 1 })
    })
}

/// What was asked for cannot be meant. Nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// The component that a command was given. Where the limits of the server in question are not known, `limits` are none, and
/// the largest file is read that any server takes.
fn read(path: &Path, limits: Option<&Limits>) -> anyhow::Result<Vec<u8>> {
    read_within(path, "handler_file_bytes_max", limits.map(|limits| limits.handler_file_bytes_max))
}

/// The cases that a command was given.
fn read_cases(path: &Path, limits: Option<&Limits>) -> anyhow::Result<String> {
    let bytes = read_within(path, "handler_cases_bytes_max", limits.map(|limits| limits.handler_cases_bytes_max))?;
    let text = String::from_utf8(bytes);
    text.map_err(|_| Misuse(format!("{}: is not UTF-8", path.display())).into())
}

fn read_within(path: &Path, limit: &'static str, bytes_max: Option<usize>) -> anyhow::Result<Vec<u8>> {
    let bytes_max = bytes_max.unwrap_or_else(|| Limits::largest(limit));
    read_file(path, limit, bytes_max).map_err(|error| Misuse(format!("{}: {error}", path.display())).into())
}

/// One JSON value on standard output, for programs.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value).context("writing JSON")?);
    Ok(())
}

/// Linear memory for people. It comes in pages of 64 KiB.
fn kibibytes(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1_024))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn memory_is_told_in_kibibytes() {
        assert_eq!(kibibytes(1_114_112), "1088 KiB");
    }
}
