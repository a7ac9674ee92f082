//! The variables by which a supervisor such as systemd speaks to one process, and not to what that starts.

use std::process::Command;

/// See sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3).
const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Keeps these variables from a child process.
pub fn hide_supervisor(command: &mut Command) {
    for name in VARIABLES {
        command.env_remove(name);
    }
}
