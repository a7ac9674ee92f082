//! `ondol config`: writes a configuration file, and shows what is in force. Needs no server.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::shared::print_json;
use crate::config::{self, Applies, ConfigFlags, Listed, Origin, Origins};

/// Write a configuration file, or show what is in force
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  ondol config init ondol.toml
  ondol config show --config ondol.toml --changed
  ondol config show --json | jq '.\"limits.frame_bytes_max\"'";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a file with every setting, commented out
    Init {
        /// File to write [default: standard output]
        file: Option<PathBuf>,
        /// Overwrite the file
        #[arg(long)]
        force: bool,
    },
    /// Show each value in force, and where it came from
    Show {
        /// Show only what is not the default
        #[arg(long)]
        changed: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: Box<ConfigFlags>,
    },
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init { file: None, .. } => print!("{}", config::template()),
            Command::Init { file: Some(file), force } => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).create_new(!force);
                let written = options.open(&file).and_then(|mut file| file.write_all(config::template().as_bytes()));
                let exists = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
                match written {
                    Err(error) if exists(&error) => {
                        anyhow::bail!("{} exists: give --force to overwrite it", file.display());
                    }
                    written => written.with_context(|| format!("cannot write {}", file.display()))?,
                }
            }
            Command::Show { changed, json, config } => {
                let (config, origins) = config::Config::load_with_origins(&config)?;
                let list = config.list().into_iter().filter(|listed| !changed || origins.of(&listed.name).is_some());
                if json { print_json(&as_json(list, &origins))? } else { print(list, &origins) }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(list: impl Iterator<Item = Listed>, origins: &Origins) {
    for listed in list {
        let origin = origins.of(&listed.name).map_or_else(|| "default".to_owned(), Origin::to_string);
        println!("{} = {}  # {origin}", listed.name, listed.value().unwrap_or("(none)"));
    }
}

fn as_json(list: impl Iterator<Item = Listed>, origins: &Origins) -> Value {
    let row = |listed: Listed| {
        let origin = match origins.of(&listed.name) {
            None => json!({ "from": "default" }),
            Some(Origin::File(path, line)) => json!({ "from": "file", "file": path, "line": line }),
            Some(Origin::Environment(name)) => json!({ "from": "environment", "variable": name }),
            Some(Origin::Flag(flag)) => json!({ "from": "flag", "flag": flag }),
        };
        let row = json!({ "value": listed.value(), "origin": origin, "live": listed.applies == Applies::Live });
        (listed.name, row)
    };
    Value::Object(list.map(row).collect::<Map<_, _>>())
}
