//! Several hosts that are one chat: a server each, over one database of PostgreSQL and one NATS server. Knows how hosts and
//! engines fail, and nothing of what clients do meanwhile.

use std::sync::Arc;

use anyhow::{Context, Result};
use ondol_engines::{Database, Nats, Postgres, Stop};
use tokio::task::spawn_blocking;

use crate::{
    checker::{Violation, violations},
    deadline::until,
    history::History,
    server::TestServer,
    setup::Setup,
    stored::{Stored, StoredMessage},
};

/// The names of the hosts.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A client that was away during a fault has missed fewer messages.
const RESUME_MAX: u64 = 50_000;

/// Hosts that are one chat. They have numbers, in the order of their start, from 0 on.
#[derive(Debug)]
pub struct Hosts {
    servers: Vec<TestServer>,
    database: Arc<Database>,
    /// The bus between them, unless a restart has failed.
    bus: Option<Nats>,
    /// Where it is. None: there is one host, which is alone.
    bus_url: Option<String>,
    /// The server of the database, if it is their own.
    postgres: Option<Postgres>,
    furnish: fn(Setup) -> Setup,
}

/// A host, as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its name.
    pub host: String,
    /// Where it listens. A restart keeps it.
    pub address: String,
}

impl Hosts {
    /// Starts so many hosts. `None` where an engine is not installed.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start(count: usize) -> Result<Option<Self>> {
        Self::start_with(count, |setup| setup).await
    }

    /// The same, with more in the setup of each.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_with(count: usize, furnish: fn(Setup) -> Setup) -> Result<Option<Self>> {
        let Some(database) = Postgres::of_tests()? else { return Ok(None) };
        let Some(bus) = Nats::start()? else { return Ok(None) };
        Self::begin(count, furnish, database, None, Some(bus)).await.map(Some)
    }

    /// The same on a PostgreSQL of their own, which may be stopped.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_on_own_postgres(count: usize) -> Result<Option<Self>> {
        let Some(postgres) = Postgres::start()? else { return Ok(None) };
        let database = postgres.database()?;
        let Some(bus) = Nats::start()? else { return Ok(None) };
        Self::begin(count, |setup| setup, database, Some(postgres), Some(bus)).await.map(Some)
    }

    /// Starts one without a bus, on a PostgreSQL of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn alone() -> Result<Option<Self>> {
        let Some(postgres) = Postgres::start()? else { return Ok(None) };
        let database = postgres.database()?;
        Self::begin(1, |setup| setup, database, Some(postgres), None).await.map(Some)
    }

    async fn begin(
        count: usize,
        furnish: fn(Setup) -> Setup,
        database: Database,
        postgres: Option<Postgres>,
        bus: Option<Nats>,
    ) -> Result<Self> {
        let (bus_url, database) = (bus.as_ref().map(Nats::url), Arc::new(database));
        let mut hosts = Self { servers: Vec::new(), database, bus, bus_url, postgres, furnish };
        for _ in 0..count {
            hosts.add().await?;
        }
        Ok(hosts)
    }

    /// Starts one more, and returns its number.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add(&mut self) -> Result<usize> {
        let number = self.servers.len();
        let name = NAMES.get(number).context("too many hosts")?;
        let server = self.setup(name, "test").start().await.with_context(|| format!("the host {name}"))?;
        self.servers.push(server);
        Ok(number)
    }

    /// The setup of a host with this name, in the cluster of this name.
    #[must_use]
    pub fn setup(&self, host: &str, cluster: &str) -> Setup {
        let setup = Setup::default().without_rate_limits().limit("resume_messages_max", RESUME_MAX);
        let setup = setup.on_database(&self.database).config(&format!("host = \"{host}\""));
        (self.furnish)(match &self.bus_url {
            Some(bus) => setup.config(&format!("bus = \"{bus}\"\ncluster = \"{cluster}\"")),
            None => setup,
        })
    }

    /// The server of a host.
    ///
    /// # Panics
    /// When there is no such host.
    #[must_use]
    pub fn server(&self, host: usize) -> &TestServer {
        &self.servers[host]
    }

    /// The name of a host.
    ///
    /// # Panics
    /// When there are not so many names.
    #[must_use]
    pub fn name(&self, host: usize) -> &'static str {
        NAMES[host]
    }

    /// How many there are, running or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// Where clients find them.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let address = |(server, host): (&TestServer, &&str)| Address {
            host: (*host).to_owned(),
            address: server.address().to_owned(),
        };
        self.servers.iter().zip(&NAMES).map(address).collect()
    }

    // ── hosts that fail ──

    /// Kills a host.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self, host: usize) -> Result<()> {
        self.servers[host].signal("KILL")?;
        self.servers[host].exit().await.map(drop)
    }

    /// Stops a host as an operator does, and returns its exit status.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self, host: usize) -> Result<Option<i32>> {
        self.servers[host].signal("TERM")?;
        Ok(self.servers[host].exit().await?.code())
    }

    /// Freezes a host: its connections stay open, and it answers nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, host: usize) -> Result<()> {
        self.servers[host].signal("STOP")
    }

    /// Lets a host go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, host: usize) -> Result<()> {
        self.servers[host].signal("CONT")
    }

    /// Waits for the end of a host's process, and returns its exit status.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn exit(&mut self, host: usize) -> Result<Option<i32>> {
        Ok(self.servers[host].exit().await?.code())
    }

    /// Kills a host if it still runs, and starts it again under its name and address.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self, host: usize) -> Result<()> {
        self.servers[host].restart().await
    }

    // ── engines that fail, while clients go on ──

    /// Stops the bus and starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart_bus(&mut self) -> Result<()> {
        let mut bus = self.bus.take().context("there is no bus")?;
        let restart = move || {
            bus.stop()?;
            bus.start_again().map(|()| bus)
        };
        self.bus = Some(spawn_blocking(restart).await??);
        Ok(())
    }

    /// The bus.
    ///
    /// # Errors
    /// When a restart has failed.
    pub fn bus(&mut self) -> Result<&mut Nats> {
        self.bus.as_mut().context("there is no bus")
    }

    /// Stops PostgreSQL in this way, and starts it again.
    ///
    /// # Errors
    /// When it does not start, or other tests use it as well.
    pub async fn restart_postgres(&mut self, how: Stop) -> Result<()> {
        let mut postgres = self.postgres.take().context("PostgreSQL is not their own")?;
        let restart = move || {
            postgres.stop(how)?;
            postgres.start_again().map(|()| postgres)
        };
        self.postgres = Some(spawn_blocking(restart).await??);
        Ok(())
    }

    // ── what the database says ──

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The name of the host that is a room's home. `None`: no host is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn home_of(&self, room: u64) -> Result<Option<String>> {
        let sql = format!("SELECT host.name FROM room JOIN host ON host.no = room.host WHERE room.id = {room}");
        Ok(Some(self.database.sql(&sql)?).filter(|name| !name.is_empty()))
    }

    /// Waits until a room has a home, and returns the number of that host.
    ///
    /// # Errors
    /// When it gets none.
    pub async fn home(&self, room: u64) -> Result<usize> {
        until(format!("a home of room {room}"), async || {
            let name = self.home_of(room).ok().flatten()?;
            NAMES.iter().position(|known| *known == name)
        })
        .await
    }

    /// The state that the database shows of the latest start of a host.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn state_of(&self, host: usize) -> Result<String> {
        self.database.sql(&format!("SELECT state FROM host WHERE name = '{}' ORDER BY no DESC LIMIT 1", NAMES[host]))
    }

    /// The messages in the database, by room and number.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn stored(&self) -> Result<Vec<StoredMessage>> {
        Stored::Postgres(&self.database).messages()
    }

    /// What does not hold of a history.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn check(&self, history: &History) -> Result<Vec<Violation>> {
        Ok(violations(history, &self.stored()?))
    }
}
