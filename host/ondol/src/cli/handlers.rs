//! `ondol handlers`: what an operator asks of a server that runs. Knows how questions are put and answers are shown; the
//! server decides.

mod show;
mod trials;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Misuse, Output};
use crate::config::{AdminAddress, Config, ConfigFlags, Token};
use crate::http::client::{Question, ask};

/// Ask a running server which handlers answer, deploy others, go back. It has to have the operator's API: `ondol serve
/// --admin 127.0.0.1:8001`, or unix:PATH. Exits with 0 when it was done, with 1 when the server refused, with 2 for a
/// wrong use.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Handlers {
    #[command(subcommand)]
    verb: Verb,
    /// Where the API is: ADDRESS:PORT, http://ADDRESS:PORT or unix:PATH [env: ONDOL_ADMIN]
    #[arg(long, global = true, value_name = "ADDRESS")]
    admin: Option<String>,
    /// A file with the token [env: ONDOL_ADMIN_TOKEN_FILE, or the token itself in ONDOL_ADMIN_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<String>,
    /// The server's config file, for both of them [env: ONDOL_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to tell
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  ondol handlers status --admin 127.0.0.1:8001
  ondol handlers deploy events=my-events.wasm --cases events=cases.toml --reason 'shorter names'
  ondol handlers deploy rooms=r.wasm messages=m.wasm events=e.wasm      all three at once, or none
  ondol handlers deploy --setting messages.text_length_max=500         other settings, the same component
  ondol handlers deploy events=my-events.wasm --percent 10              in one room of ten; then canary promote
  ondol handlers shadow start events=my-events.wasm                    asked the same, heard by nobody
  ondol handlers rollback
  ondol handlers rollback --release 12
  ondol handlers diff 3f2a";

#[derive(Debug, Subcommand)]
enum Verb {
    /// The versions that are kept
    List,
    /// Make other versions active, all that are named or none
    Deploy(Deploy),
    /// Go back: to the release before, or to one that is named
    Rollback(Rollback),
    /// The releases, the latest first
    History {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// What runs, whether it answers and what it failed at; what is on probation, and which versions are bad
    Status,
    /// The release that was deployed to a share of the rooms
    Canary {
        #[command(subcommand)]
        verb: trials::CanaryVerb,
    },
    /// A candidate that answers copies of live calls, heard by nobody
    Shadow {
        #[command(subcommand)]
        verb: trials::ShadowVerb,
    },
    /// How two versions differ in what they export, import and are set to
    Diff {
        /// The beginning of a version's id
        to: String,
        /// The one to hold it against [default: the active one]
        #[arg(long)]
        from: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Deploy {
    #[command(flatten)]
    parts: Parts,
    /// In so many of a hundred rooms, always the same ones; the others stay as they are
    #[arg(long, value_name = "1-99", value_parser = clap::value_parser!(u8).range(1..=99))]
    percent: Option<u8>,
    #[command(flatten)]
    order: Order,
}

/// Which handlers are to be other ones.
#[derive(Debug, Args)]
struct Parts {
    /// A component for a handler
    #[arg(value_name = "HANDLER=FILE")]
    components: Vec<String>,
    /// Cases that the component has to pass; give it again for more
    #[arg(long, value_name = "HANDLER=FILE")]
    cases: Vec<String>,
    /// What a handler reads. All settings of a handler that is named are replaced; give it again for more
    #[arg(long = "setting", value_name = "HANDLER.KEY=VALUE")]
    settings: Vec<String>,
    /// Take away all settings of a handler
    #[arg(long = "no-settings", value_name = "HANDLER")]
    no_settings: Vec<String>,
}

#[derive(Debug, Args)]
struct Rollback {
    /// To this release
    #[arg(long, conflicts_with = "version", value_name = "NUMBER")]
    release: Option<u64>,
    /// To this version of one handler: the beginning of its id
    #[arg(long, value_name = "DIGITS")]
    version: Option<String>,
    #[command(flatten)]
    order: Order,
}

#[derive(Debug, Args)]
struct Order {
    /// Why, for the history
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who, for the history
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Take versions that are marked as bad all the same, and without probation
    #[arg(long)]
    force: bool,
}

impl Handlers {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let question = self.verb.question()?;
        let (address, token) = self.server()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(ask(&address, token.as_ref(), question))?;
        let done = status < 300;
        match self.output {
            Output::Json => super::print_json(&answer)?,
            Output::Text if done => self.verb.show(&answer),
            Output::Text => show::refusal(status, &answer),
        }
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Where the server is and what opens it: from the flags, the environment or the server's config.
    fn server(&self) -> anyhow::Result<(AdminAddress, Option<Token>)> {
        let flags = ConfigFlags {
            config: self.config.clone(),
            admin: self.admin.clone(),
            admin_token_file: self.token_file.clone(),
            ..ConfigFlags::default()
        };
        let config = Config::load(&flags)?;
        let token = crate::server::read_token(&config)?;
        let address = config.admin;
        Ok((address.ok_or_else(|| Misuse("where is the server? Give --admin ADDRESS".to_owned()))?, token))
    }
}

impl Verb {
    fn question(&self) -> anyhow::Result<Question> {
        let get = |target: String| Ok(Question { method: "GET", target, body: None, actor: None });
        match self {
            Self::List => get("/v1/handlers".to_owned()),
            Self::Status => get("/v1/status".to_owned()),
            Self::History { limit } => get(format!("/v1/releases?limit={limit}")),
            Self::Diff { to, from } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("to", to);
                if let Some(from) = from {
                    query.append_pair("from", from);
                }
                get(format!("/v1/diff?{}", query.finish()))
            }
            Self::Deploy(Deploy { parts, percent, order }) => {
                let mut body = parts.body()?;
                body.extend(percent.map(|percent| ("percent".to_owned(), percent.into())));
                order.question("/v1/releases", body)
            }
            Self::Canary { verb } => verb.question(),
            Self::Shadow { verb } => verb.question(),
            Self::Rollback(Rollback { release, version, order }) => {
                let to = match (release, version) {
                    (Some(release), _) => json!(release),
                    (None, version) => json!(version),
                };
                order.question("/v1/rollback", Map::from_iter([("to".to_owned(), to)]))
            }
        }
    }

    fn show(&self, answer: &Value) {
        match self {
            Self::List => show::versions(answer),
            Self::Status => show::status(answer),
            Self::History { .. } => show::history(answer),
            Self::Diff { .. } => show::diff(answer),
            Self::Deploy(Deploy { percent: Some(_), .. }) => trials::canary(answer),
            Self::Deploy(_) | Self::Rollback(_) => show::changed(answer),
            Self::Canary { verb } => verb.show(answer),
            Self::Shadow { verb } => verb.show(answer),
        }
    }
}

impl Order {
    fn question(&self, target: &str, mut body: Map<String, Value>) -> anyhow::Result<Question> {
        body.insert("reason".to_owned(), self.reason.clone().into());
        body.insert("force".to_owned(), self.force.into());
        let (target, actor) = (target.to_owned(), self.actor.clone());
        Ok(Question { method: "POST", target, body: Some(Value::Object(body)), actor })
    }
}

impl Parts {
    /// The parts by handler.
    fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut parts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        let mut put = |handler: &str, key: &str, value: Value| {
            parts.entry(handler.to_owned()).or_default().insert(key.to_owned(), value);
        };
        for word in &self.components {
            let (handler, file) = named(word, "HANDLER=FILE")?;
            put(handler, "component", data_encoding::BASE64.encode(&super::read(file.as_ref(), None)?).into());
        }
        for word in &self.cases {
            let (handler, file) = named(word, "--cases HANDLER=FILE")?;
            put(handler, "cases", super::read_cases(file.as_ref(), None)?.into());
        }
        let mut settings: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for handler in &self.no_settings {
            settings.entry(handler).or_default();
        }
        for word in &self.settings {
            let (name, value) = named(word, "--setting HANDLER.KEY=VALUE")?;
            let (handler, key) = name
                .split_once('.')
                .ok_or_else(|| Misuse(format!("--setting takes HANDLER.KEY=VALUE; got `{word}`")))?;
            settings.entry(handler).or_default().insert(key.to_owned(), value.into());
        }
        for (handler, settings) in settings {
            put(handler, "settings", Value::Object(settings));
        }
        if parts.is_empty() {
            return Err(Misuse("nothing to deploy: give HANDLER=FILE, --cases or --setting".to_owned()).into());
        }
        for handler in parts.keys() {
            handler.parse::<ondol_host_handlers::HandlerKind>().map_err(Misuse)?;
        }
        Ok(parts.into_iter().map(|(handler, part)| (handler, Value::Object(part))).collect())
    }
}

fn named<'a>(word: &'a str, takes: &str) -> anyhow::Result<(&'a str, &'a str)> {
    word.split_once('=').with_context(|| Misuse(format!("{takes} is wanted; got `{word}`")))
}
