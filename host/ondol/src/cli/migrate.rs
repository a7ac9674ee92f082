//! `ondol migrate`: moves the database of a stopped server from its file into PostgreSQL.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Args;

use super::database::DataFlags;
use super::import::reporter;
use super::interrupt::until_signal;
use super::shared::{Misuse, counted, private_files};
use crate::config::{Config, StorePlace};
use ondol_host_store::{Migrated, PostgresUrl, migrate};

/// Move the database from its file into PostgreSQL
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Migrate {
    /// Database to fill, without a password, such as postgres://ondol@db.example.com/ondol
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the password for that database [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    data: DataFlags,
}

const AFTER_HELP: &str = "\
Stop the server first, and run this as its user or as root. The database in PostgreSQL has to be
empty. The file is checked and copied, both databases are read and compared message by message, and
then all of it becomes visible at once: rooms, messages, the record of deletions, handlers and
releases. Clients resume as after a restart. The file stays as it is. After an error, a cut or a
kill PostgreSQL is as it was: run the same command again. docs/postgres.md has the steps.

Examples:
  ondol migrate --to postgres://ondol@db.example.com/ondol --data /var/lib/ondol
  ondol migrate --to 'postgres://ondol@db-1,db-2/ondol?sslmode=require' --password-file /etc/ondol/store-password";

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Some(url) = PostgresUrl::parse(&self.to) else {
            let expected =
                "the URL of a PostgreSQL database without a password (the password goes into --password-file)";
            return Err(
                Misuse(format!("--to expects {expected}, such as postgres://ondol@db.example.com/ondol")).into()
            );
        };
        let config = self.data.config()?;
        let file = config.database_file();
        let password_file = self.password_file.or_else(|| config.store_password_file.clone());
        let config = Config { store: Some(url), store_password_file: password_file, ..config };
        let StorePlace::Postgres(place) = config.store_place()? else { bail!("--to is no database of PostgreSQL") };
        let began = Instant::now();
        private_files();
        let from = file.clone();
        let moved = until_signal(move |stop| migrate(&from, &place, stop, &mut *reporter()))??;
        let seconds = began.elapsed().as_secs_f64();
        println!("{}: moved, {}; the digests agree; took {seconds:.1} s", config.database_shown(), held(&moved));
        print_remarks(&moved);
        println!("{} is unchanged; do not start a server on it again", file.display());
        println!("next: write this into the configuration, and start the server");
        print!("{}", settings(&config));
        Ok(ExitCode::SUCCESS)
    }
}

fn held(moved: &Migrated) -> String {
    let Migrated { rooms, messages, versions, releases, .. } = *moved;
    let counts = [(rooms, "room"), (messages, "message"), (versions, "version"), (releases, "release")];
    counts.map(|(count, thing)| counted(count, thing)).join(", ")
}

fn print_remarks(moved: &Migrated) {
    if moved.replaced > 0 {
        let replaced = counted(moved.replaced, "character");
        println!("{replaced} U+0000 became U+FFFD: PostgreSQL cannot hold them");
    }
    if moved.has_new_epoch {
        println!("the file may be an older copy, so it got a new epoch: clients read their rooms anew");
    }
}

/// The lines of the configuration that name the database.
fn settings(config: &Config) -> String {
    let quoted = |text: String| toml::Value::String(text).to_string();
    let store = config.store.as_ref().map(|url| format!("store = {}\n", quoted(url.to_string())));
    let password = config.store_password_file.as_ref();
    let password = password.map(|file| format!("store_password_file = {}\n", quoted(file.display().to_string())));
    [store, password].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_lines_of_a_configuration() {
        let store = PostgresUrl::parse("postgres://ondol@db-1/chat");
        let password_file = Some(PathBuf::from("/etc/ondol/the \"password\""));
        let with_password = Config { store: store.clone(), store_password_file: password_file, ..Config::default() };
        assert_eq!(
            settings(&with_password),
            "store = \"postgres://ondol@db-1/chat\"\nstore_password_file = '/etc/ondol/the \"password\"'\n"
        );
        assert_eq!(settings(&Config { store, ..Config::default() }), "store = \"postgres://ondol@db-1/chat\"\n");
    }

    #[test]
    fn what_was_moved_is_counted() {
        let moved = Migrated { rooms: 1, messages: 2, versions: 3, releases: 1, ..Migrated::default() };
        assert_eq!(held(&moved), "1 room, 2 messages, 3 versions, 1 release");
    }
}
