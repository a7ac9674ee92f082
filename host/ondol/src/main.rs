//! The `ondol` command: hands over to [`ondol::cli`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The committing thread frees a message, and it is seldom the thread that allocated it. glibc's allocator takes a
/// lock for that; jemalloc does not.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    ondol::cli::run()
}
