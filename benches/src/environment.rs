//! What a table must say beside its figures: the date, the commit and the machine.

use std::process::Command;

/// For example `2026-11-27, commit 1a2b3c4, 2 × AMD EPYC 7543, Linux 6.8.0`.
pub(crate) fn describe() -> String {
    let date = output("date", &["-u", "+%F"]);
    let commit = output("git", &["describe", "--always", "--dirty", "--exclude", "*"]);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let kernel = output("uname", &["-sr"]);
    format!("{date}, commit {commit}, {cpus} × {}, {kernel}", cpu.trim_start_matches([' ', '\t', ':']))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
