//! The servers that are compared: how each is started, where it listens, and how it ends. Knows nothing of loads.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cli::Durability;
use crate::wire;

/// How long a server may take to end before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// A server that runs.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// Those that create no rooms take any number: the next one.
    next_room: u64,
    started: Option<Started>,
}

/// What belongs to a server that we started ourselves. Ends with it.
struct Started {
    child: Child,
    log: PathBuf,
    directory: TempDir,
}

/// Where Ondol is, and how it is to be run.
#[derive(Clone)]
pub(crate) struct OndolSetup {
    /// What the tables call it.
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    pub(crate) handlers: PathBuf,
    pub(crate) synchronous: Durability,
    /// Where the database is put: on the disk that is to be measured.
    pub(crate) scratch: PathBuf,
    /// More flags of `serve`, that this binary knows.
    pub(crate) flags: Vec<String>,
}

/// A server that somebody else runs: `NAME=HOST:PORT:PID`.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    name: String,
    address: SocketAddr,
    pid: u32,
}

impl Server {
    /// Starts Ondol with an empty database.
    pub(crate) fn ondol(setup: &OndolSetup) -> anyhow::Result<Self> {
        let directory = scratch(&setup.scratch)?;
        Self::ondol_at(setup, directory, &setup.handlers)
    }

    /// Starts Ondol in a directory that may hold a database, and cached handlers, already.
    pub(crate) fn ondol_at(setup: &OndolSetup, directory: TempDir, handlers: &Path) -> anyhow::Result<Self> {
        Self::ondol_with(setup, directory, handlers, &[])
    }

    /// The same with more flags.
    pub(crate) fn ondol_with(
        setup: &OndolSetup,
        directory: TempDir,
        handlers: &Path,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(&setup.binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--synchronous", setup.synchronous.name()])
            .arg("--data")
            .arg(directory.path())
            .arg("--handlers")
            .arg(handlers)
            .args(&setup.flags)
            .args(flags);
        start(&setup.name, command, directory)
    }

    /// Starts the plain server.
    pub(crate) fn plain(setup: &OndolSetup) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["plain", "--listen", "127.0.0.1:0"]);
        start("plain", command, scratch(&setup.scratch)?)
    }

    /// Takes a server as it runs.
    pub(crate) fn elsewhere(server: &Elsewhere) -> Self {
        // A run before this one may have used the first numbers.
        let since_1970 = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        let Elsewhere { name, address, pid } = server.clone();
        Self { name, address, pid, next_room: since_1970, started: None }
    }

    /// A room that nobody has been in: created where the server creates rooms, a new number where it takes any.
    pub(crate) fn new_room(&mut self) -> anyhow::Result<u64> {
        if self.name != "plain" {
            let created = wire::post(self.address, "/chat/v1/create-room/", r#"{"name":"benchmark"}"#);
            if let Ok((200 | 201, room)) = &created {
                let room: serde_json::Value = serde_json::from_str(room).context("the room is no JSON")?;
                return room.get("id").and_then(serde_json::Value::as_u64).context("the room has no id");
            }
            if self.started.is_some() {
                let (status, answer) = created?;
                bail!("{} creates no room: {status} {answer}", self.name);
            }
        }
        self.next_room += 1;
        Ok(self.next_room)
    }

    pub(crate) fn new_rooms(&mut self, count: usize) -> anyhow::Result<Vec<u64>> {
        (0..count).map(|_| self.new_room()).collect()
    }

    /// Where a server that we started keeps its data.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.started.as_ref().map(|started| started.directory.path())
    }

    /// What a server that we started has logged; empty for others.
    pub(crate) fn log(&self) -> String {
        let log = self.started.as_ref().and_then(|started| std::fs::read_to_string(&started.log).ok());
        log.unwrap_or_default()
    }

    /// What a server that we started logs from its start on, a piece at a time.
    pub(crate) fn follow_log(&self) -> anyhow::Result<Log> {
        let started = self.started.as_ref().context("the server is not ours")?;
        Ok(Log { file: std::fs::File::open(&started.log)?, carry: String::new() })
    }

    /// Ends a server that we started and gives back its directory, to start another one there.
    pub(crate) fn end(mut self) -> anyhow::Result<TempDir> {
        let started = self.started.take().context("the server is not ours to end")?;
        let Started { mut child, directory, .. } = started;
        end_child(&mut child)?;
        Ok(directory)
    }
}

/// A log that is read while it is written.
pub(crate) struct Log {
    file: std::fs::File,
    /// The beginning of a line whose end is not there yet.
    carry: String,
}

impl Log {
    /// The lines since the last look.
    pub(crate) fn news(&mut self) -> anyhow::Result<String> {
        let mut news = std::mem::take(&mut self.carry).into_bytes();
        self.file.read_to_end(&mut news)?;
        let mut news = String::from_utf8(news).context("the log is no text")?;
        self.carry = news.split_off(news.rfind('\n').map_or(0, |end| end + 1));
        Ok(news)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(started) = &mut self.started {
            let _ = end_child(&mut started.child);
        }
    }
}

/// Starts a process and waits for the line that says where it listens.
fn start(name: &str, mut command: Command, directory: TempDir) -> anyhow::Result<Server> {
    let log = directory.path().join("bench-stderr.log");
    let stderr = std::fs::File::create(&log)?;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().with_context(|| {
            format!("cannot start {name} ({}): has it been built?", command.get_program().display())
        })?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| address_in(&line));
    let Some(address) = address else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("{name} ended before it listened:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    };
    // Whatever else it prints must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let pid = child.id();
    let started = Some(Started { child, log, directory });
    Ok(Server { name: name.to_owned(), address, pid, next_room: 0, started })
}

/// The address in a line such as `… listening on http://127.0.0.1:8000 …`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("listening on ")?;
    after.split_whitespace().next()?.trim_start_matches("http://").parse().ok()
}

/// Asks a process to end, and ends it when it does not.
fn end_child(child: &mut Child) -> anyhow::Result<()> {
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let until = Instant::now() + END_TIME_MAX;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A new directory in `parent`, which is created if need be.
pub(crate) fn scratch(parent: &Path) -> anyhow::Result<TempDir> {
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    TempDir::with_prefix_in("bench-", parent).with_context(|| format!("cannot write to {}", parent.display()))
}

impl FromStr for Elsewhere {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts = || {
            let (name, rest) = text.split_once('=')?;
            let (address, pid) = rest.rsplit_once(':')?;
            Some((name, address, pid.parse().ok()?))
        };
        let (name, address, pid) = parts().with_context(|| format!("{text} is not NAME=HOST:PORT:PID"))?;
        let address = address.to_socket_addrs()?.next().with_context(|| format!("{address} has no address"))?;
        Ok(Self { name: name.to_owned(), address, pid })
    }
}
