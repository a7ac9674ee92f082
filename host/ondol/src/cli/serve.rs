//! `ondol serve`: loads the configuration and runs the server.

use std::process::ExitCode;

use clap::Args;

use crate::config::ConfigFlags;

/// Run the server
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFlags,
}

const AFTER_HELP: &str = "\
The server watches the handler directory and activates a changed component for the next message,
while sockets stay open. SIGHUP reads the configuration and the directory again. SIGINT and SIGTERM
shut down gracefully; a second one exits at once.

Examples:
  ondol serve
  ondol serve --listen 127.0.0.1:0 --data /tmp/chat        port 0: any free port
  ondol serve --admin 127.0.0.1:8001                       with the admin API, for `ondol handlers`
  ondol serve --config ondol.toml --limit frame_bytes_max=16384
  ondol serve --limit messages.handler_deadline_ms=50      for one handler
  ondol serve --failure messages=default                   built-in handler as fallback
  ondol serve --setting messages.text_length_max=500";

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        crate::server::run(&self.config)?;
        Ok(ExitCode::SUCCESS)
    }
}
