//! `ondol compose`: one messages handler of a handler and the middleware in front of it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::shared::compose_files;

/// Make one messages handler of middleware and the handler behind it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Compose {
    /// Components, the one that receives each frame first at the front; the last is the handler
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    layers: Vec<PathBuf>,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

const AFTER_HELP: &str = "\
Each layer has the name of its file. A setting of a middleware has this name as a prefix, as in
`messages.word-filter.words`; those of the handler keep their names. `deploy`, `call`, `test`,
`check`, `inspect` and `replay` also take FRONT.wasm+BACK.wasm in place of a file.

Example:
  ondol compose word-filter.wasm target/handlers/messages.wasm -o messages.wasm";

impl Compose {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let composed = compose_files(&self.layers, None)?;
        std::fs::write(&self.output, composed).with_context(|| format!("writing {}", self.output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
