//! Facts about a process from the system: its children, its CPU time and its memory. See proc_pid_stat(5).

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

/// The unit of CPU time.
const MS_A_TICK: u64 = 10;

/// The fields of `/proc/PID/stat` after the id and the name: the state, the parent, and so on.
fn stat(pid: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in brackets and may contain any character.
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}

/// The ids of the running processes that `parent` has started.
///
/// # Errors
/// When the processes cannot be listed.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end at any time.
        if stat(pid).is_ok_and(|fields| fields.get(1) == Some(&parent.to_string())) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// The CPU time of a process so far, in milliseconds.
///
/// # Errors
/// When it is gone.
pub fn cpu_ms(pid: u32) -> Result<u64> {
    let fields = stat(pid)?;
    let ticks = |index: usize| -> Result<u64> { Ok(fields.get(index).context("too few fields")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * MS_A_TICK)
}

/// The scheduling policy of a process: 0 is normal, 5 is SCHED_IDLE.
///
/// # Errors
/// When it is gone.
pub fn scheduling_policy(pid: u32) -> Result<u32> {
    Ok(stat(pid)?.get(38).context("too few fields")?.parse()?)
}

/// The command line of a process. Empty once it has ended.
#[must_use]
pub fn command_line(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Sends a signal by its short name.
///
/// # Errors
/// When the process is gone.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status()?;
    ensure!(status.success(), "no process {pid} to send {name} to");
    Ok(())
}

/// A line of `/proc/PID/status` as a number.
///
/// # Errors
/// When the process is gone.
pub fn status(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
