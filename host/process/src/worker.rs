//! The runtime's worker threads, as far as a call blocks one. Knows nothing of what is done on them.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// How long a hand-off waits, so that a fresh thread can take the worker's tasks over.
const HAND_OFF: Duration = Duration::from_micros(300);

/// Lets another thread take over the tasks that wait for this worker, and the sockets that it looks after.
///
/// On a worker `block_in_place` passes them on, and the pause lets the thread that gets them start: without it this one
/// would take them back on its way out. On a thread for blocking work, on the one that runs `block_on`, or on a worker that
/// has passed its tasks on already, nothing waits and it only pauses. It would panic on a `LocalSet`, of which there is none.
/// Threads of no runtime, such as the store's, and a runtime of a single thread are left alone.
pub fn hand_off() {
    if on_worker() {
        tokio::task::block_in_place(|| std::thread::sleep(HAND_OFF));
    }
}

/// Runs something that blocks for long, after the worker has passed its tasks on.
pub fn block<R>(blocking: impl FnOnce() -> R) -> R {
    if on_worker() { tokio::task::block_in_place(blocking) } else { blocking() }
}

fn on_worker() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}
