//! `ondol test`: a handler held against a table of cases, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Misuse, Output, kibibytes};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{CaseReport, Cases, Sandbox};

/// Hold a handler against a table of cases: inputs and the answers, refusals or faults that they should come to. Each case
/// runs in a fresh instance, in the sandbox that the server uses and under the same limits. Exits with 1 when a case
/// fails, with 2 when the cases or the component cannot be used.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Test {
    /// The component
    file: PathBuf,
    /// The table of cases
    #[arg(long, value_name = "FILE.toml")]
    cases: PathBuf,
    /// Run only the cases whose name or call holds this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// How to tell
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Set a limit, such as handler_deadline_ms=1000; give it again for more
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  ondol test target/handlers/messages.wasm --cases handlers/messages/cases.toml
  ondol test messages.wasm --cases cases.toml --filter blank --output json

A case:
  [[case]]
  name = \"a blank message is refused\"
  call = \"messages.receive\"
  args = [{ id = \"u1\", nickname = \"민지\", email = \"minji@example.com\" }, 1,
          { text = '{\"type\":\"chat.message\",\"message\":\" \"}' }]
  refuses = { code = \"blank\" }        # or: returns = …, returns_json = '…', traps = \"…\"";

impl Test {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = ConfigFlags { limits: self.limits, ..ConfigFlags::default() };
        let limits = Config::load(&flags)?.limits;
        let cases = Cases::read(&super::read_cases(&self.cases, Some(&limits))?)
            .map_err(|error| Misuse(format!("{}: {error}", self.cases.display())))?;
        let bytes = super::read(&self.file, Some(&limits))?;
        let sandbox = Sandbox::new(&limits.handlers(), None)?;
        let trial = sandbox.trial(&bytes).map_err(|error| Misuse(format!("{}: {error}", self.file.display())))?;

        let mut reports = Vec::new();
        for report in cases.run(&trial, &self.filter) {
            if self.output == Output::Text {
                print(&report);
            }
            reports.push(report);
        }
        if reports.is_empty() {
            let why = format!("{}: no case holds {:?} in its name or call", self.cases.display(), self.filter);
            return Err(Misuse(why).into());
        }
        let failed = reports.iter().filter(|report| !report.passed()).count();
        match self.output {
            Output::Json => super::print_json(&serde_json::json!({
                "passed": reports.len() - failed,
                "failed": failed,
                "cases": reports,
            }))?,
            Output::Text => println!("\n{} passed, {failed} failed", reports.len() - failed),
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(report: &CaseReport) {
    let verdict = if report.passed() { "ok  " } else { "FAIL" };
    let cost = match report.microseconds {
        Some(microseconds) => format!("{microseconds} µs, {}", kibibytes(report.memory_bytes)),
        None => "not called".to_owned(),
    };
    println!("{verdict} {} ({cost})", report.name);
    for line in report.differences.iter().flat_map(|difference| difference.lines()) {
        println!("     {line}");
    }
}
