//! `ondol restore`: puts a backup in the place of the database.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::database::DataFlags;
use super::interrupt::until_signal;
use super::progress::Progress;
use super::shared::{contents, file_and_size, private_files};
use crate::server::data_directory;
use ondol_host_store::{Report, Watch, restore};

/// Put a backup in the place of the database
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Restore {
    /// Backup to restore: a file of `ondol backup`, of `litestream restore`, or another copy
    file: PathBuf,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
Stop the server first, and run this as its user or as root. The backup is checked before anything
changes. The database from before is kept beside the restored one, as ondol.db.before-restore-TIME;
delete it when you no longer need it. After the next start clients learn that the database went
back, and read its history again.

Examples:
  ondol restore /backup/ondol-monday.db
  ondol restore today.db --data /var/lib/ondol";

const INSTEAD: &str = "restore it with PostgreSQL's own tools, such as pg_restore (docs/postgres.md)";

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let database = self.data.file_config(INSTEAD)?.database_file();
        let began = Instant::now();
        let progress = Progress::new(format!("checking and copying {}", file_and_size(&self.file)));
        private_files();
        if let Some(directory) = database.parent().filter(|_| self.file.exists()) {
            data_directory(directory)?;
        }
        let (from, to) = (self.file.clone(), database.clone());
        let report: Report = Arc::new(progress.report());
        let done = until_signal(move |stop| restore(&from, &to, &Watch { stop: Arc::clone(stop), report }));
        drop(progress);
        let done = done??;
        if let Some(before) = &done.before {
            println!("{}: the database from before", before.display());
        }
        let (path, seconds) = (database.display(), began.elapsed().as_secs_f64());
        println!("{path}: restored, {}; took {seconds:.1} s", contents(&done.contents));
        Ok(ExitCode::SUCCESS)
    }
}
