//! `ondol handlers canary` and `shadow`: how they are asked for, and how what is being tried is shown.

use clap::Subcommand;
use serde_json::Value;

use super::show::{changed, fields, short, text};
use super::{Order, Parts};
use crate::http::client::Question;

#[derive(Debug, Subcommand)]
pub(super) enum CanaryVerb {
    /// How it does
    Status,
    /// Make it active in all rooms
    Promote,
    /// Take it back from its rooms
    Drop,
}

#[derive(Debug, Subcommand)]
pub(super) enum ShadowVerb {
    /// Begin with it
    Start {
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        order: Order,
    },
    /// Where its answers differ, and what they cost
    Status,
    /// End it
    Stop,
}

fn plain(method: &'static str, target: &str) -> anyhow::Result<Question> {
    Ok(Question { method, target: target.to_owned(), body: None, actor: None })
}

impl CanaryVerb {
    pub(super) fn question(&self) -> anyhow::Result<Question> {
        match self {
            Self::Status => plain("GET", "/v1/canary"),
            Self::Promote => plain("POST", "/v1/canary/promote"),
            Self::Drop => plain("DELETE", "/v1/canary"),
        }
    }

    pub(super) fn show(&self, answer: &Value) {
        match self {
            Self::Status => canary(answer),
            Self::Promote => changed(answer),
            Self::Drop => println!("the canary is over: one release answers in all rooms"),
        }
    }
}

impl ShadowVerb {
    pub(super) fn question(&self) -> anyhow::Result<Question> {
        match self {
            Self::Start { parts, order } => order.question("/v1/shadow", parts.body()?),
            Self::Status => plain("GET", "/v1/shadow"),
            Self::Stop => plain("DELETE", "/v1/shadow"),
        }
    }

    pub(super) fn show(&self, answer: &Value) {
        if matches!(self, Self::Stop) {
            println!("the shadow is over");
        }
        shadow(answer);
    }
}

/// What is being tried, of a status.
pub(super) fn all(status: &Value) {
    let given = |key: &str| status.get(key).filter(|row| row.is_object());
    if let Some(row) = given("probation") {
        probation(row);
    }
    if let Some(row) = given("canary") {
        canary(row);
    }
    if let Some(row) = given("shadow") {
        shadow(row);
    }
    for (version, evidence) in fields(status.get("bad")) {
        let evidence = evidence.as_str().unwrap_or_default().replace('\n', "\n    ");
        println!("bad {}, refused unless forced\n    {evidence}", short(version));
    }
}

pub(super) fn canary(row: &Value) {
    println!(
        "canary in {} % of the rooms, since {}, by {}",
        number(row, "percent"),
        text(row, "since"),
        text(row, "who")
    );
    if !text(row, "why").is_empty() {
        println!("    {}", text(row, "why"));
    }
    versions(row);
    if let Some(row) = row.get("probation").filter(|row| row.is_object()) {
        println!("    {} calls, {} faults", number(row, "calls"), number(row, "faults"));
    }
}

fn probation(row: &Value) {
    let left = number(row, "left_ms").div_ceil(1_000);
    let (calls, faults, back_to) = (number(row, "calls"), number(row, "faults"), number(row, "back_to"));
    println!("on probation for {left} s more: {calls} calls, {faults} faults; it leads back to release {back_to}");
    versions(row);
}

fn shadow(row: &Value) {
    println!("shadow since {}", text(row, "since"));
    versions(row);
    let (calls, dropped) = (number(row, "calls"), number(row, "dropped"));
    let (differences, faults) = (number(row, "differences"), number(row, "faults"));
    println!("    {calls} calls, {differences} answered otherwise, {faults} failed, {dropped} dropped");
    for side in ["active", "shadow"] {
        let cost = |key: &str| row.get(side).and_then(|costs| costs.get(key)).and_then(Value::as_f64).unwrap_or(0.0);
        println!("    {side}: {} µs on average, p99 {} µs", cost("mean_us"), cost("p99_us"));
    }
    for difference in row.get("first_differences").and_then(Value::as_array).into_iter().flatten() {
        println!("    {} {}", text(difference, "function"), text(difference, "input"));
        println!("      - {}\n      + {}", text(difference, "active"), text(difference, "shadow"));
    }
}

fn versions(row: &Value) {
    for (handler, version) in fields(row.get("versions")) {
        println!("    {handler} {}", short(version.as_str().unwrap_or_default()));
    }
}

fn number(row: &Value, key: &str) -> u64 {
    row.get(key).and_then(Value::as_u64).unwrap_or(0)
}
