//! `ondol serve`: the config, then the server.

use std::process::ExitCode;

use clap::Args;

use crate::config::{Config, ConfigFlags};

/// Run the server. It watches the directory of handlers and takes a new one for the next message, while sockets stay
/// open. SIGHUP looks at the directory at once; SIGINT and SIGTERM end the server in order, a second one at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFlags,
}

const EXAMPLES: &str = "\
Examples:
  ondol serve
  ondol serve --listen 127.0.0.1:0 --data /tmp/chat
  ondol serve --admin 127.0.0.1:8001      the operator's API: see `ondol handlers`
  ondol serve --config ondol.toml --limit frame_bytes_max=16384 --setting messages.text_length_max=500";

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        crate::server::run(&Config::load(&self.config)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
