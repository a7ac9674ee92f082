//! `ondol inspect`: what a file is and where it fits, without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Output;
use crate::config::Limits;
use ondol_host_handlers::{Item, Report, Sandbox};

/// Say what a .wasm file exports and imports, for which world it fits, and every reason why not. Nothing of it is run.
/// Exits with 1 when it is no component or fits no world.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Inspect {
    /// The component
    file: PathBuf,
    /// How to tell
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  ondol inspect target/handlers/events.wasm
  ondol inspect my-events.wasm --output json";

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let bytes = super::read(&self.file, None)?;
        let sandbox = Sandbox::new(&Limits::default().handlers(), None)?;
        let report = match sandbox.inspect(&bytes) {
            Ok(report) => report,
            Err(error) => {
                match self.output {
                    Output::Json => {
                        super::print_json(&serde_json::json!({ "bytes": bytes.len(), "wrong": error.reasons }))?
                    }
                    Output::Text => {
                        error.reasons.iter().for_each(|reason| eprintln!("{}: {reason}", self.file.display()));
                    }
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        match self.output {
            Output::Json => super::print_json(&report)?,
            Output::Text => print(&self.file.display().to_string(), &report),
        }
        let fits = report.worlds.iter().any(|fit| fit.misfits.is_empty());
        Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(file: &str, report: &Report) {
    println!("{file}: a component of {} bytes", report.bytes);
    println!("sha256 {}", report.sha256);
    print_items("exports", &report.exports, true);
    print_items("imports", &report.imports, false);
    println!("\nworlds");
    for fit in &report.worlds {
        let verdict = if fit.misfits.is_empty() { "fits" } else { "does not fit" };
        println!("  {} ({}): {verdict}", fit.world, fit.file);
        fit.misfits.iter().for_each(|misfit| println!("    {misfit}"));
    }
}

/// What is imported is mostly WASI, whose functions nobody asks for here.
fn print_items(title: &str, items: &[Item], with_functions: bool) {
    println!("\n{title}");
    if items.is_empty() {
        println!("  nothing");
    }
    for item in items {
        println!("  {}", item.name);
        if with_functions || !item.name.starts_with("wasi:") {
            item.functions.iter().for_each(|function| println!("    {function}"));
        }
    }
}
