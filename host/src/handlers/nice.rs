//! Threads that leave most of the CPU time to all others, of this process and of the system. Knows nothing of what they do.

/// How much they give way (`setpriority(2)`): beside a busy thread, such a one gets about a tenth. Not all the way down: it
/// may hold a lock of the process or of the kernel that others wait for, and then has to get on.
const NICENESS: i32 = 10;

/// Lets this thread give way to others, from now on. A system that does not know of it takes the thread as any other.
#[allow(unsafe_code, reason = "no safe crate at hand sets how a thread is scheduled")]
pub(super) fn give_way() {
    // SAFETY: it takes no pointer. On Linux, 0 is the calling thread, and a value that the kernel does not take is an error
    // of the call and changes nothing.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "see above")]
    fn a_thread_gives_way_and_its_parent_does_not() {
        // SAFETY: it takes no pointer.
        let niceness = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = niceness();
        let given_way = std::thread::spawn(move || {
            give_way();
            niceness()
        });
        assert!(given_way.join().is_ok_and(|given_way| given_way >= NICENESS));
        assert_eq!(niceness(), before);
    }
}
