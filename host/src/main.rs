//! The `ondol` command: hands over to [`ondol::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ondol::cli::run()
}
