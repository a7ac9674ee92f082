//! `ondol handlers logs` and `ondol handlers record`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::fields::{is_true, number, text};
use super::{get, show};
use crate::http::client::{AdminRequest, AdminServer, send};
use ondol_host_handlers::Recorded;

/// How long the server waits for a line before it answers without one.
const WAIT_MS: u64 = 20_000;

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Wait for further lines, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Number of earlier lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: u64,
}

#[derive(Debug, Args)]
pub(super) struct Record {
    /// Handler whose calls are recorded
    #[arg(long, default_value = "messages")]
    handler: String,
    /// Number of calls
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    calls: u64,
    /// Longest time to wait for them
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Table of cases to write
    #[arg(short = 'o', long = "to", value_name = "FILE.toml")]
    to: PathBuf,
}

impl Logs {
    pub(super) fn request(&self) -> AdminRequest {
        get(&format!("/v1/logs?lines={}", self.lines))
    }

    pub(super) fn show(answer: &Value) {
        lines_of(answer).for_each(print);
    }

    /// Prints the lines that come after those of `answer`. Ends when the server does.
    pub(super) async fn follow(&self, server: &AdminServer, answer: &Value) -> anyhow::Result<ExitCode> {
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        let (status, answer) = follow_lines(server, number(answer, "last"), print).await?;
        show::refusal(status, &answer, &server.address);
        Ok(ExitCode::FAILURE)
    }
}

/// Shows each line that comes after the one with this number. Ends with what the server answers instead.
pub(in crate::cli) async fn follow_lines(
    server: &AdminServer,
    mut last: u64,
    show: impl Fn(&Value),
) -> anyhow::Result<(u16, Value)> {
    loop {
        let (status, answer) = send(server, get(&format!("/v1/logs?after={last}&wait_ms={WAIT_MS}"))).await?;
        if status >= 300 {
            return Ok((status, answer));
        }
        lines_of(&answer).for_each(&show);
        // A server that has started anew counts from the beginning.
        last = number(&answer, "last");
    }
}

fn lines_of(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("lines").and_then(Value::as_array).into_iter().flatten()
}

fn print(line: &Value) {
    println!("{}", describe(line));
}

/// A line for people.
pub(in crate::cli) fn describe(line: &Value) -> String {
    let (at, handler, version) = (text(line, "at"), text(line, "handler"), text(line, "version"));
    let mark = if is_true(line, "fault") { "FAULT " } else { "" };
    let trace = line.get("trace_id").and_then(Value::as_str).map(|trace| format!(" trace {trace}")).unwrap_or_default();
    format!("{at} {handler} {version}{trace}: {mark}{}", text(line, "text"))
}

impl Record {
    pub(super) fn request(&self) -> AdminRequest {
        let (handler, calls, wait_ms) = (&self.handler, self.calls, self.seconds * 1_000);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("handler", handler);
        get(&format!("/v1/record?{}&calls={calls}&wait_ms={wait_ms}", query.finish()))
    }

    pub(super) fn write(&self, answer: Value) -> anyhow::Result<ExitCode> {
        let recorded: Recorded = serde_json::from_value(answer).context("reading the answer")?;
        let calls = recorded.calls.len();
        if calls == 0 {
            eprintln!("ondol: no call of {} came within {} s; no file was written", self.handler, self.seconds);
            return Ok(ExitCode::FAILURE);
        }
        std::fs::write(&self.to, recorded.toml()).with_context(|| format!("writing {}", self.to.display()))?;
        println!("{}: {calls} of {} calls of {}", self.to.display(), self.calls, self.handler);
        println!("users are replaced; what they wrote is not: read it before you share it");
        Ok(ExitCode::SUCCESS)
    }
}
