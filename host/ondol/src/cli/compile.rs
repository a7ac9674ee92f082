//! `ondol compile`: the compiler process that the server starts for each component. Hidden from the help, because its
//! output only suits the very program that started it.

use std::process::ExitCode;

use clap::Args;

/// Compile a component from standard input to standard output
#[derive(Debug, Args)]
pub(super) struct Compile {
    /// Stack size of the engine that will run the code, in bytes
    stack_bytes_max: usize,

    /// Memory that the compiler may use, in bytes
    memory_bytes_max: u64,

    /// Use one CPU at a time
    #[arg(long)]
    giving_way: bool,
}

impl Compile {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let answered = ondol_host_handlers::compile_as_child(
            self.stack_bytes_max,
            self.memory_bytes_max,
            self.giving_way,
            std::io::stdin(),
            std::io::stdout(),
        );
        // The server prefixes this with its own context.
        Ok(answered.map_or_else(
            |error| {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        ))
    }
}
