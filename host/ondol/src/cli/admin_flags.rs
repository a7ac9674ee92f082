//! The flags by which a command finds the admin API of a running server.

use std::path::PathBuf;

use clap::Args;

use super::shared::{Misuse, Output};
use crate::config::{Config, ConfigFlags};
use crate::http::client::AdminServer;

/// Where the admin API is, and how its answers are printed.
#[derive(Debug, Args)]
pub(super) struct AdminFlags {
    /// Address of the admin API, https://HOST:PORT or unix:PATH [env: ONDOL_ADMIN]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Trust only the authority in this PEM file for https [env: ONDOL_ADMIN_CA]
    #[arg(long, global = true, value_name = "FILE")]
    admin_ca: Option<PathBuf>,
    /// File with the token [env: ONDOL_ADMIN_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<String>,
    /// Server configuration with both [env: ONDOL_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(super) output: Output,
}

impl AdminFlags {
    /// The server, from the flags, the environment or the server's configuration file.
    pub(super) fn server(&self) -> anyhow::Result<AdminServer> {
        let flags = ConfigFlags {
            config: self.config.clone(),
            admin: self.admin.clone(),
            admin_token_file: self.token_file.clone(),
            ..ConfigFlags::default()
        };
        let config = Config::load(&flags)?;
        let token = crate::server::read_token(&config)?;
        let missing = || Misuse("no server address: give --admin ADDRESS, or set ONDOL_ADMIN".to_owned());
        let address = config.admin_url().ok_or_else(missing)?;
        Ok(AdminServer { address, token, ca: self.admin_ca.clone().or(config.admin_ca) })
    }
}
