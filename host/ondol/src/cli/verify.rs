//! `ondol verify`: checks the database of a server, or a backup of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use super::database::DataFlags;
use super::progress::Progress;
use super::shared::{counted, file_and_size};
use ondol_host_store::{Verified, verify};

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
index, and by its client_id. Prints a line for each of the first 20 problems. Reads one moment of
the database, even while the server runs on it, and changes nothing. Exits with 1 if anything is
wrong.

Examples:
  ondol verify
  ondol verify --data /var/lib/ondol
  ondol verify /backup/ondol-monday.db";

const INSTEAD: &str = "this command checks a file";

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let path = match self.file {
            Some(file) => file,
            None => self.data.file_config(INSTEAD)?.database_file(),
        };
        let began = Instant::now();
        let progress = Progress::new(format!("checking {}", file_and_size(&path)));
        let found = verify(&path, &progress.report());
        drop(progress);
        let found = found.with_context(|| path.display().to_string())?;
        for problem in found.problems.shown() {
            println!("wrong  {problem}");
        }
        let more = found.problems.count() - found.problems.shown().len() as u64;
        if more > 0 {
            println!("wrong  … and {more} more");
        }
        println!("{}: {}; took {:.1} s", path.display(), summary(&found), began.elapsed().as_secs_f64());
        Ok(if found.problems.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn summary(found: &Verified) -> String {
    let verdict = match found.problems.count() {
        0 => "fine".to_owned(),
        count => counted(count, "problem"),
    };
    let held = format!("{}, {}", counted(found.rooms, "room"), counted(found.messages, "message"));
    match found.earlier_schema {
        Some(version) => format!(
            "{verdict}, {held}; an earlier server wrote it (schema version {version}), so only the file itself was checked"
        ),
        None => format!("{verdict}, {held}, {} of the index", counted(found.segments, "segment")),
    }
}
