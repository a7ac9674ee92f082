//! `ondol check`: would `ondol serve` start? A line for each thing that is fine, and a reason for each that is not.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::{Config, ConfigFlags, Limits};
use ondol_host_handlers::{HandlerKind, LoadError, OnFault, Sandbox, SettingsMap, read_handler};

/// Check the config and the handlers as `ondol serve` would, without serving. Each handler is held against its world and
/// tried with a call. Exits with 1 when anything is wrong.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFlags,
    /// Print the table of limits with their defaults and units, as Markdown, and check nothing
    #[arg(long = "limits", hide = true)]
    print_limits: bool,
}

const EXAMPLES: &str = "\
Examples:
  ondol check
  ondol check --config ondol.toml --handlers target/handlers
  ondol check --limits        print the table of limits, as Markdown";

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.print_limits {
            print!("{}", Limits::markdown());
            return Ok(ExitCode::SUCCESS);
        }
        let config = match Config::load(&self.config) {
            Ok(config) => config,
            Err(error) => {
                error.to_string().lines().for_each(|line| println!("wrong  config: {line}"));
                return Ok(ExitCode::FAILURE);
            }
        };
        println!("fine   config: listens at {}, keeps its data in {}", config.listen, config.data.display());

        let mut all_fine = true;
        if let Some(address) = &config.admin {
            match crate::server::admin_token(&config, address) {
                Ok(Some(_)) => println!("fine   admin: {address}, with a token"),
                Ok(None) => println!("fine   admin: {address}, for this machine alone and without a token"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  admin: {error:#}");
                }
            }
        }

        // Nothing is kept: a check leaves no trace in the data directory.
        let sandbox = Arc::new(Sandbox::new(&config.limits.handlers(), None)?);
        let settings = [&config.settings.rooms, &config.settings.messages, &config.settings.events];
        for (handler, settings) in HandlerKind::ALL.into_iter().zip(settings) {
            let path = config.handlers.join(handler.file_name());
            match version(&sandbox, handler, &config, settings) {
                Ok(version) => println!("fine   {handler}: {} is version {version}", path.display()),
                Err(error) => {
                    all_fine = false;
                    error.reasons.iter().for_each(|reason| println!("wrong  {handler}: {}: {reason}", path.display()));
                    if config.failure.of(handler) == OnFault::Default {
                        println!(
                            "       {handler}: a server starts all the same, with the built-in handler in its place"
                        );
                    }
                }
            }
        }
        Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn version(
    sandbox: &Arc<Sandbox>,
    handler: HandlerKind,
    config: &Config,
    settings: &SettingsMap,
) -> Result<String, LoadError> {
    let bytes = read_handler(&config.handlers, handler, config.limits.handler_file_bytes_max);
    let bytes = bytes.map_err(|error| LoadError::unread(&error))?;
    sandbox.check(handler, &bytes, settings).map(|version| version.to_string())
}
