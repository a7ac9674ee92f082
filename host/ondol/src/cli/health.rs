//! `ondol health`: asks a server whether it is ready, for supervisors that run a command, such as Docker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::shared::Misuse;
use crate::config::{AdminAddress, Config, ConfigFlags};
use crate::http::client::{AdminRequest, AdminServer, send};

/// Ask a running server whether it is ready
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Health {
    /// The server, HOST:PORT, a URL or unix:PATH [default: `listen` of the configuration, on this machine]
    server: Option<String>,
    /// Ask whether the process runs, and not whether it is ready
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    timeout_ms: u64,
    /// Trust only the authority in this PEM file for https
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Configuration of the server [env: ONDOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Asks /readyz, which answers on the public and the admin listener without a token. Exits with 0 if
the server is ready, with 1 if it is not or does not answer, with 2 on a usage error.

Examples:
  ondol health                                     the server of this configuration
  ondol health unix:/run/ondol/admin.sock
  ondol health https://chat.example.com
  ondol health --live                              whether it runs at all";

impl Health {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&ConfigFlags { config: self.config, ..ConfigFlags::default() })?;
        let address = match &self.server {
            Some(text) => AdminAddress::parse(text)
                .ok_or_else(|| Misuse(format!("expected HOST:PORT, a URL or unix:PATH, got `{text}`")))?,
            None if config.tls().is_some() => {
                return Err(
                    Misuse("the server speaks TLS: give the URL with the name in its certificate".to_owned()).into()
                );
            }
            None => AdminAddress::Tcp((on_this_machine(config.listen.ip()), config.listen.port()).into()),
        };
        let server = AdminServer { address, token: None, ca: self.ca };
        let target = if self.live { "/healthz" } else { "/readyz" }.to_owned();
        let request = AdminRequest { method: "GET", target, ..AdminRequest::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked =
            async { tokio::time::timeout(Duration::from_millis(self.timeout_ms), send(&server, request)).await };
        let (status, answer) = runtime
            .block_on(asked)
            .with_context(|| format!("no answer within {} ms", self.timeout_ms))?
            .map_err(|error| anyhow::anyhow!("no answer of {}: {}", server.address, error.root_cause()))?;
        let text = |name| answer.get(name).and_then(Value::as_str);
        println!("{}", text("status").or(text("detail")).unwrap_or("no answer about health"));
        Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The address at which a server with this one can be reached from this machine.
fn on_this_machine(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}
