//! `ondol check`: whether `ondol serve` would start. Prints a line for each part that is fine, and the reasons for
//! each that is not.

mod system;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::{Config, ConfigFlags, Limits};
use ondol_host_handlers::{Admission, AdmissionError, HandlerKind, OnFault, Sandbox, SettingsMap, read_handler};

/// Check the configuration and the handlers without serving
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Check {
    /// Print the table of limits as Markdown, and exit
    #[arg(long = "limits")]
    print_limits: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

const AFTER_HELP: &str = "\
Reads both as `ondol serve` would, and runs every handler through its admission checks, which
include a call. Run it as the server's user and under the limits of its unit, since it tries what
those allow: writing, open files and executable memory. Exits with 1 if anything is wrong.

Examples:
  ondol check
  ondol check --config ondol.toml --handlers target/handlers
  ondol check --limits";

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
        println!("fine   config: listens on {}, stores its data in {}", config.listen, config.data.display());

        let mut all_fine = true;
        match crate::http::Identity::new(&config) {
            Ok(_) => println!("fine   identity: {}", config.identity.mode),
            Err(error) => {
                all_fine = false;
                println!("wrong  {error:#}");
            }
        }
        if let Some(address) = &config.admin {
            match crate::server::admin_token(&config, address) {
                Ok(Some(_)) => println!("fine   admin: {address}, with a token"),
                Ok(None) => println!("fine   admin: {address}, local only, without a token"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  admin: {error:#}");
                }
            }
        }

        for finding in system::findings(&config) {
            match finding {
                Ok(fine) => println!("fine   {fine}"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  {error:#}");
                }
            }
        }

        // Without a cache, a check leaves no trace in the data directory.
        let limits = config.limits.handlers();
        let admission = Admission::new(Arc::new(Sandbox::new(&limits.sandbox, None)?), limits.admission);
        let settings = [&config.settings.rooms, &config.settings.messages, &config.settings.events];
        for (handler, settings) in HandlerKind::ALL.into_iter().zip(settings) {
            let path = config.handlers.join(handler.file_name());
            match version(&admission, handler, &config, settings) {
                Ok(version) => println!("fine   {handler}: {} is version {version}", path.display()),
                Err(error) => {
                    all_fine = false;
                    error.reasons.iter().for_each(|reason| println!("wrong  {handler}: {}: {reason}", path.display()));
                    if config.failure.of(handler) == OnFault::Default {
                        println!(
                            "       {handler}: the server would start anyway, with the built-in handler as fallback"
                        );
                    }
                }
            }
        }
        Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn version(
    admission: &Admission,
    handler: HandlerKind,
    config: &Config,
    settings: &SettingsMap,
) -> Result<String, AdmissionError> {
    let bytes = read_handler(&config.handlers, handler, config.limits.handler_file_bytes_max);
    let bytes = bytes.map_err(|error| AdmissionError::unreadable(&error))?;
    admission.check(handler, bytes, settings).map(|version| version.to_string())
}
