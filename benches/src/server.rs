//! The servers that are compared: how each is started, where it listens, and how it ends. Knows nothing of loads.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificate::Files;
use crate::connection::Address;
use crate::message::Room;
use crate::scrape;
use crate::wire;

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: Address,
    /// Where Ondol's admin API listens.
    pub(crate) admin: Option<Address>,
    pub(crate) pid: u32,
    /// The plain server creates no rooms; any new number is a new room.
    last_room: u64,
    process: Process,
    directory: TempDir,
}

struct Process(Child);

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
    /// The certificate, to serve over TLS.
    pub(crate) tls: Option<Files>,
    /// Whether its metrics are scraped while it runs.
    pub(crate) scrape: bool,
}

impl Setup {
    /// The same with a copy of the handlers, to be replaced by others.
    pub(crate) fn with_copied_handlers(self) -> anyhow::Result<(Self, TempDir)> {
        let copy = scratch(&self.scratch)?;
        for name in ["rooms.wasm", "messages.wasm", "events.wasm"] {
            let file = self.handlers.join(name);
            std::fs::copy(&file, copy.path().join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok((Self { handlers: copy.path().to_owned(), ..self }, copy))
    }
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
            // Not within a day: clients whose server is not being measured answer no pings.
            .args(["--limit", "ping_interval_ms=86400000"])
            .args(raised_rates(&setup.binary)?)
            .arg("--data")
            .arg(directory.path())
            .arg("--handlers")
            .arg(&setup.handlers);
        if let Some(Files { certificate, key }) = &setup.tls {
            command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        }
        let server = start(setup.name, command, directory)?;
        if let Some(admin) = server.admin.filter(|_| setup.scrape) {
            scrape::beside(admin);
        }
        Ok(server)
    }

    /// Starts the plain server.
    pub(crate) fn plain(setup: &Setup) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("plain");
        if let Some(Files { certificate, key }) = &setup.tls {
            command.arg("--tls").args([certificate, key]);
        }
        start("plain", command, scratch(&setup.scratch)?)
    }

    pub(crate) fn new_rooms(&mut self, count: usize) -> anyhow::Result<Vec<Room>> {
        let new_room = |_| {
            self.last_room += 1;
            if self.admin.is_some() {
                let room = wire::request(self.address, "POST /chat/v1/create-room/", r#"{"name":"benchmark"}"#)?;
                self.last_room = room.get("id").and_then(serde_json::Value::as_u64).context("the room has no id")?;
            }
            Ok(Room { id: self.last_room, last_seq: 0 })
        };
        (0..count).map(new_room).collect()
    }

    /// Which server failed, and the end of its log.
    pub(crate) fn failed(&self) -> String {
        const LINES: usize = 12;
        let log = std::fs::read_to_string(log_file(self.directory.path())).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n    ");
        format!("{} failed; the end of its log:\n    {end}\n", self.name)
    }

    /// Ends the server and gives its directory, to start another one there.
    pub(crate) fn end(self) -> TempDir {
        drop(self.process);
        self.directory
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// The flags that raise the rate limits of a build: its clients send as much as they can, and what counting costs is measured.
/// An older build has no such limits.
fn raised_rates(binary: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new(binary).args(["check", "--limits"]).output()?;
    let table = String::from_utf8(output.stdout)?;
    let names = table.split('`').filter(|name| name.ends_with("_per_min") || name.ends_with("_burst"));
    Ok(names.flat_map(|name| ["--limit".to_owned(), format!("{name}=1000000000")]).collect())
}

/// Starts a process and waits for the line that says where it listens.
fn start(name: &'static str, mut command: Command, directory: TempDir) -> anyhow::Result<Server> {
    let log = log_file(directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?);
    let program = command.get_program().display().to_string();
    let child = command.spawn().with_context(|| format!("cannot start {name} ({program}): has it been built?"))?;
    let (pid, mut process) = (child.id(), Process(child));
    let mut lines = BufReader::new(process.0.stdout.take().context("no output")?).lines();
    let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("listening on "));
    let line = line.with_context(|| format!("{name} ended:\n{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
    let address = address_after(&line, "listening on ").with_context(|| format!("no address in {line}"))?;
    // Further output must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let admin = address_after(&line, "admin=");
    Ok(Server { name, address, admin, pid, last_room: 0, process, directory })
}

/// The address in a line such as `… listening on http://127.0.0.1:8000 … admin=http://127.0.0.1:8001`.
fn address_after(line: &str, key: &str) -> Option<Address> {
    let (_, after) = line.split_once(key)?;
    let (scheme, address) = after.split_whitespace().next()?.split_once("://")?;
    Some(Address { socket: address.parse().ok()?, tls: scheme == "https" })
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("bench-stderr.log")
}

/// A new directory in `parent`, which is created if it is missing.
pub(crate) fn scratch(parent: &Path) -> anyhow::Result<TempDir> {
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    TempDir::with_prefix_in("bench-", parent).with_context(|| format!("cannot write to {}", parent.display()))
}
