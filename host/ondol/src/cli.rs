//! The command line: the table of commands and the exit codes. Each command has its own file.

mod admin_flags;
mod backup;
mod call;
mod check;
mod cluster;
mod compile;
mod compose;
mod config;
mod database;
mod dev;
mod export;
mod generate;
mod handlers;
mod health;
mod import;
mod inspect;
mod interrupt;
mod messages;
mod migrate;
mod new;
mod progress;
mod replay;
mod restore;
mod serve;
mod shared;
mod test;
mod token;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::shared::Misuse;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "ondol",
    version,
    about = "Real-time chat server whose logic is three WebAssembly components, replaceable while sockets stay open",
    after_help = EXAMPLES,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ondol serve --handlers target/handlers
  ondol config init ondol.toml
  ondol check --config ondol.toml
  ondol new my-rooms --world rooms
  ondol dev my-rooms
  ondol inspect my-events.wasm
  ondol call my-rooms.wasm rooms.create '{\"name\": \"안녕\"}'
  ondol test my-messages.wasm --cases cases.toml
  ondol replay my-events.wasm --data ondol-data
  ondol handlers deploy events=my-events.wasm --admin 127.0.0.1:8001
  ondol backup /backup/ondol.db --data ondol-data

Every setting can also be given in a TOML file (--config) or in the environment (ONDOL_LISTEN,
ONDOL_FRAME_BYTES_MAX, …). A flag overrides the environment, which overrides the file.

Run `ondol COMMAND --help` for the flags of a command.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Manage a running server's handlers: list, deploy, roll back
    Handlers(handlers::Handlers),
    /// Ask a running server whether it is ready
    Health(health::Health),
    /// Delete messages in a running server
    Messages(messages::Messages),
    /// Look at the hosts of a chat, and drain one of them
    Cluster(cluster::Cluster),
    /// Check the configuration and the handlers without serving
    Check(check::Check),
    /// Create a handler that builds at once
    New(new::New),
    /// Build, check and deploy a handler at each save
    Dev(dev::Dev),
    /// Show what a component exports and imports, and which worlds it fits
    Inspect(inspect::Inspect),
    /// Call one function of a handler in the server's sandbox
    Call(call::Call),
    /// Run a handler against a table of test cases
    Test(test::Test),
    /// Make one messages handler of middleware and the handler behind it
    Compose(compose::Compose),
    /// Compare a handler's answers with the active version's on stored data
    Replay(replay::Replay),
    /// Make a token or an assertion for trying out identities
    Token(token::Token),
    /// Copy the database to a file, while the server runs
    Backup(backup::Backup),
    /// Put a backup in the place of the database
    Restore(restore::Restore),
    /// Check the database, or a backup of it
    Verify(verify::Verify),
    /// Write rooms and messages to a file of JSON lines, while the server runs
    Export(export::Export),
    /// Read rooms and messages from a file of JSON lines
    Import(import::Import),
    /// Move the database from its file into PostgreSQL
    Migrate(migrate::Migrate),
    /// Write a configuration file, or show what is in force
    Config(config::Config),
    /// Print completions for a shell
    Completions(generate::Completions),
    /// Write a manual page for each command
    Man(generate::Man),
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// The exit status of a usage error, as clap has it.
const USAGE: u8 = 2;

/// Parses the command line, runs the command, and returns its exit status: 0 success, 1 failure, 2 usage error.
#[must_use]
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    // Rust ignores SIGPIPE, so `ondol inspect … | head` would panic. A server must keep ignoring it: the reader of its
    // log may go away.
    if !matches!(command, Command::Serve(_) | Command::Dev(_) | Command::Compile(_)) {
        sigpipe::reset();
    }
    let done = match command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Handlers(handlers) => handlers.run(),
        Command::Health(health) => health.run(),
        Command::Messages(messages) => messages.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::New(new) => new.run(),
        Command::Dev(dev) => dev.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Call(call) => call.run(),
        Command::Test(test) => test.run(),
        Command::Compose(compose) => compose.run(),
        Command::Replay(replay) => replay.run(),
        Command::Token(token) => token.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Verify(verify) => verify.run(),
        Command::Export(export) => export.run(),
        Command::Import(import) => import.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Config(config) => config.run(),
        Command::Completions(completions) => Ok(completions.run()),
        Command::Man(man) => man.run(),
        Command::Compile(compile) => compile.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("ondol: {error:#}");
        let misused = error.downcast_ref::<Misuse>().is_some() || error.is::<crate::config::ConfigError>();
        ExitCode::from(if misused { USAGE } else { 1 })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
