//! The runtime's worker threads: handing the tasks of one to another thread before a call blocks it.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// How long a hand-off pauses, so that another thread can take over the worker's tasks.
const HAND_OFF: Duration = Duration::from_micros(300);

/// Lets another thread take over the tasks and sockets of this worker.
///
/// `block_in_place` releases them, and the pause gives another thread the time to start: without it this thread would
/// take them back when it returns. On a blocking thread, on the thread of `block_on`, and on a worker that has handed
/// its tasks off already, it only pauses. On a thread without a runtime, such as the store's, and on a single-threaded
/// runtime it does nothing. It would panic in a `LocalSet`, which the host does not use.
pub fn hand_off() {
    if on_worker() {
        tokio::task::block_in_place(|| std::thread::sleep(HAND_OFF));
    }
}

/// Runs something that blocks for long, after handing off the worker's tasks.
pub fn block<R>(blocking: impl FnOnce() -> R) -> R {
    if on_worker() { tokio::task::block_in_place(blocking) } else { blocking() }
}

fn on_worker() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}
