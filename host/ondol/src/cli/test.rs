//! `ondol test`: a handler against a table of test cases, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::shared::{Misuse, Output, kibibytes, print_json, read, read_cases, sandbox};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{CaseReport, Cases, DynamicCaller};

/// Run a handler against a table of test cases
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Test {
    /// Component to test
    file: PathBuf,
    /// Table of test cases
    #[arg(long, value_name = "FILE.toml")]
    cases: PathBuf,
    /// Run only cases whose name or call contains TEXT
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Leave out cases that are marked `portable = false`
    #[arg(long)]
    portable: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Set a limit, such as handler_deadline_ms=1000; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const AFTER_HELP: &str = "\
A case gives the arguments of a call and the answer, refusal or fault to expect. Each runs in a
fresh instance, in the server's sandbox and under its limits. Exits with 1 if a case fails, with 2
if the cases or the component are not usable.

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
        let config = Config::load(&flags)?;
        let limits = &config.limits;
        let cases = Cases::read(&read_cases(&self.cases, Some(limits))?)
            .map_err(|error| Misuse(format!("{}: {error}", self.cases.display())))?;
        let cases = if self.portable { cases.portable() } else { cases };
        let bytes = read(&self.file, Some(limits))?;
        let sandbox = sandbox(&limits.handlers().sandbox, Some(&config), Some(&self.file))?;
        let caller = DynamicCaller::new(&sandbox, &bytes)
            .map_err(|error| Misuse(format!("{}: {error}", self.file.display())))?;

        let mut reports = Vec::new();
        for report in cases.run(&caller, &self.filter) {
            if self.output == Output::Text {
                print(&report);
            }
            reports.push(report);
        }
        if reports.is_empty() {
            let why = format!("{}: no case contains {:?} in its name or call", self.cases.display(), self.filter);
            return Err(Misuse(why).into());
        }
        let failed = reports.iter().filter(|report| !report.passed()).count();
        match self.output {
            Output::Json => print_json(&serde_json::json!({
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
