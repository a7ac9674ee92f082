//! `ondol cluster`: the hosts of a chat, as one of them sees them, by its admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::admin_flags::AdminFlags;
use super::handlers::refusal;
use super::shared::{Output, counted, print_json};
use crate::http::client::{AdminRequest, send};

/// Look at the hosts of a chat, and drain one of them
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Cluster {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: AdminFlags,
}

const AFTER_HELP: &str = "\
Asks the admin API of one host: `ondol serve --admin 127.0.0.1:9001 --bus nats://…`. What it says
of itself, such as missed packets, is of that host alone. Exits with 0 on success, with 1 if there
is no such room or host or no other host at all, with 2 on a usage error.

Examples:
  ondol cluster status --admin 127.0.0.1:9001
  ondol cluster where 7                             the home of room 7
  ondol cluster drain chat-2 --reason 'new kernel'";

#[derive(Debug, Subcommand)]
enum Command {
    /// Show each host, and how the asked one hears it
    Status,
    /// Show which host is the home of a room
    Where {
        /// Number of the room
        room: u64,
    },
    /// Have a host close its sockets, give up its rooms and end
    Drain(Drain),
}

#[derive(Debug, Args)]
struct Drain {
    /// Name of the host
    host: String,
    /// Log a reason
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Log a name
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

impl Cluster {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let server = self.admin.server()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(send(&server, self.command.request()))?;
        let done = status < 300;
        match self.admin.output {
            Output::Json => print_json(&answer)?,
            Output::Text if done => self.command.show(&answer),
            Output::Text => refusal(status, &answer, &server.address),
        }
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Command {
    fn request(&self) -> AdminRequest {
        let get = |target| AdminRequest { method: "GET", target, ..AdminRequest::default() };
        match self {
            Self::Status => get("/v1/cluster".to_owned()),
            Self::Where { room } => get(format!("/v1/cluster/rooms/{room}")),
            Self::Drain(Drain { host, reason, actor }) => {
                let query = form_urlencoded::Serializer::new(String::new()).append_pair("reason", reason).finish();
                let host = utf8_percent_encode(host, NON_ALPHANUMERIC);
                let target = format!("/v1/cluster/hosts/{host}/drain?{query}");
                AdminRequest { method: "POST", target, actor: actor.clone(), ..AdminRequest::default() }
            }
        }
    }

    fn show(&self, answer: &Value) {
        match self {
            Self::Status => status(answer),
            Self::Where { room } => match (text(answer, "host"), number(answer, "no")) {
                (Some(host), Some(no)) => println!("room {room}: its home is {host} ({no})"),
                _ => println!("room {room}: it has no home; the first host that needs it becomes that"),
            },
            Self::Drain(_) => {
                let (host, detail) = (text(answer, "host").unwrap_or_default(), text(answer, "detail"));
                println!("{host} drains: {}", detail.unwrap_or_default());
            }
        }
    }
}

/// What the asked host sees: a line for itself, and a table.
fn status(answer: &Value) {
    let (cluster, host) = (text(answer, "cluster").unwrap_or_default(), text(answer, "host").unwrap_or_default());
    println!("cluster {cluster}, as {host} sees it");
    if let Some(fault) = text(answer, "database_fault") {
        println!("  NOTHING CAN BE STORED: {fault}");
    }
    let echo = seconds(number(answer, "echo_age_ms"));
    if answer.get("echo").and_then(Value::as_bool) == Some(true) {
        println!("  the bus brings its beats back, the last one {echo} ago");
    } else {
        println!("  THE BUS DOES NOT BRING ITS BEATS BACK, the last one came {echo} ago");
    }
    let [missed, repairs, unsettled] = [("missed", "time"), ("repairs", "repair"), ("unsettled", "frame")]
        .map(|(key, thing)| counted(number(answer, key).unwrap_or_default(), thing));
    println!("  packets missed {missed}, {repairs} of rooms, {unsettled} not settled");
    let rows = answer.get("hosts").and_then(Value::as_array).into_iter().flatten().map(row);
    let titles =
        ["host", "no", "state", "beat", "heard", "version", "proto", "release", "rooms", "connections", "attached"];
    let rows: Vec<_> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    for line in table(&rows) {
        println!("{line}");
    }
}

/// The columns of a host.
fn row(host: &Value) -> [String; 11] {
    let shown = |key| number(host, key).map_or_else(|| "-".to_owned(), |number| number.to_string());
    let named = |key| text(host, key).unwrap_or("-").to_owned();
    let age = |key| seconds(number(host, key));
    [
        named("name"),
        shown("no"),
        named("state"),
        age("beat_age_ms"),
        age("heard_age_ms"),
        named("version"),
        shown("proto"),
        shown("release"),
        shown("rooms"),
        shown("connections"),
        shown("attached"),
    ]
}

/// Rows of text, each column as wide as its longest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

fn number(row: &Value, key: &str) -> Option<u64> {
    row.get(key).and_then(Value::as_u64)
}

/// A time in seconds with one decimal.
fn seconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_table_are_as_wide_as_their_longest_cell() {
        let rows = [["host", "no"], ["chat-1", "1"], ["b", "12"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["host    no", "chat-1  1", "b       12"]);
    }

    #[test]
    fn what_a_host_has_not_said_is_a_dash() {
        let host = serde_json::json!({
            "name": "b", "no": 2, "state": "live", "beat_age_ms": 250, "heard_age_ms": null, "version": "0.1.0", "proto": 1,
            "release": null, "rooms": 0, "connections": null, "attached": 3
        });
        assert_eq!(row(&host), ["b", "2", "live", "0.2 s", "-", "0.1.0", "1", "-", "0", "-", "3"]);
    }
}
