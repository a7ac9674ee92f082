//! `ondol call`: one call to a handler, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value as Json;

use super::{Misuse, kibibytes};
use crate::config::{Config, ConfigFlags, Settings};
use ondol_host_handlers::{Outcome, Sandbox, SettingsMap};

/// Make one call to a handler in the sandbox that the server uses, under the same limits. Prints the answer, or the
/// refusal, as JSON on standard output; its time, its memory and what it printed on standard error. Exits with 0 for an
/// answer and for a refusal, with 1 for a fault, with 2 when no call could be made.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Call {
    /// The component
    file: PathBuf,
    /// What to call, such as messages.receive
    #[arg(value_name = "INTERFACE.FUNCTION")]
    function: String,
    /// An array of the arguments, or the argument itself where there is one
    #[arg(value_name = "JSON", default_value = "[]", hide_default_value = true)]
    arguments: String,
    /// What the handler reads through `settings`; give it again for more
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Set a limit, such as handler_deadline_ms=1000; give it again for more
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  ondol call rooms.wasm rooms.create '{\"name\": \"안녕\"}'
  ondol call messages.wasm messages.receive \\
      '[{\"id\": \"u1\", \"nickname\": \"민지\", \"email\": \"minji@example.com\"}, 1,
        {\"text\": \"{\\\"type\\\":\\\"chat.message\\\",\\\"message\\\":\\\"안녕\\\"}\"}]' --setting text_length_max=5

Records are objects, an option may be left out, a variant is {\"case\": value} or \"case\".
A sender, which is a number to a handler, is written as the user that `users.get` is to tell of.";

impl Call {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let arguments: Json = serde_json::from_str(&self.arguments)
            .map_err(|error| Misuse(format!("the arguments are not JSON: {error}")))?;
        let flags = ConfigFlags { limits: self.limits, ..ConfigFlags::default() };
        let limits = Config::load(&flags)?.limits;
        let settings = settings(&self.settings)?;
        let bytes = super::read(&self.file, Some(&limits))?;

        let sandbox = Sandbox::new(&limits.handlers(), None)?;
        let unusable = |error: &dyn std::fmt::Display| Misuse(format!("{}: {error}", self.file.display()));
        let trial = sandbox.trial(&bytes).map_err(|error| unusable(&error))?;
        let called = trial.call(&self.function, &arguments, &settings).map_err(|error| unusable(&error))?;

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

/// `KEY=VALUE`, or as `ondol serve` takes it `HANDLER.KEY=VALUE`, so that a setting can be copied from there.
pub(super) fn settings(given: &[String]) -> Result<SettingsMap, Misuse> {
    let read = |setting: &String| {
        let (key, value) =
            setting.split_once('=').ok_or_else(|| Misuse(format!("--setting takes KEY=VALUE; got `{setting}`")))?;
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
    fn a_setting_is_read_with_and_without_its_handler() {
        let map = settings(&["a=1=2".to_owned(), "messages.b=3".to_owned(), "c.d=4".to_owned()]).unwrap();
        assert_eq!((map["a"].as_str(), map["b"].as_str(), map["c.d"].as_str()), ("1=2", "3", "4"));
        assert!(settings(&["a".to_owned()]).is_err());
    }
}
