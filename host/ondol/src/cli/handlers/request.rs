//! The arguments that become the body of a request: handlers with their components, cases and settings; the reason.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::shared::{Misuse, misuse, read, read_cases, split};
use crate::http::client::AdminRequest;

/// The handlers to deploy.
#[derive(Debug, Args)]
pub(super) struct Parts {
    /// Component for a handler; repeatable
    #[arg(value_name = "HANDLER=FILE")]
    components: Vec<String>,
    /// Test cases that the component must pass; repeatable
    #[arg(long, value_name = "HANDLER=FILE")]
    cases: Vec<String>,
    /// Replace all settings of a handler; repeatable, one key each
    #[arg(long = "setting", value_name = "HANDLER.KEY=VALUE")]
    settings: Vec<String>,
    /// Remove all settings of a handler
    #[arg(long = "no-settings", value_name = "HANDLER")]
    no_settings: Vec<String>,
}

/// What the history records about a command.
#[derive(Debug, Args)]
pub(super) struct Note {
    /// Record a reason in the history
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Record a name in the history
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

/// When a version on probation counts as slow.
#[derive(Debug, Args)]
pub(super) struct Slowness {
    /// Call it slow above this many times the baseline's time [default: the server's probation_slowdown_max]
    #[arg(long, value_name = "TIMES")]
    slowdown_max: Option<u64>,
    /// Never call it slow below this median [default: the server's probation_slowdown_floor_ms]
    #[arg(long, value_name = "MS")]
    slowdown_floor_ms: Option<u64>,
    /// Roll it back if it is slow and its median is above this [default: the server's probation_slowdown_rollback_ms]
    #[arg(long, value_name = "MS")]
    slowdown_rollback_ms: Option<u64>,
}

/// What a change is recorded with, and whether it is forced.
#[derive(Debug, Args)]
pub(super) struct Reason {
    #[command(flatten)]
    note: Note,
    /// Deploy blocked versions too, without probation
    #[arg(long)]
    force: bool,
}

impl Slowness {
    /// The fields of a body that are given.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Value)> {
        let fields = [
            ("slowdown_max", self.slowdown_max),
            ("slowdown_floor_ms", self.slowdown_floor_ms),
            ("slowdown_rollback_ms", self.slowdown_rollback_ms),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
    }
}

impl Reason {
    pub(super) fn request(&self, target: &str, mut body: Map<String, Value>) -> AdminRequest {
        body.insert("force".to_owned(), self.force.into());
        self.note.request(target, body)
    }
}

impl Note {
    /// A request without a body.
    pub(super) fn query(&self, method: &'static str, path: &str) -> AdminRequest {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("reason", &self.reason).finish();
        let (target, actor) = (format!("{path}?{query}"), self.actor.clone());
        AdminRequest { method, target, actor, ..AdminRequest::default() }
    }

    pub(super) fn request(&self, target: &str, mut body: Map<String, Value>) -> AdminRequest {
        body.insert("reason".to_owned(), self.reason.clone().into());
        let (target, actor) = (target.to_owned(), self.actor.clone());
        AdminRequest { method: "POST", target, body: Some(Value::Object(body)), actor }
    }
}

impl Parts {
    /// The body of a deploy: each handler with its component, cases and settings.
    pub(super) fn body(&self) -> anyhow::Result<Map<String, Value>> {
        let mut parts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        let mut put = |handler: &str, key: &str, value: Value| {
            parts.entry(handler.to_owned()).or_default().insert(key.to_owned(), value);
        };
        for argument in &self.components {
            let (handler, file) = split(argument, "HANDLER=FILE")?;
            put(handler, "component", data_encoding::BASE64.encode(&read(file.as_ref(), None)?).into());
        }
        for argument in &self.cases {
            let (handler, file) = split(argument, "--cases HANDLER=FILE")?;
            put(handler, "cases", read_cases(file.as_ref(), None)?.into());
        }
        let mut settings: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for handler in &self.no_settings {
            settings.entry(handler).or_default();
        }
        for argument in &self.settings {
            const FORM: &str = "--setting HANDLER.KEY=VALUE";
            let (name, value) = split(argument, FORM)?;
            let (handler, key) = name.split_once('.').ok_or_else(|| misuse(argument, FORM))?;
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
