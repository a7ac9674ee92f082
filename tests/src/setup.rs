//! The setup of a server: its config file, environment and flags, its handlers, and the limits of the system. Knows
//! nothing of running servers.

use std::{
    env,
    fmt::{Display, Write as _},
    fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use ondol_engines::{Database, Postgres, free_address};
use tempfile::TempDir;

use crate::{
    handlers::{self, HANDLERS},
    server::TestServer,
};

/// The limits of a rate.
const RATES: [&str; 7] = [
    "frames_per_connection_per_min",
    "bytes_per_connection_per_min",
    "messages_per_user_per_min",
    "rooms_per_user_per_min",
    "connections_per_address_per_min",
    "requests_per_address_per_min",
    "rejections_per_address_per_min",
];

/// The environment variable that names the store of all servers. A server rejects unknown ones that begin with `ONDOL_`.
pub const STORE: &str = "STORY_STORE";

/// The setup of a server. [`Setup::start`] starts it.
#[derive(Debug, Default)]
pub struct Setup {
    top: String,
    limits: String,
    settings: String,
    handlers: Vec<(String, Option<PathBuf>)>,
    parent: Option<PathBuf>,
    pub(crate) binary: Option<PathBuf>,
    pub(crate) run_by: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) sockets: Vec<(String, OwnedFd)>,
    pub(crate) flags: Vec<String>,
    pub(crate) open_files: Option<u64>,
    pub(crate) listen: Option<String>,
    pub(crate) loses_its_log: bool,
    pub(crate) stalls_its_log: bool,
    on_postgres: bool,
    store: Option<Arc<Database>>,
}

/// The directories of a server, which outlive a restart.
#[derive(Debug)]
pub struct Home {
    root: TempDir,
    database: Option<Arc<Database>>,
}

impl Setup {
    /// A line for the top of the config file, such as `refusal = "close"`.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// A limit, by its name.
    #[must_use]
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        let _ = writeln!(self.limits, "{name} = {value}");
        self
    }

    /// With no limit of a rate, for a story that sends as much as it can.
    #[must_use]
    pub fn without_rate_limits(self) -> Self {
        RATES.iter().fold(self, |setup, rate| setup.limit(rate, 0))
    }

    /// A setting of a handler.
    #[must_use]
    pub fn setting(mut self, handler: &str, key: &str, value: impl Display) -> Self {
        let _ = writeln!(self.settings, "[settings.{handler}]\n{key} = \"{value}\"");
        self
    }

    /// Another component in place of the shipped one.
    #[must_use]
    pub fn handler(mut self, name: &str, file: impl Into<PathBuf>) -> Self {
        self.handlers.push((name.into(), Some(file.into())));
        self
    }

    /// No component for this handler.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.handlers.push((name.into(), None));
        self
    }

    /// Another binary, with the same command line.
    #[must_use]
    pub fn binary(mut self, file: impl Into<PathBuf>) -> Self {
        self.binary = Some(file.into());
        self
    }

    /// Under another command, which has to replace itself with the binary.
    #[must_use]
    pub fn run_by(mut self, words: &[&str]) -> Self {
        self.run_by.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Display) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// A descriptor that it inherits from 3 on, with its name, as a supervisor passes a socket.
    #[must_use]
    pub fn socket(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push((name.into(), socket.into()));
        self
    }

    /// One more word on the command line.
    #[must_use]
    pub fn flag(mut self, word: impl Into<String>) -> Self {
        self.flags.push(word.into());
        self
    }

    /// With the admin API on a port of its own.
    #[must_use]
    pub fn admin(self) -> Self {
        self.flag("--admin").flag("127.0.0.1:0")
    }

    /// The same on a port that a restart keeps.
    #[must_use]
    pub fn admin_on_one_port(self) -> Self {
        self.flag("--admin").flag(free_address())
    }

    /// At an address of the story's choice.
    #[must_use]
    pub fn at(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// The parent of its directories, to use another file system than that of temporary files.
    #[must_use]
    pub fn under(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// The maximum of open files of the process.
    #[must_use]
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// With a standard error that is always full: no line of the log can be written.
    #[must_use]
    pub fn loses_its_log(mut self) -> Self {
        self.loses_its_log = true;
        self
    }

    /// With a standard error that is a pipe without a reader.
    #[must_use]
    pub fn stalls_its_log(mut self) -> Self {
        self.stalls_its_log = true;
        self
    }

    /// With PostgreSQL as its store, in a database of its own. With [`STORE`] set to `postgres`, all servers are.
    #[must_use]
    pub fn on_postgres(mut self) -> Self {
        self.on_postgres = true;
        self
    }

    /// With this database of PostgreSQL as its store, and its password if it takes one.
    #[must_use]
    pub fn on_database(mut self, database: &Arc<Database>) -> Self {
        self.store = Some(Arc::clone(database));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start; with its log.
    pub async fn start(self) -> Result<TestServer> {
        self.start_amid(|_| Ok(())).await
    }

    /// Starts it, and calls `meddling` with its directories during the start.
    ///
    /// # Errors
    /// When it does not start, or `meddling` fails.
    pub async fn start_amid(self, meddling: impl FnOnce(&Home) -> Result<()>) -> Result<TestServer> {
        let home = self.furnish()?;
        TestServer::launch(self, home, meddling).await
    }

    /// Calls `meddling` with its directories, then starts it.
    ///
    /// # Errors
    /// When it does not start, or `meddling` fails.
    pub async fn start_after(self, meddling: impl FnOnce(&Home) -> Result<()>) -> Result<TestServer> {
        let home = self.furnish()?;
        meddling(&home)?;
        TestServer::launch(self, home, |_| Ok(())).await
    }

    /// Writes the directories and the config file.
    fn furnish(&self) -> Result<Home> {
        let parent = self.parent.clone().unwrap_or_else(env::temp_dir);
        let root = TempDir::with_prefix_in("ondol-story-", &parent);
        let root = root.with_context(|| format!("no directory in {}", parent.display()))?;
        let home = Home { root, database: self.database()? };
        if let Some(password) = home.database().and_then(Database::password) {
            fs::write(home.password(), password)?;
            fs::set_permissions(home.password(), fs::Permissions::from_mode(0o600))?;
        }
        fs::create_dir(home.handlers())?;
        for name in HANDLERS {
            let other = self.handlers.iter().find(|(handler, _)| handler == name).map(|(_, file)| file.clone());
            if let Some(file) = other.unwrap_or_else(|| Some(handlers::standard(name))) {
                fs::write(home.handlers().join(format!("{name}.wasm")), handlers::read(&file)?)?;
            }
        }
        // A story that stops its server does not wait for a drain, except those of drains.
        let drain = if self.limits.contains("drain_ms") { "" } else { "drain_ms = 0\n" };
        let config = format!("{}\n[limits]\n{drain}{}\n{}", self.top, self.limits, self.settings);
        fs::write(home.config(), config).context("the config file")?;
        Ok(home)
    }
}

impl Setup {
    /// Its database of PostgreSQL, if that is its store.
    fn database(&self) -> Result<Option<Arc<Database>>> {
        let on_postgres = self.on_postgres || env::var(STORE).is_ok_and(|store| store == "postgres");
        if self.store.is_some() || !on_postgres {
            return Ok(self.store.clone());
        }
        let database = Postgres::of_tests()?.context("PostgreSQL is not installed")?;
        Ok(Some(Arc::new(database)))
    }
}

impl Home {
    /// The directory that contains the others.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Its database, on PostgreSQL.
    #[must_use]
    pub fn database(&self) -> Option<&Database> {
        self.database.as_deref()
    }

    /// The file of the database's password, if it takes one.
    #[must_use]
    pub fn password(&self) -> PathBuf {
        self.root().join("store-password")
    }

    /// The directory that the server watches.
    #[must_use]
    pub fn handlers(&self) -> PathBuf {
        self.root().join("handlers")
    }

    /// The directory of the database.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// The config file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root().join("ondol.toml")
    }
}
