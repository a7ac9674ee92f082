//! What the kernel knows of a process: its CPU time, its memory, and how many files it may open.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};

/// User and system time of all threads of `pid`, those that have ended included. The process's CPU clock counts
/// nanoseconds; `/proc/PID/stat` counts ticks of 10 ms.
///
/// Errors when there is no such process.
#[allow(unsafe_code, reason = "no safe crate reads the clock of another process")]
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    // Linux keeps the pid, inverted, above three bits that choose the clock: 2 is the CPU time of a whole process.
    let clock: libc::clockid_t = (!pid.cast_signed() << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec that only this call writes to; an unknown clock id makes the call fail.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Ok(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
}

/// KiB of `pid` that are in memory (`VmRSS`).
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .with_context(|| format!("no VmRSS in {path}"))
}

/// Raises the soft limit on open files to the hard one, for this process and its children. A connection is one file
/// here and one in the server.
pub(crate) fn raise_open_files() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit on open files")
}
