//! What a supervisor such as systemd tells this process by its environment: sd_notify(3), sd_watchdog_enabled(3) and
//! sd_listen_fds(3). Knows names and numbers, and opens nothing.

use std::env;
use std::ffi::OsString;
use std::process;
use std::time::Duration;

use super::error::{ConfigError, Origin, Problem};

/// The name that a socket has when the supervisor gives none.
const UNNAMED: &str = "unknown";

/// A supervisor, as this process sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Supervisor {
    /// The address that wants to hear of the process: a path, or `@` and a name.
    pub notify: Option<OsString>,
    /// How often it wants to hear at least that the process works.
    pub watchdog: Option<Duration>,
    /// The names of the sockets that it passes, from descriptor 3 on.
    pub sockets: Vec<String>,
}

impl Supervisor {
    /// That of this process.
    ///
    /// # Errors
    ///
    /// When a variable has no meaning.
    pub fn of_process() -> Result<Self, ConfigError> {
        Self::read(process::id(), |name| env::var_os(name)).map_err(|problem| ConfigError(vec![problem]))
    }

    /// Reads `variable`. Those that are meant for a process with another id than `pid` do not count.
    fn read(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Problem> {
        let number = |name: &str| -> Result<Option<u64>, Problem> {
            let Some(text) = variable(name) else { return Ok(None) };
            let number = text.to_str().and_then(|text| text.parse().ok());
            number.map(Some).ok_or_else(|| malformed(name, "expected a whole number".to_owned()))
        };
        let is_own = |named: Option<u64>| named == Some(u64::from(pid));
        let watched = number("WATCHDOG_PID")?;
        let watchdog = number("WATCHDOG_USEC")?.filter(|_| watched.is_none() || is_own(watched));
        let count = number("LISTEN_FDS")?.filter(|_| is_own(number("LISTEN_PID").ok().flatten())).unwrap_or_default();
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<String> = match names.to_string_lossy().as_ref() {
            "" => Vec::new(),
            names => names.split(':').map(str::to_owned).collect(),
        };
        let given = names.len() as u64;
        let sockets = match count {
            0 => Vec::new(),
            count if count == given => names,
            1 if given == 0 => vec![UNNAMED.to_owned()],
            count => {
                return Err(malformed("LISTEN_FDNAMES", format!("{given} names for LISTEN_FDS = {count} sockets")));
            }
        };
        let notify = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let watchdog = watchdog.filter(|usec| *usec > 0).map(Duration::from_micros);
        Ok(Self { notify, watchdog, sockets })
    }
}

fn malformed(name: &str, why: String) -> Problem {
    Problem::Malformed { origin: Origin::Environment(name.to_owned()), why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Supervisor, String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Supervisor::read(7, variable).map_err(|problem| problem.to_string())
    }

    #[test]
    fn without_a_supervisor_there_is_nothing() {
        assert_eq!(read(&[]), Ok(Supervisor::default()));
    }

    #[test]
    fn what_is_meant_for_another_process_does_not_count() {
        let others = [("LISTEN_PID", "8"), ("LISTEN_FDS", "1"), ("WATCHDOG_PID", "8"), ("WATCHDOG_USEC", "1000")];
        assert_eq!(read(&others), Ok(Supervisor::default()));
        assert_eq!(read(&[("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "public")]), Ok(Supervisor::default()));
    }

    #[test]
    fn sockets_have_names_and_the_watchdog_a_time() {
        let sockets = [("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "public:admin")];
        assert_eq!(read(&sockets).unwrap().sockets, ["public", "admin"]);
        assert_eq!(read(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "1")]).unwrap().sockets, ["unknown"]);
        assert_eq!(read(&[("WATCHDOG_USEC", "2000")]).unwrap().watchdog, Some(Duration::from_millis(2)));
        assert_eq!(read(&[("WATCHDOG_USEC", "0")]).unwrap().watchdog, None);
    }

    #[test]
    fn a_variable_without_meaning_is_named() {
        let few = [("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "public")];
        let error = "environment variable LISTEN_FDNAMES: 1 names for LISTEN_FDS = 2 sockets";
        assert_eq!(read(&few), Err(error.to_owned()));
        assert_eq!(
            read(&[("WATCHDOG_USEC", "soon")]),
            Err("environment variable WATCHDOG_USEC: expected a whole number".to_owned())
        );
    }
}
