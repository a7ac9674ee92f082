//! The runtime's workers, as far as somebody holds one up. Knows nothing of what is done on them.

use std::time::Duration;

/// How long whoever leaves waits, so that a fresh thread can take over.
const HAND_OVER: Duration = Duration::from_micros(300);

/// Lets another thread take over the tasks that wait for this worker, and the sockets that it looks after: until the task that
/// calls this waits for something, it is nobody's business but its own.
///
/// On a worker `block_in_place` passes them on, and the pause lets the thread that gets them start: without it this one
/// would take them back on its way out. On a thread for blocking work, on the one that runs `block_on`, or on a worker that
/// has passed its tasks on already, nothing waits and it only pauses. It would panic on a `LocalSet`, of which there is none.
/// Threads of no runtime, such as the store's, and a runtime of a single thread are left alone.
pub fn leave() {
    let on_worker = tokio::runtime::Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
    if on_worker {
        tokio::task::block_in_place(|| std::thread::sleep(HAND_OVER));
    }
}
