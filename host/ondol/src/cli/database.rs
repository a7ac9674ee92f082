//! Which database a command works on that needs no running server. Some take one in a file alone.

use std::path::PathBuf;

use clap::Args;

use super::shared::Misuse;
use crate::config::{Config, ConfigError, ConfigFlags, StorePlace};

/// Where the database is, for commands that work on it without a running server.
#[derive(Debug, Args)]
pub(super) struct DataFlags {
    /// Data directory [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Configuration with the data directory [env: ONDOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DataFlags {
    /// The configuration.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let flags = ConfigFlags { config: self.config.clone(), data: self.data.clone(), ..ConfigFlags::default() };
        Config::load(&flags)
    }

    /// Where the database is, and its name for people. A data directory that was named means the one in its file.
    pub(super) fn place(&self) -> anyhow::Result<(StorePlace, String)> {
        let config = self.config()?;
        let config = if self.data.is_some() { Config { store: None, ..config } } else { config };
        Ok((config.store_place()?, config.database_shown()))
    }

    /// The configuration with the database in a file. `otherwise` says what to do about one in PostgreSQL.
    pub(super) fn file_config(&self, otherwise: &str) -> anyhow::Result<Config> {
        self.file_config_or(|_| otherwise.to_owned())
    }

    /// The same. `otherwise` gets the URL.
    pub(super) fn file_config_or(&self, otherwise: impl FnOnce(&str) -> String) -> anyhow::Result<Config> {
        let config = self.config()?;
        in_file(&config, self.data.is_some(), &otherwise(&config.database_shown()))?;
        Ok(config)
    }
}

/// Refuses a database in PostgreSQL, unless a data directory was named: then that one is meant.
pub(super) fn in_file(config: &Config, named_directory: bool, otherwise: &str) -> Result<(), Misuse> {
    match &config.store {
        Some(url) if !named_directory => Err(Misuse(format!(
            "the database is in PostgreSQL ({url}): {otherwise}. For a database in a file, name its directory with --data"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ondol_host_store::PostgresUrl;

    #[test]
    fn a_database_in_postgresql_is_refused_unless_a_directory_is_named() {
        let on_postgres = Config { store: PostgresUrl::parse("postgres://ondol@db-1/chat"), ..Config::default() };
        let error = in_file(&on_postgres, false, "use pg_dump").unwrap_err().to_string();
        assert!(
            error.starts_with("the database is in PostgreSQL (postgres://ondol@db-1/chat): use pg_dump. "),
            "{error}"
        );
        assert!(in_file(&on_postgres, true, "use pg_dump").is_ok());
        assert!(in_file(&Config::default(), false, "use pg_dump").is_ok());
    }
}
