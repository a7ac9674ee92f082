//! `ondol completions` and `ondol man`: what shells and `man` read, made of the command line itself.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct Completions {
    /// Shell
    shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  ondol completions bash > /etc/bash_completion.d/ondol
  ondol completions zsh > /usr/local/share/zsh/site-functions/_ondol
  ondol completions fish > ~/.config/fish/completions/ondol.fish";

/// Write a manual page for each command
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(super) struct Man {
    /// Directory for the pages; created if missing
    directory: PathBuf,
}

const MAN_HELP: &str = "\
Example:
  ondol man /usr/local/share/man/man1 && man ondol-serve";

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        let whole = super::Cli::command();
        let visible = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut command = clap::Command::new("ondol").version(env!("CARGO_PKG_VERSION")).subcommands(visible);
        clap_complete::generate(self.shell, &mut command, "ondol", &mut std::io::stdout());
        ExitCode::SUCCESS
    }
}

impl Man {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let directory = self.directory.display();
        std::fs::create_dir_all(&self.directory).with_context(|| format!("cannot create {directory}"))?;
        clap_mangen::generate_to(super::Cli::command(), &self.directory)
            .with_context(|| format!("cannot write the pages to {directory}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
