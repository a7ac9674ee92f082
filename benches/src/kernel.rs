//! What else the kernel knows: a process's resident memory, and how many files we may open.

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};

/// KiB of `pid` that are in memory (`VmRSS`).
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .with_context(|| format!("no VmRSS in {path}"))
}

/// Raises the soft limit on open files to the hard one, for this process and those that it starts. A connection is a
/// file here and another one in the server.
pub(crate) fn raise_files_max() -> anyhow::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit on open files")?;
    Ok(limit.current.unwrap_or(u64::MAX))
}
