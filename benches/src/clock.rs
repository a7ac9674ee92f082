//! The CPU time of a process, and of this thread, as the kernel counts it. Knows nothing of what they do.
//!
//! `/proc/PID/stat` counts in ticks of 10 ms, and the nanoseconds of `/proc/PID/task/*/schedstat` are gone with their
//! thread; the CPU clock of the process has neither fault, and any process may read it.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// User and system time of all threads of `pid` since it started, those that have ended included.
///
/// Errors when there is no such process.
#[allow(unsafe_code, reason = "no safe crate at hand reads another process's clock")]
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec that only this call writes to. A clock id that the kernel does not know is an
    // error of the call and touches nothing.
    let answer = unsafe { libc::clock_gettime(cpu_clock(pid), &raw mut time) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Ok(Duration::new(seconds, nanos))
}

/// User and system time of this thread since it started.
pub(crate) fn own_thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Linux keeps the pid, inverted, above three bits that say which clock: 2 is the time on the CPU of a whole process.
fn cpu_clock(pid: u32) -> libc::clockid_t {
    (!pid.cast_signed() << 3) | 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_grows_with_work() -> io::Result<()> {
        let before = cpu_time(std::process::id())?;
        while cpu_time(std::process::id())? == before {}
        Ok(())
    }

    #[test]
    fn no_such_process_is_an_error() {
        assert!(cpu_time(u32::from(u16::MAX) * 100).is_err());
    }
}
