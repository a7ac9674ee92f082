//! `ondol inspect`: what a component exports and imports and which worlds it fits, without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::shared::{Output, print_json, read, sandbox};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{Item, Report, inspect};

/// Show what a component exports and imports, and which worlds it fits
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Inspect {
    /// Component to inspect
    file: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Set a limit, such as handler_memory_bytes_max=16MiB; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const AFTER_HELP: &str = "\
Lists every reason why it does not fit a world, also those of the server's limits. Runs none of its
code. Exits with 1 if the file is not a component or fits no world, with 2 if it cannot be read or
is larger than handler_file_bytes_max.

Examples:
  ondol inspect target/handlers/events.wasm
  ondol inspect my-events.wasm --output json";

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&ConfigFlags { limits: self.limits, ..ConfigFlags::default() })?;
        let limits = &config.limits;
        let bytes = read(&self.file, Some(limits))?;
        let sandbox = sandbox(&limits.handlers().sandbox, Some(&config), Some(&self.file))?;
        let report = match inspect(&sandbox, &bytes) {
            Ok(report) => report,
            Err(error) => {
                match self.output {
                    Output::Json => print_json(&serde_json::json!({ "bytes": bytes.len(), "wrong": error.reasons }))?,
                    Output::Text => {
                        error.reasons.iter().for_each(|reason| eprintln!("{}: {reason}", self.file.display()));
                    }
                }
                return Ok(ExitCode::FAILURE);
            }
        };
        match self.output {
            Output::Json => print_json(&report)?,
            Output::Text => print(&self.file.display().to_string(), &report),
        }
        let fits = report.worlds.iter().any(|fit| fit.misfits.is_empty());
        Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(file: &str, report: &Report) {
    println!("{file}: component of {} bytes", report.bytes);
    println!("sha256 {}", report.sha256);
    if !report.layers.is_empty() {
        println!("\nlayers");
        let last = report.layers.len() - 1;
        for (index, layer) in report.layers.iter().enumerate() {
            let settings = if index == last { String::new() } else { format!("  settings {}.*", layer.name) };
            println!("  {} {}{settings}", layer.name, layer.sha256);
        }
    }
    print_items("exports", &report.exports, true);
    print_items("imports", &report.imports, false);
    println!("\nworlds");
    for fit in &report.worlds {
        let verdict = if fit.misfits.is_empty() { "fits" } else { "does not fit" };
        println!("  {} ({}): {verdict}", fit.world, fit.file);
        fit.misfits.iter().for_each(|misfit| println!("    {misfit}"));
    }
}

/// Omits the functions of WASI imports, which are many and always the same.
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
