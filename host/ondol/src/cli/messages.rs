//! `ondol messages`: deletes messages in a running server, by its admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::admin_flags::AdminFlags;
use super::handlers::refusal;
use super::shared::{Output, print_json};
use crate::http::client::{AdminRequest, send};

/// Delete messages in a running server
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Messages {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    admin: AdminFlags,
}

const AFTER_HELP: &str = "\
The server must run with the admin API enabled: `ondol serve --admin 127.0.0.1:8001`. Members see
the messages vanish. Exits with 0 on success, with 1 if there is no such message or room, with 2
on a usage error.

Examples:
  ondol messages delete --room 1 --seq 7
  ondol messages delete --user u1                   all that the user said
  ondol messages delete --user u1 --room 1          in one room";

#[derive(Debug, Subcommand)]
enum Command {
    /// Delete a message, or all that a user said
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Delete {
    /// Delete the message with this seq
    #[arg(long, value_name = "NUMBER", requires = "room", conflicts_with = "user", required_unless_present = "user")]
    seq: Option<u64>,
    /// Delete all messages of the user with this id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// In this room
    #[arg(long, value_name = "NUMBER")]
    room: Option<u64>,
    /// Log a reason
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Log a name
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

impl Delete {
    fn request(self) -> AdminRequest {
        let Self { seq, user, room, reason, actor } = self;
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("reason", &reason);
        let path = match user {
            None => format!("/v1/rooms/{}/messages/{}", number(room), number(seq)),
            Some(user) => {
                if let Some(room) = room {
                    query.append_pair("room", &room.to_string());
                }
                format!("/v1/users/{}/messages", utf8_percent_encode(&user, NON_ALPHANUMERIC))
            }
        };
        let target = format!("{path}?{}", query.finish());
        AdminRequest { method: "DELETE", target, actor, ..AdminRequest::default() }
    }
}

impl Messages {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Command::Delete(delete) = self.command;
        let server = self.admin.server()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(send(&server, delete.request()))?;
        let done = status < 300;
        match self.admin.output {
            Output::Json => print_json(&answer)?,
            Output::Text if done => {
                let count = answer.get("deleted").and_then(serde_json::Value::as_u64).unwrap_or(0);
                println!("{count} {} deleted", if count == 1 { "message" } else { "messages" });
            }
            Output::Text => refusal(status, &answer, &server.address),
        }
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
