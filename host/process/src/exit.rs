//! Ending the process at once, without a graceful shutdown.

use std::sync::OnceLock;

static LAST: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Registers what [`now`] does last, such as writing out the log. The first call wins.
pub fn before(last: impl Fn() + Send + Sync + 'static) {
    let _ = LAST.set(Box::new(last));
}

/// Ends the process at once with this exit status.
pub fn now(status: i32) -> ! {
    if let Some(last) = LAST.get() {
        last();
    }
    std::process::exit(status)
}
