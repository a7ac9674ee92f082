//! The servers that are compared: how each is started, where it listens, and how it ends. Knows nothing of loads.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::checker::Room;
use crate::wire;

/// How long a server may take to end before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Where Ondol's admin API listens.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) pid: u32,
    /// The plain server creates no rooms and takes any number: the next one.
    next_room: u64,
    child: Child,
    directory: Option<TempDir>,
}

/// How to start Ondol.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Its name in the tables.
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) handlers: PathBuf,
    pub(crate) synchronous: String,
    /// Where the database is put: on the disk that is to be measured.
    pub(crate) scratch: PathBuf,
}

impl Server {
    /// Starts Ondol with an empty database.
    pub(crate) fn ondol(setup: &Setup) -> anyhow::Result<Self> {
        Self::ondol_in(setup, scratch(&setup.scratch)?)
    }

    /// Starts Ondol in a directory that may already hold a database and compiled handlers.
    pub(crate) fn ondol_in(setup: &Setup, directory: TempDir) -> anyhow::Result<Self> {
        let mut command = Command::new(&setup.binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--synchronous", &setup.synchronous])
            .arg("--data")
            .arg(directory.path())
            .arg("--handlers")
            .arg(&setup.handlers);
        start(setup.name, command, directory)
    }

    /// Starts the plain server.
    pub(crate) fn plain(setup: &Setup) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["plain", "--listen", "127.0.0.1:0"]);
        start("plain", command, scratch(&setup.scratch)?)
    }

    /// New rooms.
    pub(crate) fn new_rooms(&mut self, count: usize) -> anyhow::Result<Vec<Room>> {
        (0..count).map(|_| Ok(Room { id: self.new_room()?, last_seq: 0 })).collect()
    }

    fn new_room(&mut self) -> anyhow::Result<u64> {
        if self.admin.is_none() {
            self.next_room += 1;
            return Ok(self.next_room);
        }
        let room = wire::request(self.address, "POST /chat/v1/create-room/", r#"{"name":"benchmark"}"#)?;
        room.get("id").and_then(serde_json::Value::as_u64).context("the room has no id")
    }

    /// Which server failed, and the end of its log.
    pub(crate) fn failed(&self) -> String {
        const LINES: usize = 12;
        let log = self.directory.as_ref().map(|directory| std::fs::read_to_string(log_file(directory.path())));
        let log = log.and_then(Result::ok).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n    ");
        format!("{} failed; the end of its log:\n    {end}\n", self.name)
    }

    /// Ends the server and gives its directory, to start another one there.
    pub(crate) fn end(mut self) -> anyhow::Result<TempDir> {
        self.stop()?;
        self.directory.take().context("a server without a directory")
    }

    /// Asks the process to end, and kills it if it does not.
    fn stop(&mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let until = Instant::now() + END_TIME_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.directory.is_some() {
            let _ = self.stop();
        }
    }
}

/// Starts a process and waits for the line that says where it listens.
fn start(name: &'static str, mut command: Command, directory: TempDir) -> anyhow::Result<Server> {
    let log = log_file(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?);
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot start {name} ({program}): has it been built?"))?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening on "));
    let address = line.as_deref().and_then(|line| address_after(line, "listening on "));
    let (Some(line), Some(address)) = (line, address) else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("{name} ended before it listened:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    };
    // Further output must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let (admin, pid) = (address_after(&line, "admin="), child.id());
    Ok(Server { name, address, admin, pid, next_room: 0, child, directory: Some(directory) })
}

/// The address in a line such as `… listening on http://127.0.0.1:8000 … admin=http://127.0.0.1:8001`.
fn address_after(line: &str, key: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once(key)?;
    after.split_whitespace().next()?.trim_start_matches("http://").parse().ok()
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("bench-stderr.log")
}

/// A new directory in `parent`, which is created if it is missing.
pub(crate) fn scratch(parent: &Path) -> anyhow::Result<TempDir> {
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    TempDir::with_prefix_in("bench-", parent).with_context(|| format!("cannot write to {}", parent.display()))
}
