//! `ondol test`: a handler against a table of test cases, without a server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use quick_junit::{NonSuccessKind, TestCaseStatus};

use super::shared::{Misuse, kibibytes, print_json, read, read_cases, sandbox};
use crate::config::{Config, ConfigFlags};
use ondol_host_handlers::{CaseReport, Cases, DynamicCaller, updated_cases};

/// The format of the output.
// Doc comments on the variants would turn the compact `--help` into clap's long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
}

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
    output: Format,
    /// Write what failed cases came to into the table
    #[arg(long)]
    update: bool,
    /// Set a limit, such as handler_deadline_ms=1000; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const AFTER_HELP: &str = "\
A case gives the arguments of a call and the answer, refusal or fault to expect. Each runs in a
fresh instance, in the server's sandbox and under its limits. Cold is the start of the instance
with the first call; warm is the fastest of a few more calls. Exits with 1 if a case fails, with 2
if the cases or the component are not usable.

Examples:
  ondol test target/handlers/messages.wasm --cases handlers/messages/cases.toml
  ondol test messages.wasm --cases cases.toml --filter blank --output json
  ondol test messages.wasm --cases cases.toml --update

A case:
  [[case]]
  name = \"a blank message is refused\"
  call = \"messages.receive\"
  args = [{ id = \"u1\", nickname = \"민지\", email = \"minji@example.com\" }, 1,
          { text = '{\"type\":\"chat.message\",\"message\":\" \"}' }]
  refuses = { code = \"blank\" }     # or: returns = …, returns_json = '…', matches = …, traps = \"…\"";

impl Test {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = ConfigFlags { limits: self.limits, ..ConfigFlags::default() };
        let config = Config::load(&flags)?;
        let limits = &config.limits;
        let table = read_cases(&self.cases, Some(limits))?;
        let cases = Cases::read(&table).map_err(|error| Misuse(format!("{}: {error}", self.cases.display())))?;
        let cases = if self.portable { cases.portable() } else { cases };
        let bytes = read(&self.file, Some(limits))?;
        let sandbox = sandbox(&limits.handlers().sandbox, Some(&config), Some(&self.file))?;
        let caller = DynamicCaller::new(&sandbox, &bytes)
            .map_err(|error| Misuse(format!("{}: {error}", self.file.display())))?;

        let mut reports = Vec::new();
        for report in cases.run_timed(&caller, &self.filter) {
            if self.output == Format::Text {
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
            Format::Json => print_json(&serde_json::json!({
                "passed": reports.len() - failed,
                "failed": failed,
                "cases": reports,
            }))?,
            Format::Junit => println!("{}", junit(&self.file.display().to_string(), &reports)?),
            Format::Text => println!("\n{} passed, {failed} failed", reports.len() - failed),
        }
        if self.update && failed > 0 {
            let (updated, written) = updated_cases(&table, &reports)?;
            std::fs::write(&self.cases, updated).with_context(|| format!("writing {}", self.cases.display()))?;
            eprintln!("{}: {written} of {failed} failed cases now expect what came", self.cases.display());
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(report: &CaseReport) {
    let verdict = if report.passed() { "ok  " } else { "FAIL" };
    let warm = report.warm_microseconds.map(|warm| format!("warm {warm} µs, ")).unwrap_or_default();
    let cost = match report.cold_microseconds {
        Some(cold) => format!("cold {cold} µs, {warm}{}", kibibytes(report.memory_bytes)),
        None => "not called".to_owned(),
    };
    println!("{verdict} {} ({cost})", report.name);
    for line in report.differences.iter().flat_map(|difference| difference.lines()) {
        println!("     {line}");
    }
}

/// The form that CI servers read: a suite for the component, with a test case for each case.
fn junit(file: &str, reports: &[CaseReport]) -> anyhow::Result<String> {
    let mut suite = quick_junit::TestSuite::new(file);
    for report in reports {
        let status = if report.passed() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(report.differences.first().cloned().unwrap_or_default());
            status.set_description(report.differences.join("\n"));
            status
        };
        let mut case = quick_junit::TestCase::new(report.name.as_str(), status);
        case.set_classname(report.call.as_str());
        let took = u64::try_from(report.cold_microseconds.unwrap_or(0)).unwrap_or(u64::MAX);
        case.set_time(std::time::Duration::from_micros(took));
        if let Some(printed) = &report.printed {
            case.set_system_out(printed.as_str());
        }
        suite.add_test_case(case);
    }
    let mut whole = quick_junit::Report::new("ondol test");
    whole.add_test_suite(suite);
    Ok(whole.to_string()?)
}
