//! `ondol compile`: what a server asks its own program for, so that compiling has a process of its own. Not for people, so it
//! stands in no help: the code that it writes is good for this very program alone.

use std::process::ExitCode;

use clap::Args;

/// A component comes in, compiled code goes out.
#[derive(Debug, Args)]
pub(super) struct Compile {
    /// The stack of the engine that is to run it, in bytes
    stack_bytes_max: usize,

    /// The memory that it may have, in bytes
    memory_bytes_max: u64,

    /// Use one CPU at a time
    #[arg(long)]
    giving_way: bool,
}

impl Compile {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let answered = ondol_host_handlers::answer_compile(
            self.stack_bytes_max,
            self.memory_bytes_max,
            self.giving_way,
            std::io::stdin(),
            std::io::stdout(),
        );
        // The server's own words stand before this.
        Ok(answered.map_or_else(
            |error| {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ))
    }
}
