//! `ondol verify`: checks the database of a server, in a file or in PostgreSQL, or a backup of a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use super::database::DataFlags;
use super::progress::Progress;
use super::shared::{counted, file_and_size};
use crate::config::StorePlace;
use ondol_host_store::{PostgresConfig, Verified, verify, verify_postgres};

/// Check the database, or a backup of it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Verify {
    /// Check this file instead of the server's database
    #[arg(conflicts_with = "data")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
Checks the file as SQLite does, and then what the server relies on: in each room the numbers of
messages rise and none is used twice, every message has its room and its sender, is found by the
index, and by its client_id. A database in PostgreSQL is checked for the same, for numbers that are
missing, and for the handlers of the active release; pg_amcheck checks its files. Prints a line for
each of the first 20 problems. Reads one moment of the database, even while the server runs on it,
and changes nothing. Exits with 1 if anything is wrong.

Examples:
  ondol verify
  ondol verify --data /var/lib/ondol
  ondol verify --config /etc/ondol/ondol.toml
  ondol verify /backup/ondol-monday.db";

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (place, shown) = match self.file {
            Some(file) => (StorePlace::File(file.clone()), file.display().to_string()),
            None => self.data.place()?,
        };
        let began = Instant::now();
        let (found, in_file) = match place {
            StorePlace::File(path) => (check_file(&path), true),
            StorePlace::Postgres(config) => (check_postgres(&config, &shown), false),
        };
        let found = found.with_context(|| shown.clone())?;
        for problem in found.problems.shown() {
            println!("wrong  {problem}");
        }
        let more = found.problems.count() - found.problems.shown().len() as u64;
        if more > 0 {
            println!("wrong  … and {more} more");
        }
        println!("{shown}: {}; took {:.1} s", summary(&found, in_file), began.elapsed().as_secs_f64());
        Ok(if found.problems.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn check_file(path: &Path) -> anyhow::Result<Verified> {
    let progress = Progress::new(format!("checking {}", file_and_size(path)));
    Ok(verify(path, &progress.report())?)
}

fn check_postgres(config: &PostgresConfig, shown: &str) -> anyhow::Result<Verified> {
    let progress = Progress::new(format!("checking {shown}"));
    Ok(verify_postgres(config, &progress.report())?)
}

fn summary(found: &Verified, in_file: bool) -> String {
    let verdict = match found.problems.count() {
        0 => "fine".to_owned(),
        count => counted(count, "problem"),
    };
    let held = format!("{}, {}", counted(found.rooms, "room"), counted(found.messages, "message"));
    match found.earlier_schema {
        Some(version) => format!(
            "{verdict}, {held}; an earlier server wrote it (schema version {version}), so only the file itself was checked"
        ),
        None if in_file => format!("{verdict}, {held}, {} of the index", counted(found.segments, "segment")),
        None => format!("{verdict}, {held}"),
    }
}
