//! `ondol import`: reads rooms and messages from a file into a data directory whose server is stopped.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::database::DataFlags;
use super::interrupt::until_signal;
use super::progress::Progress;
use super::shared::{counted, private_files};
use crate::moving::{Checked, ImportError, Problems, ReportStep, Rules, Watcher, check_file, import_file};
use crate::server::data_directory;

/// Read rooms and messages from a file of JSON lines
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Import {
    /// File to read: one of `ondol export`, or of another system
    file: PathBuf,
    /// Check the file and change nothing, even while the server runs
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
Stop the server first, and run this as its user or as root. The whole file is checked before
anything changes: every line, the limits, the numbers, the counts and the digest. Prints the first
20 problems by their lines. Then the rooms are added to the database, which is created if it is
missing, read back and compared with the file. After a cut, run the same command again: it goes on
where it was, and no server starts on the database until then. docs/moving.md describes the lines.

Examples:
  ondol import chat.jsonl --dry-run
  ondol import chat.jsonl --data /var/lib/ondol";

const INSTEAD: &str = "this command writes to a file";

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.data.file_config(INSTEAD)?;
        let (database, rules) = (config.database_file(), Rules::new(&config.limits));
        let began = Instant::now();
        private_files();
        let (path, file) = (self.file.display().to_string(), self.file.clone());
        if self.dry_run {
            let checked =
                until_signal(move |stop| check_file(&file, &database, &rules, &mut Watcher::new(stop, reporter())))??;
            print_problems(&checked.problems);
            let verdict = match checked.problems.count() {
                0 => "fine".to_owned(),
                count => counted(count, "problem"),
            };
            let seconds = began.elapsed().as_secs_f64();
            println!("{path}: {verdict}, {}; nothing was written; took {seconds:.1} s", held(&checked));
            return Ok(if checked.problems.count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if self.file.exists() {
            data_directory(&config.data)?;
        }
        let done =
            until_signal(move |stop| import_file(&file, &database, &rules, &mut Watcher::new(stop, reporter())))?;
        let done = match done {
            Err(ImportError::Problems(problems)) => {
                print_problems(&problems);
                println!("{path}: {}; nothing was imported", counted(problems.count(), "problem"));
                return Ok(ExitCode::FAILURE);
            }
            done => done?,
        };
        let seconds = began.elapsed().as_secs_f64();
        let Some(sha256) = done.sha256 else {
            println!("{path}: imported already, {}; nothing was written; took {seconds:.1} s", held(&done.checked));
            return Ok(ExitCode::SUCCESS);
        };
        let continued = match done.continued {
            0 => String::new(),
            count => format!(" ({count} of them by an earlier run)"),
        };
        println!(
            "{path}: imported, {}{continued}; the digests agree: {sha256}; took {seconds:.1} s",
            held(&done.checked)
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// What a file holds, for people.
fn held(checked: &Checked) -> String {
    let held = format!("{}, {}", counted(checked.rooms, "room"), counted(checked.messages, "message"));
    match checked.lost_parents {
        0 => held,
        1 => format!("{held}, 1 reply to a message that is not there"),
        count => format!("{held}, {count} replies to messages that are not there"),
    }
}

fn print_problems(problems: &Problems) {
    let mut shown = 0;
    for problem in problems.shown() {
        println!("wrong  {problem}");
        shown += 1;
    }
    if problems.count() > shown {
        println!("wrong  … and {} more", problems.count() - shown);
    }
}

/// Shows each step of long work.
pub(super) fn reporter() -> ReportStep {
    let mut current: Option<(&'static str, Progress)> = None;
    Box::new(move |step, done, total| {
        if current.as_ref().is_none_or(|(shown, _)| *shown != step) {
            // The one before ends first: both write to the same place.
            current = None;
            current = Some((step, Progress::new(step)));
        }
        if let Some((_, progress)) = &current {
            progress.report()(done, total);
        }
    })
}
