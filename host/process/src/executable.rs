//! The program of this process.

use std::path::PathBuf;

/// The path of the running executable, to start it again. On Linux it is the same program even after its file was replaced.
#[must_use]
pub fn own_executable() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Some(own) } else { std::env::current_exe().ok() }
}
