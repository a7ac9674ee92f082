//! The end of the process before its time.

use std::sync::OnceLock;

static LAST: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Has something done before the process ends at once, such as writing out the log. Only the first time.
pub fn before(last: impl Fn() + Send + Sync + 'static) {
    let _ = LAST.set(Box::new(last));
}

/// Ends the process at once.
pub fn now(status: i32) -> ! {
    if let Some(last) = LAST.get() {
        last();
    }
    std::process::exit(status)
}
