//! `ondol call`: one call of a handler's function, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value as Json;

use super::shared::{Misuse, kibibytes, read, sandbox, settings};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{Cause, DynamicCaller, Outcome, Session};

/// Call one function of a handler in the server's sandbox
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Call {
    /// Component to call
    file: PathBuf,
    /// Function to call, such as messages.receive
    #[arg(value_name = "INTERFACE.FUNCTION")]
    function: String,
    /// Array of arguments, or a single argument; @FILE reads them from a file, and - from standard input
    #[arg(value_name = "JSON", default_value = "[]", hide_default_value = true)]
    arguments: String,
    /// Make the call so many times in one instance, and print how long the calls took
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    times: u64,
    /// Set a handler setting; repeatable
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Set a limit, such as handler_deadline_ms=1000; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const AFTER_HELP: &str = "\
Prints the answer or refusal as JSON on standard output; time, memory and the handler's own output
on standard error. Exits with 0 for an answer or a refusal, with 1 for a fault, with 2 if the call
could not be made.

Examples:
  ondol call rooms.wasm rooms.create '{\"name\": \"안녕\"}'
  ondol call messages.wasm messages.receive \\
      '[{\"id\": \"u1\", \"nickname\": \"민지\", \"email\": \"minji@example.com\"}, 1,
        {\"text\": \"{\\\"type\\\":\\\"chat.message\\\",\\\"message\\\":\\\"안녕\\\"}\"}]' --setting text_length_max=5

  ondol call messages.wasm messages.receive @arguments.json --times 1000

Records are objects, an option may be left out, a variant is {\"case\": value} or \"case\".
A sender, which a handler receives as a key, is written as the user that `users.get` returns for it.";

impl Call {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let arguments = self.arguments()?;
        let flags = ConfigFlags { limits: self.limits.clone(), ..ConfigFlags::default() };
        let config = Config::load(&flags)?;
        let limits = &config.limits;
        let settings = settings(&self.settings)?;
        let bytes = read(&self.file, Some(limits))?;

        let sandbox = sandbox(&limits.handlers().sandbox, Some(&config), Some(&self.file))?;
        let unusable = |error: &dyn std::fmt::Display| Misuse(format!("{}: {error}", self.file.display()));
        let caller = DynamicCaller::new(&sandbox, &bytes).map_err(|error| unusable(&error))?;
        let mut session = caller.session(&settings);
        let called = session.call(&self.function, &arguments).map_err(|error| unusable(&error))?;

        if let Some(printed) = &called.cost.printed {
            eprintln!("{printed}");
        }
        let (what, status) = match &called.outcome {
            Outcome::Answer(answer) => {
                println!("{answer}");
                ("answered".to_owned(), ExitCode::SUCCESS)
            }
            Outcome::Refusal(refusal) => {
                println!("{refusal}");
                ("refused".to_owned(), ExitCode::SUCCESS)
            }
            Outcome::Fault(cause) => (format!("failed: {cause};"), ExitCode::FAILURE),
        };
        if let Outcome::Fault(cause) = &called.outcome {
            print_backtrace(cause);
        }
        let (started, took) = (called.cost.started.unwrap_or_default(), called.cost.took);
        let memory = kibibytes(called.cost.memory_bytes);
        eprintln!(
            "{what} in {} µs, its instance started in {} µs, with {memory} of memory",
            took.as_micros(),
            started.as_micros()
        );
        if self.times > 1 && !matches!(called.outcome, Outcome::Fault(_)) {
            return self.repeat(&mut session, &arguments);
        }
        Ok(status)
    }

    /// The arguments: as they were given, or out of a file.
    fn arguments(&self) -> anyhow::Result<Json> {
        let read = match self.arguments.as_str() {
            "-" => std::io::read_to_string(std::io::stdin()).context("reading standard input")?,
            given => match given.strip_prefix('@') {
                Some(file) => std::fs::read_to_string(file).map_err(|error| Misuse(format!("{file}: {error}")))?,
                None => given.to_owned(),
            },
        };
        Ok(serde_json::from_str(&read).map_err(|error| Misuse(format!("the arguments are not JSON: {error}")))?)
    }

    /// Makes the other calls, and prints how long they took.
    fn repeat(&self, session: &mut Session<'_>, arguments: &Json) -> anyhow::Result<ExitCode> {
        let mut took = Vec::new();
        let mut memory_bytes = 0;
        for call in 2..=self.times {
            let called = session.call(&self.function, arguments)?;
            if let Outcome::Fault(cause) = &called.outcome {
                eprintln!("call {call} failed: {cause}");
                print_backtrace(cause);
                return Ok(ExitCode::FAILURE);
            }
            took.push(called.cost.took);
            memory_bytes = called.cost.memory_bytes;
        }
        took.sort_unstable();
        let at = |percent: usize| {
            let index = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e6)
        };
        eprintln!(
            "{} more calls in the same instance: p50 {:.1} µs, p99 {:.1} µs, longest {:.1} µs, with {} of memory",
            took.len(),
            at(50),
            at(99),
            at(100),
            kibibytes(memory_bytes)
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the functions that a fault happened in, innermost first.
fn print_backtrace(cause: &Cause) {
    cause.backtrace().iter().for_each(|function| eprintln!("  in {function}"));
}
