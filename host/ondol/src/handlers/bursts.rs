//! A process of one thread that works in short bursts, with rests in between, for as long as whoever began it lives. Knows
//! nothing of what it does.
//!
//! CPU time that nobody else wants (`SCHED_IDLE`) is not enough to be out of everybody's way. Linux since 6.6 may give a CPU to
//! an idle thread although another one waits for it, which has had more than its share, and looks again at its next tick only:
//! up to 4 ms later. A commit that waits for the disk a few times was held up so about once in a compilation. A burst bounds it.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process};
use rustix::thread::{Timespec, nanosleep};
use rustix::time::{ClockId, clock_gettime};

const BURST: Duration = Duration::from_micros(150);
const REST: Duration = Duration::from_micros(150);

/// The CPU time of this process at the end of its last rest, in nanoseconds.
static RESTED_AT: AtomicU64 = AtomicU64::new(0);

/// The process that began this one.
static BEGUN_BY: AtomicI32 = AtomicI32::new(0);

/// Works in bursts from now on, until the process ends. For a process that has one thread, and no other use of `SIGALRM`. Where
/// the system has no such timer, it goes on without rests.
#[allow(unsafe_code, reason = "no safe crate at hand sets a handler for a signal that runs within it")]
pub(super) fn begin() {
    BEGUN_BY.store(Pid::as_raw(getppid()), Ordering::Relaxed);
    let rest: extern "C" fn(libc::c_int) = rest;
    // SAFETY: `rest` does what a handler may: it makes system calls, which leave `errno` alone, and touches atomic numbers. It
    // lives as long as the program. Calls that it interrupts are taken up again, as `signal` of glibc and musl sees to.
    unsafe { libc::signal(libc::SIGALRM, rest as libc::sighandler_t) };
    set_alarm();
}

/// At an alarm. Who had no CPU meanwhile has had its rest, and whose work nobody waits for any more ends it.
extern "C" fn rest(_: libc::c_int) {
    if Pid::as_raw(getppid()) != BEGUN_BY.load(Ordering::Relaxed) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
    let worked = cpu_time().saturating_sub(RESTED_AT.load(Ordering::Relaxed));
    if Duration::from_nanos(worked) >= BURST / 2 {
        // One that another signal ends early is short, and the next comes soon.
        let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: REST.subsec_nanos().into() });
        RESTED_AT.store(cpu_time(), Ordering::Relaxed);
    }
    set_alarm();
}

#[allow(unsafe_code, reason = "no safe crate at hand sets such a timer")]
fn set_alarm() {
    let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let burst = libc::timeval { tv_usec: BURST.subsec_micros().into(), ..zero };
    let timer = libc::itimerval { it_interval: zero, it_value: burst };
    // SAFETY: `timer` is a live `itimerval` that the call only reads, and nothing is asked for in return.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// Of this process, in nanoseconds.
fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
