//! The end of the process before its time.

/// Ends the process at once.
pub fn now(status: i32) -> ! {
    std::process::exit(status)
}
