//! The benchmark: the same load on Ondol and on a plain server, side by side. Knows both only from outside: a port to
//! talk to, and what the kernel says of the process. Only `inside` calls Ondol's own parts, for what cannot be told apart
//! from outside.
//!
//! In reading order: `cli` says what can be asked, `run` puts the servers and the loads together, `shapes` and `load`
//! are the loads, `crowd` their clients, `ear` what each of them checks, `wire` and `echo` the bytes; `plain` is the
//! server that Ondol is compared to. `compare` sets two builds side by side. `hostile` and its `villain` are a benchmark of
//! their own.

mod cli;
mod clock;
mod compare;
mod crowd;
mod durable;
mod ear;
mod echo;
mod flood;
mod flooder;
mod growth;
mod histogram;
mod hostile;
mod idle;
mod inside;
mod join;
mod kernel;
mod limits;
mod load;
mod padded;
mod plain;
mod report;
mod run;
mod server;
mod shapes;
mod share;
mod stamp;
mod start;
mod swap;
mod swaps;
mod villain;
mod wasm;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let done = match cli::Cli::parse().verb {
        cli::Verb::Plain(plain) => plain::main(plain.listen),
        cli::Verb::Run(run) => run::main(&run),
        cli::Verb::Hostile(hostile) => hostile::main(&hostile),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ondol-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
