//! The `ondol` command on a disk that fails as `$TEST_DISK` says. Without the variable nothing fails.

use std::{env, process::ExitCode};

use ondol_tests::disk;

fn main() -> ExitCode {
    let plan = env::var(disk::VARIABLE).unwrap_or_default();
    match plan.parse().and_then(disk::install) {
        Ok(()) => ondol::cli::run(),
        Err(error) => {
            eprintln!("ondol-on-test-disk: {error:#}");
            ExitCode::FAILURE
        }
    }
}
