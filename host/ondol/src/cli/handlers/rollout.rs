//! `ondol handlers canary` and `ondol handlers shadow`.

use clap::Subcommand;
use serde_json::Value;

use super::request::{Note, Parts, Reason};
use super::{show, show_rollouts, show_settings};
use crate::http::client::AdminRequest;

#[derive(Debug, Subcommand)]
pub(super) enum CanaryCommand {
    /// Show the canary's calls and faults
    Status,
    /// Make the canary active in all rooms
    Promote(Note),
    /// End the canary; its rooms return to the active release
    Drop(Note),
}

#[derive(Debug, Subcommand)]
pub(super) enum ShadowCommand {
    /// Start a shadow
    Start {
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        reason: Reason,
    },
    /// Show how the shadow's answers differ and what they cost
    Status,
    /// End the shadow
    Stop(Note),
}

impl CanaryCommand {
    pub(super) fn request(&self) -> AdminRequest {
        match self {
            Self::Status => bare("GET", "/v1/canary"),
            Self::Promote(note) => note.query("POST", "/v1/canary/promote"),
            Self::Drop(note) => note.query("DELETE", "/v1/canary"),
        }
    }

    pub(super) fn show(&self, answer: &Value) {
        match self {
            Self::Status => show_rollouts::canary(answer),
            Self::Promote(_) => show::deployed(answer),
            Self::Drop(_) => {
                println!("canary ended: the active release answers in all rooms");
                show_rollouts::ended(answer);
            }
        }
    }
}

impl ShadowCommand {
    pub(super) fn request(&self) -> anyhow::Result<AdminRequest> {
        Ok(match self {
            Self::Start { parts, reason } => reason.request("/v1/shadow", parts.body()?),
            Self::Status => bare("GET", "/v1/shadow"),
            Self::Stop(note) => note.query("DELETE", "/v1/shadow"),
        })
    }

    pub(super) fn show(&self, answer: &Value) {
        if matches!(self, Self::Stop(_)) {
            println!("shadow ended");
        }
        show_rollouts::shadow(answer);
        show_settings::changed(answer);
        show_rollouts::ended(answer);
    }
}

fn bare(method: &'static str, target: &str) -> AdminRequest {
    AdminRequest { method, target: target.to_owned(), ..AdminRequest::default() }
}
