//! `ondol call`: one call of a handler's function, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value as Json;

use super::shared::{Misuse, kibibytes, read, sandbox, settings};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{DynamicCaller, Outcome};

/// Call one function of a handler in the server's sandbox
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Call {
    /// Component to call
    file: PathBuf,
    /// Function to call, such as messages.receive
    #[arg(value_name = "INTERFACE.FUNCTION")]
    function: String,
    /// Array of arguments; a single argument may stand without the array
    #[arg(value_name = "JSON", default_value = "[]", hide_default_value = true)]
    arguments: String,
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

Records are objects, an option may be left out, a variant is {\"case\": value} or \"case\".
A sender, which a handler receives as a key, is written as the user that `users.get` returns for it.";

impl Call {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let arguments: Json = serde_json::from_str(&self.arguments)
            .map_err(|error| Misuse(format!("the arguments are not JSON: {error}")))?;
        let flags = ConfigFlags { limits: self.limits, ..ConfigFlags::default() };
        let config = Config::load(&flags)?;
        let limits = &config.limits;
        let settings = settings(&self.settings)?;
        let bytes = read(&self.file, Some(limits))?;

        let sandbox = sandbox(&limits.handlers().sandbox, Some(&config), Some(&self.file))?;
        let unusable = |error: &dyn std::fmt::Display| Misuse(format!("{}: {error}", self.file.display()));
        let caller = DynamicCaller::new(&sandbox, &bytes).map_err(|error| unusable(&error))?;
        let called = caller.call(&self.function, &arguments, &settings).map_err(|error| unusable(&error))?;

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
            cause.backtrace().iter().for_each(|function| eprintln!("  in {function}"));
        }
        eprintln!(
            "{what} in {} µs with {} of memory",
            called.cost.took.as_micros(),
            kibibytes(called.cost.memory_bytes)
        );
        Ok(status)
    }
}
