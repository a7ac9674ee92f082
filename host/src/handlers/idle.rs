//! Threads that give way to all others, of this process and of the system. Knows nothing of what they do.

/// Lets this thread have CPU time that nobody else wants, from now on: it is interrupted the moment that somebody else does.
/// There is no way back from it without rights that a server should not have. A system that does not know of it takes the
/// thread as any other.
#[allow(unsafe_code, reason = "no safe crate at hand sets how a thread is scheduled")]
pub(super) fn stand_behind() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is a live `sched_param` that the call only reads, 0 is the calling thread, and a policy that the
    // kernel does not take is an error of the call and changes nothing.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "see above")]
    fn a_thread_stands_behind_and_its_parent_does_not() {
        // SAFETY: it takes no pointer.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let behind = std::thread::spawn(move || {
            stand_behind();
            policy()
        });
        assert!(behind.join().is_ok_and(|policy| policy == libc::SCHED_IDLE));
        assert_eq!(policy(), libc::SCHED_OTHER);
    }
}
