//! The `ondol` command: hands over to [`ondol::cli`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A message is freed by whoever committed it, which is seldom the thread that made it: glibc's allocator takes a lock for that,
/// and the others wait for it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    ondol::cli::run()
}
