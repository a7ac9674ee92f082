//! `ondol backup`: copies the database to a file, while a server runs on it or not.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::database::DataFlags;
use super::interrupt::until_signal;
use super::progress::Progress;
use super::shared::{contents, file_and_size, megabytes, private_files};
use ondol_host_store::{Report, Watch, backup};

/// Copy the database to a file, while the server runs
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Backup {
    /// File to write; it must not exist
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
The copy shows one moment of the database: all messages of each room up to a number, and none after
it. It is one file, complete and on disk when the command ends, and readable by its owner alone. The
server goes on meanwhile; its write-ahead log grows until the copy is made. A failure leaves no
file; a command that is killed leaves one whose name ends with .partial.

Examples:
  ondol backup /backup/ondol-monday.db
  ondol backup today.db --data /var/lib/ondol";

/// What to do about a database in PostgreSQL.
fn instead(database: &str) -> String {
    format!(
        "back it up with `pg_dump --format=custom --file=ondol.dump \"{database}\"`, or with pg_basebackup and the \
         write-ahead log (docs/postgres.md)"
    )
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let database = self.data.file_config_or(instead)?.database_file();
        let began = Instant::now();
        let progress = Progress::new(format!("copying {}", file_and_size(&database)));
        private_files();
        let to = self.file.clone();
        let report: Report = Arc::new(progress.report());
        let done = until_signal(move |stop| backup(&database, &to, &Watch { stop: Arc::clone(stop), report }));
        drop(progress);
        let done = done??;
        println!(
            "{}: {}, {}; took {:.1} s",
            self.file.display(),
            megabytes(done.bytes),
            contents(&done.contents),
            began.elapsed().as_secs_f64()
        );
        Ok(ExitCode::SUCCESS)
    }
}
