//! The figures of this process, as the kernel knows them, under the names that all programs use for them.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The figures of this process. Zero where the kernel does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessFigures {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    pub(super) threads: u64,
    /// Seconds since 1970.
    pub(super) started: f64,
}

impl ProcessFigures {
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            ..Self::of(&stat, &boot)
        }
    }

    /// What `/proc/self/stat` says (proc(5)); `boot` is `/proc/stat`.
    fn of(stat: &str, boot: &str) -> Self {
        // The name of the program may contain spaces and brackets.
        let fields: Vec<&str> =
            stat.rsplit_once(") ").map(|(_, rest)| rest.split_ascii_whitespace().collect()).unwrap_or_default();
        // The first of these is the third of the file.
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        let booted = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        Self {
            cpu_seconds: seconds(field(14) + field(15)),
            threads: field(20),
            started: booted.unwrap_or_default() as f64 + seconds(field(22)),
            virtual_bytes: field(23),
            resident_bytes: field(24) * page_size() as u64,
            ..Self::default()
        }
    }
}

/// The number of open files. Linux has it as the size of the directory from 6.2 on; before, each has to be counted.
fn open_fds() -> u64 {
    match fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len()) {
        // One of them is the directory itself.
        0 => fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64),
        count => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 4096000 300 1844674407 1";
        let figures = ProcessFigures::of(stat, "cpu 1 2 3\nbtime 1700000000\n");
        assert_eq!((figures.threads, figures.virtual_bytes), (9, 4_096_000));
        assert_eq!(figures.resident_bytes, 300 * page_size() as u64);
        assert!((figures.cpu_seconds - 3.0).abs() < 1e-9 && (figures.started - 1_700_000_010.0).abs() < 1e-3);
    }

    #[test]
    fn this_process_is_known() {
        let figures = ProcessFigures::read();
        assert!(figures.resident_bytes > 100_000 && figures.threads > 0 && figures.open_fds > 2, "{figures:?}");
        assert!(figures.max_fds >= figures.open_fds && figures.started > 1e9, "{figures:?}");
    }
}
