//! The benchmark: the same load on Ondol and on a plain broadcast server, side by side. It sees both from outside only:
//! a port to talk to, and what the kernel reports about the process.
//!
//! In reading order: `cli` lists the options, `run` calls one measurement after the other (`loads`, `tls`, `growth`,
//! `swap`, `hostile`, `idle`, `start`, `scrape`) and `report` prints what they found. Below them: `shapes` and `driver` define a load,
//! `clients` are its connections (each a `connection`), `message` and `wire` the bytes, `server` starts and ends the servers, and `plain` is
//! the one that Ondol is compared with.

mod certificate;
mod cli;
mod clients;
mod connection;
mod driver;
mod environment;
mod growth;
mod hostile;
mod idle;
mod loads;
mod message;
mod plain;
mod process;
mod progress;
mod report;
mod resume;
mod run;
mod scrape;
mod server;
mod shapes;
mod start;
mod statistics;
mod stopped;
mod swap;
mod tls;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Run(run) => run::main(&run),
        cli::Command::Plain { tls } => plain::main(&tls),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::end();
            eprintln!("ondol-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
