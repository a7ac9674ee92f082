//! A PostgreSQL server: one that all tests of a process share, each with a database of its own, or one that a test has
//! for itself and may stop.

mod database;
#[cfg(test)]
mod tests;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use self::database::Spare;
pub use self::database::{Database, Held};
use crate::{
    certificate::Certificate,
    guard::{Guard, children, signal_all},
    installed::{self, User, or_skip},
    ports::held_port,
};

/// The role that owns databases. It is no superuser, and needs no password.
const OWNER: &str = "ondol";
/// The role that owns those that take a password.
const OWNER_BY_PASSWORD: &str = "ondol_by_password";
/// Its password. Some of its characters have a meaning in URLs.
const PASSWORD: &str = "p@ss/w0rd:%41 #?";

/// What a test changes of a server of its own.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// With TLS, which clients may use or not: the certificate.
    pub tls: Option<Certificate>,
    /// Another address of this machine where it listens, for all machines of that network.
    pub network: Option<String>,
    /// Further settings, such as `("fsync", "off")`.
    pub other: Vec<(String, String)>,
}

/// How a server is stopped. See pg_ctl(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Disconnects all clients, and ends cleanly.
    Fast,
    /// Ends at once; the next start recovers.
    Immediate,
    /// SIGKILL of its first process; the others notice and end.
    Kill,
}

/// A PostgreSQL server, on a port that a restart keeps.
#[derive(Debug)]
pub struct Postgres {
    guard: Guard,
    client: Client,
    spare: Arc<Spare>,
}

/// What it takes to send SQL to a server.
#[derive(Debug, Clone)]
struct Client {
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Whether it is installed. If not, the test is named as skipped.
    ///
    /// # Errors
    /// When it is not installed under CI.
    pub fn is_installed() -> Result<bool> {
        Ok(or_skip(installed::postgres(), "PostgreSQL")?.is_some())
    }

    /// A new, empty database in the server that all tests of this process share. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn of_tests() -> Result<Option<Database>> {
        shared()?.map(|server| server.database()).transpose()
    }

    /// The same with this SQL run in it, by the owner of the database.
    ///
    /// # Errors
    /// When the server does not start or refuses the SQL, or is not installed under CI.
    pub fn of_tests_with(sql: &str) -> Result<Option<Database>> {
        shared()?.map(|server| server.database_with(sql)).transpose()
    }

    /// Like [`Postgres::of_tests`], owned by a role that takes a password: [`Database::password`].
    ///
    /// # Errors
    /// When the server does not start, or is not installed under CI.
    pub fn of_tests_by_password() -> Result<Option<Database>> {
        shared()?.map(|server| server.database_by_password()).transpose()
    }

    /// Starts a server for one test. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn start() -> Result<Option<Self>> {
        Self::start_with(&Settings::default())
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn start_with(settings: &Settings) -> Result<Option<Self>> {
        let Some(programs) = or_skip(installed::postgres(), "PostgreSQL")? else { return Ok(None) };
        let (directory, user) = (TempDir::with_prefix("ondol-postgres-")?, User::instead_of_root()?);
        // The files of the server take some seconds.
        let (port, held) = held_port();
        let client = Client { programs, port };
        if let Some(certificate) = &settings.tls {
            certificate.place(directory.path())?;
            fs::set_permissions(directory.path().join("server.key"), fs::Permissions::from_mode(0o600))?;
        }
        if let Some(user) = user {
            for path in fs::read_dir(directory.path())?.flatten().map(|entry| entry.path()) {
                chown(path, Some(user.user), Some(user.group))?;
            }
            chown(directory.path(), Some(user.user), Some(user.group))?;
        }
        initialise(&client, user, directory.path(), settings)?;
        let command = command(&client, user, directory.path(), settings);
        let guard = Guard::new(directory, "QUIT", &command)?;
        drop(held);
        let mut server = Self { guard, client, spare: Arc::default() };
        server.start_again()?;
        server.client.sql("postgres", "postgres", &format!("CREATE ROLE {OWNER} LOGIN"))?;
        let by_password = format!("CREATE ROLE {OWNER_BY_PASSWORD} LOGIN PASSWORD '{PASSWORD}'");
        server.client.sql("postgres", "postgres", &by_password)?;
        Ok(Some(server))
    }

    /// An empty database.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database(&self) -> Result<Database> {
        Database::of(&self.client, &self.spare, OWNER)
    }

    /// A database with this SQL run in it, by its owner.
    ///
    /// # Errors
    /// When the server refuses the SQL, or does not answer.
    pub fn database_with(&self, sql: &str) -> Result<Database> {
        let database = self.database()?;
        database.sql_by_owner(sql)?;
        Ok(database)
    }

    /// An empty database, owned by a role that takes a password: [`Database::password`].
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn database_by_password(&self) -> Result<Database> {
        Database::of(&self.client, &self.spare, OWNER_BY_PASSWORD)
    }

    /// Starts it again, on the same port and data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let file = self.guard.directory().join("data/postmaster.pid");
        // As pg_ctl waits: the first line tells the process, the last one its state.
        self.guard.start(|pid| {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let first = text.lines().next().and_then(|line| line.trim().parse().ok());
            first == Some(pid.as_raw_nonzero().get()) && text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        })
    }

    /// Stops it, and waits for the end of all its processes.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
            Stop::Kill => Signal::KILL,
        };
        let backends = children(self.guard.engine()?)?;
        self.guard.end(signal)?;
        // After SIGKILL, the server starts again only when they have noticed.
        let since = std::time::Instant::now();
        while backends.iter().any(|pid| rustix::process::test_kill_process(*pid).is_ok()) {
            ensure!(since.elapsed() < crate::guard::DEADLINE, "a process of PostgreSQL does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    /// Freezes it: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        let first = self.guard.engine()?;
        // First the one that starts the others.
        signal_all(&[first], Signal::STOP);
        signal_all(&children(first)?, Signal::STOP);
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        let first = self.guard.engine()?;
        signal_all(&children(first)?, Signal::CONT);
        signal_all(&[first], Signal::CONT);
        Ok(())
    }

    /// Its first process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.guard.engine()?.as_raw_nonzero().get().unsigned_abs())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client.port)
    }

    /// The file of the authority that a client has to trust, for a server with TLS.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.guard.directory().join("ca.pem")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log()
    }
}

/// The server that all tests of this process share. It ends with the process.
fn shared() -> Result<Option<&'static Postgres>> {
    static SHARED: OnceLock<Result<Option<Postgres>, String>> = OnceLock::new();
    let server = SHARED.get_or_init(|| Postgres::start().map_err(|error| format!("{error:#}")));
    match server {
        // The name of this test, too, is told.
        Ok(None) => or_skip(None, "PostgreSQL"),
        Ok(server) => Ok(server.as_ref()),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    }
}

/// Creates the files of a server.
fn initialise(client: &Client, user: Option<User>, directory: &Path, settings: &Settings) -> Result<()> {
    let words = user.map(User::words).into_iter().flatten();
    let mut words = words.chain([client.program("initdb")]);
    let mut command = Command::new(words.next().context("no command")?);
    command.args(words).args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]);
    command.args(["--no-sync", "--no-instructions", "--pgdata"]).arg(directory.join("data"));
    let output = command.current_dir(directory).stdin(Stdio::null()).output().context("initdb does not start")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let network = settings.network.as_ref().map(|_| "host all all samenet trust\n").unwrap_or_default();
    let rules = format!(
        "host all {OWNER_BY_PASSWORD} 127.0.0.1/32 scram-sha-256\n\
         host all all 127.0.0.1/32 trust\n{network}"
    );
    Ok(fs::write(directory.join("data/pg_hba.conf"), rules)?)
}

/// The command line of a server.
fn command(client: &Client, user: Option<User>, directory: &Path, settings: &Settings) -> Vec<String> {
    let mut command: Vec<String> = user.map(User::words).into_iter().flatten().collect();
    command.extend([client.program("postgres"), "-D".into(), directory.join("data").display().to_string()]);
    let mut set = |name: &str, value: &str| command.extend(["-c".into(), format!("{name}={value}")]);
    let network = settings.network.as_ref().map(|address| format!(",{address}")).unwrap_or_default();
    set("listen_addresses", &format!("127.0.0.1{network}"));
    set("port", &client.port.to_string());
    set("unix_socket_directories", "");
    // Durable, as the ones that matter are; small, and with connections for many tests at once.
    set("fsync", "on");
    set("synchronous_commit", "on");
    set("shared_buffers", "64MB");
    set("max_connections", "300");
    if settings.tls.is_some() {
        set("ssl", "on");
        set("ssl_cert_file", &directory.join("server.pem").display().to_string());
        set("ssl_key_file", &directory.join("server.key").display().to_string());
    }
    for (name, value) in &settings.other {
        set(name, value);
    }
    command
}
