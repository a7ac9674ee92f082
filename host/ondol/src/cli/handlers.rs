//! `ondol handlers`: a client of the admin API. Builds requests and prints responses; the server decides.

mod fields;
pub(super) mod observing;
mod request;
mod rollout;
mod show;
mod show_rollouts;
mod show_settings;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use self::observing::{Logs, Record};
use self::request::{Note, Parts, Reason, Slowness};
use self::rollout::{CanaryCommand, ShadowCommand};
pub(super) use self::show::refusal;
use super::admin_flags::AdminFlags;
use super::progress::Progress;
use super::shared::{Output, print_json};
use crate::http::client::{AdminRequest, send};

/// Manage a running server's handlers: list, deploy, roll back
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Handlers {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: AdminFlags,
}

const AFTER_HELP: &str = "\
The server must run with the admin API enabled: `ondol serve --admin 127.0.0.1:8001`, or `--admin
unix:PATH`. ONDOL_ADMIN_TOKEN may hold the token itself. Exits with 0 on success, with 1 if the
server rejects the request, with 2 on a usage error.

Examples:
  ondol handlers status --admin 127.0.0.1:8001
  ondol handlers status --admin https://ondol.example.com:8001 --admin-ca ca.pem
  ondol handlers deploy events=my-events.wasm --cases events=cases.toml --reason 'shorter names'
  ondol handlers deploy rooms=r.wasm messages=m.wasm events=e.wasm      all three, or none
  ondol handlers deploy --setting messages.text_length_max=500          only the settings
  ondol handlers deploy events=my-events.wasm --percent 10              a canary in 10 % of rooms
  ondol handlers shadow start events=my-events.wasm                     copies of live calls
  ondol handlers deploy messages=m.wasm --slowdown-floor-ms 20          slow, and known to be
  ondol handlers forgive 3f2a                                           lift the block of a version
  ondol handlers logs --follow                                          what handlers print
  ondol handlers record --calls 50 -o cases.toml                        cases out of live calls
  ondol handlers reload                                                 the configuration
  ondol handlers rollback
  ondol handlers rollback --release 12
  ondol handlers diff 3f2a";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the stored versions of each handler
    List,
    /// Deploy new versions: all that are given, or none
    Deploy(Deploy),
    /// Roll back to the previous release, or to a given one
    Rollback(Rollback),
    /// Lift the block of a version that failed its probation
    Forgive(Forgive),
    /// List the releases and what befell each, latest first
    History {
        /// Number of releases to list
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Show active versions, readiness, recent faults, rollouts and blocked versions
    Status,
    /// Read the configuration again, and apply what can change while the server runs
    Reload,
    /// Show what handlers printed, and their faults
    Logs(Logs),
    /// Write live calls of a handler as a table of test cases
    Record(Record),
    /// Manage the canary: a release that answers in a share of the rooms
    Canary {
        #[command(subcommand)]
        command: CanaryCommand,
    },
    /// Manage the shadow: a candidate that answers copies of live calls
    Shadow {
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// Compare the exports, imports and settings of two versions
    Diff {
        /// First digits of a version's id
        to: String,
        /// Version to compare with [default: the active one]
        #[arg(long)]
        from: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Deploy {
    #[command(flatten)]
    parts: Parts,
    /// Deploy as a canary to this percentage of rooms
    #[arg(long, value_name = "1-99", value_parser = clap::value_parser!(u8).range(1..=99))]
    percent: Option<u8>,
    #[command(flatten)]
    slowness: Slowness,
    /// Deploy even if another release becomes active meanwhile
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Debug, Args)]
struct Rollback {
    /// Roll back to this release
    #[arg(long, conflicts_with = "version", value_name = "NUMBER")]
    release: Option<u64>,
    /// Roll back one handler to this version, by the first digits of its id
    #[arg(long, value_name = "DIGITS")]
    version: Option<String>,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Debug, Args)]
struct Forgive {
    /// First digits of the version's id
    version: String,
    #[command(flatten)]
    note: Note,
}

impl Handlers {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut request = self.command.request()?;
        let server = self.admin.server()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if self.command.is_aimed() {
            let (status, answer) = runtime.block_on(send(&server, get("/v1/status")))?;
            if status >= 300 {
                show::refusal(status, &answer, &server.address);
                return Ok(ExitCode::FAILURE);
            }
            let active = answer.get("release").and_then(|release| release.get("release"));
            request.put("expected_release", active.cloned().unwrap_or_default());
        }
        let waiting = self.command.is_checked().then(|| Progress::new("waiting for the server's admission checks"));
        let answered = runtime.block_on(send(&server, request));
        drop(waiting);
        let (status, answer) = answered?;
        let done = status < 300;
        match self.admin.output {
            Output::Json if !matches!(self.command, Command::Record(_)) => print_json(&answer)?,
            _ if done => self.command.show(&answer),
            _ => show::refusal(status, &answer, &server.address),
        }
        match self.command {
            Command::Logs(logs) if done => runtime.block_on(logs.follow(&server, &answer)),
            Command::Record(record) if done => record.write(answer),
            // A handler does not take its settings.
            Command::Reload if answer.get("rejected").is_some_and(|rejected| *rejected != json!({})) => {
                Ok(ExitCode::FAILURE)
            }
            _ if done => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::FAILURE),
        }
    }
}

fn get(target: &str) -> AdminRequest {
    AdminRequest { method: "GET", target: target.to_owned(), ..AdminRequest::default() }
}

impl Command {
    /// Whether the server compiles and checks what comes with it before it answers.
    fn is_checked(&self) -> bool {
        matches!(self, Self::Deploy(_) | Self::Reload | Self::Shadow { command: ShadowCommand::Start { .. } })
    }

    /// Whether it is meant for the release that is active now, and for no other.
    fn is_aimed(&self) -> bool {
        matches!(self, Self::Deploy(Deploy { anyway: false, .. }))
    }

    fn request(&self) -> anyhow::Result<AdminRequest> {
        Ok(match self {
            Self::List => get("/v1/handlers"),
            Self::Status => get("/v1/status"),
            Self::Reload => AdminRequest { method: "POST", target: "/v1/reload".to_owned(), ..AdminRequest::default() },
            Self::Logs(logs) => logs.request(),
            Self::Record(record) => record.request(),
            Self::History { limit } => get(&format!("/v1/releases?limit={limit}")),
            Self::Diff { to, from } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("to", to);
                if let Some(from) = from {
                    query.append_pair("from", from);
                }
                get(&format!("/v1/diff?{}", query.finish()))
            }
            Self::Forgive(Forgive { version, note }) => {
                note.request("/v1/forgive", Map::from_iter([("version".to_owned(), json!(version))]))
            }
            Self::Deploy(Deploy { parts, percent, slowness, reason, anyway: _ }) => {
                let mut body = parts.body()?;
                body.extend(percent.map(|percent| ("percent".to_owned(), percent.into())));
                body.extend(slowness.fields());
                reason.request("/v1/releases", body)
            }
            Self::Canary { command } => command.request(),
            Self::Shadow { command } => command.request()?,
            Self::Rollback(Rollback { release, version, reason }) => {
                let to = match (release, version) {
                    (Some(release), _) => json!(release),
                    (None, version) => json!(version),
                };
                reason.request("/v1/rollback", Map::from_iter([("to".to_owned(), to)]))
            }
        })
    }

    fn show(&self, answer: &Value) {
        match self {
            Self::List => show::versions(answer),
            Self::Status => show::status(answer),
            Self::Reload => show::reloaded(answer),
            Self::Logs(_) => Logs::show(answer),
            Self::Record(_) => {}
            Self::History { .. } => show::history(answer),
            Self::Diff { .. } => show::diff(answer),
            Self::Deploy(Deploy { percent: Some(_), .. }) => show_rollouts::started_canary(answer),
            Self::Deploy(_) => show::deployed(answer),
            Self::Rollback(_) => show::changed(answer),
            Self::Forgive(_) => show::forgiven(answer),
            Self::Canary { command } => command.show(answer),
            Self::Shadow { command } => command.show(answer),
        }
    }
}
