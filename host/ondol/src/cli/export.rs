//! `ondol export`: writes rooms and messages to a file, while a server runs or not.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::database::DataFlags;
use super::import::reporter;
use super::interrupt::until_signal;
use super::shared::{counted, private_files};
use crate::moving::{Rules, Watcher, export_to_file, export_to_output};

/// Write rooms and messages to a file of JSON lines, while the server runs
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Export {
    /// File to write, which must not exist, or - for standard output
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
Writes every room, each followed by its messages: all that were stored when the export began. The
server goes on meanwhile. The file is readable by its owner alone, and gets its name when it is
complete and on disk; until then it ends with .partial. After a cut, run the same command again: it
goes on where it was. docs/moving.md describes the lines.

Examples:
  ondol export chat.jsonl
  ondol export chat.jsonl --data /var/lib/ondol
  ondol export - | zstd > chat.jsonl.zst";

const INSTEAD: &str = "this command reads a file; the view room_message has the messages for SQL (docs/postgres.md)";

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.data.file_config(INSTEAD)?;
        let (database, rules) = (config.database_file(), Rules::new(&config.limits));
        let began = Instant::now();
        private_files();
        let to = self.file.clone();
        let done = until_signal(move |stop| {
            let mut watcher = Watcher::new(stop, reporter());
            if to == Path::new("-") {
                export_to_output(&database, std::io::stdout().lock(), &mut watcher)
            } else {
                export_to_file(&database, &to, &rules, &mut watcher)
            }
        })??;
        let continued = match done.continued {
            0 => String::new(),
            count => format!(" ({count} of them by an earlier run)"),
        };
        let (rooms, messages) = (counted(done.rooms, "room"), counted(done.messages, "message"));
        let line = format!(
            "{}: {rooms}, {messages}{continued}, sha256 {}; took {:.1} s",
            self.file.display(),
            done.sha256,
            began.elapsed().as_secs_f64()
        );
        if self.file == Path::new("-") {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
