//! `ondol check`: whether `ondol serve` would start, or whether a server would admit a handler. Prints a line for each part
//! that is fine, and the reasons for each that is not.

mod store;
mod system;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::shared::{Misuse, read, read_cases, sandbox, split};
use crate::config::{Config, ConfigFlags, Limits};
use ondol_host_handlers::{Admission, AdmissionError, HandlerFile, HandlerKind, OnFault, read_handler};

/// Check the configuration and the handlers without serving
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Check {
    /// Check only this component, as a deploy would; repeatable
    #[arg(value_name = "HANDLER=FILE")]
    components: Vec<String>,
    /// Test cases that the component must pass; repeatable
    #[arg(long, value_name = "HANDLER=FILE")]
    cases: Vec<String>,
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
  ondol check messages=my-messages.wasm --cases messages=cases.toml
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
        if !self.components.is_empty() || !self.cases.is_empty() {
            return self.check_components(&config);
        }
        let store = config.store.as_ref().map_or_else(|| config.data.display().to_string(), ToString::to_string);
        println!("fine   config: listens on {}, stores its data in {store}", config.listen);

        let mut all_fine = true;
        match crate::http::Identity::new(&config) {
            Ok(_) => println!("fine   identity: {}", config.identity.mode),
            Err(error) => {
                all_fine = false;
                println!("wrong  {error:#}");
            }
        }
        for (name, files) in [("tls", config.tls()), ("admin_tls", config.admin_tls())] {
            let Some(files) = files else { continue };
            match crate::tls::server(name, files.clone(), &[]) {
                Ok(_) => println!("fine   {name}: {} with its key", files.certificate.display()),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  {error:#}");
                }
            }
        }
        if let Some(address) = &config.otlp {
            match crate::otlp::check(address) {
                Ok(()) => println!("fine   otlp: spans go to {address}"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  {error:#}");
                }
            }
        }
        if let Some(address) = &config.admin_url() {
            match crate::server::admin_token(&config, address) {
                Ok(Some(_)) => println!("fine   admin: {address}, with a token"),
                Ok(None) => println!("fine   admin: {address}, local only, without a token"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  admin: {error:#}");
                }
            }
        }

        match store::look(&config) {
            Ok(store::Found { fine, warnings }) => {
                println!("fine   {fine}");
                warnings.iter().for_each(|warning| println!("warn   database: {warning}"));
            }
            Err(error) => {
                all_fine = false;
                println!("wrong  {error:#}");
            }
        }

        if let Some(bus) = config.bus() {
            match store::ask_bus(&bus) {
                Ok(fine) => println!("fine   {fine}"),
                Err(error) => {
                    all_fine = false;
                    println!("wrong  {error:#}");
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

        for handler in HandlerKind::ALL {
            let path = config.handlers.join(handler.file_name());
            let file = read_handler(&config.handlers, handler, &config.limits.handlers().admission);
            let file = file.map_err(|error| AdmissionError::unreadable(&error));
            if admitted(&config, handler, &path, file)? {
                continue;
            }
            all_fine = false;
            if config.failure.of(handler) == OnFault::Default {
                println!("       {handler}: the server would start anyway, with the built-in handler as fallback");
            }
        }
        Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs the admission checks of the components that were named.
    fn check_components(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let named = |arguments: &[String], form| {
            let pairs = arguments.iter().map(|argument| {
                let (handler, file) = split(argument, form)?;
                Ok((handler.parse::<HandlerKind>().map_err(Misuse)?, PathBuf::from(file)))
            });
            pairs.collect::<Result<Vec<_>, Misuse>>()
        };
        let components = named(&self.components, "HANDLER=FILE")?;
        let cases = named(&self.cases, "--cases HANDLER=FILE")?;
        if let Some((handler, _)) = cases.iter().find(|(handler, _)| !components.iter().any(|(of, _)| of == handler)) {
            return Err(Misuse(format!("--cases {handler}=… needs the component: give {handler}=FILE")).into());
        }
        let mut all_fine = true;
        for (handler, path) in components {
            let wasm = read(&path, Some(&config.limits))?;
            let cases = cases.iter().find(|(of, _)| *of == handler).map(|(_, file)| file);
            let cases = cases.map(|file| read_cases(file, Some(&config.limits))).transpose()?;
            all_fine &= admitted(config, handler, &path, Ok(HandlerFile { wasm, cases }))?;
        }
        Ok(if all_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs the admission checks of a component, and prints what came of them.
fn admitted(
    config: &Config,
    handler: HandlerKind,
    path: &Path,
    file: Result<HandlerFile, AdmissionError>,
) -> anyhow::Result<bool> {
    let limits = config.limits.handlers();
    let admission = Admission::new(Arc::new(sandbox(&limits.sandbox, Some(config), Some(path))?), limits.admission);
    let settings = match handler {
        HandlerKind::Rooms => &config.settings.rooms,
        HandlerKind::Messages => &config.settings.messages,
        HandlerKind::Events => &config.settings.events,
    };
    let path = path.display();
    match file.and_then(|file| admission.check(handler, file.wasm, settings, file.cases)) {
        Ok(version) => {
            println!("fine   {handler}: {path} is version {version}");
            Ok(true)
        }
        Err(error) => {
            error.reasons.iter().for_each(|reason| println!("wrong  {handler}: {path}: {reason}"));
            Ok(false)
        }
    }
}
