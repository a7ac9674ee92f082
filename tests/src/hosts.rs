//! Several hosts that are one chat: a server each, over one database of PostgreSQL and one NATS server. Knows how hosts and
//! engines fail, and nothing of what clients do meanwhile.

mod network;
mod routes;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use ondol_engines::{Access, Database, Held, Nats, Postgres, Settings, Stop};
use tokio::task::spawn_blocking;

pub use self::routes::Cut;
use self::{
    network::{BUS_PASSWORD, BUS_USER, Network},
    routes::Routes,
};
use crate::{
    checker::{Violation, violations},
    deadline::until,
    history::History,
    lossy_bus::LossyBus,
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
    routes: Routes,
    /// What makes commits slow.
    slow: Option<Held>,
    furnish: fn(Setup) -> Setup,
}

/// A database, its server if it is their own, and the bus if there is one.
type Engines = (Database, Option<Postgres>, Option<Nats>);

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
        Self::begin(count, furnish, (database, None, Some(bus)), Routes::Direct).await.map(Some)
    }

    /// The same on a PostgreSQL of their own, which may be stopped.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_on_own_postgres(count: usize) -> Result<Option<Self>> {
        let Some(postgres) = Postgres::start()? else { return Ok(None) };
        let Some(bus) = Nats::start()? else { return Ok(None) };
        let engines = (postgres.database()?, Some(postgres), Some(bus));
        Self::begin(count, |setup| setup, engines, Routes::Direct).await.map(Some)
    }

    /// The same over wires that may be cut, in a database of the server that all tests share.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_on_wires(count: usize) -> Result<Option<Self>> {
        let Some(database) = Postgres::of_tests()? else { return Ok(None) };
        let Some(bus) = Nats::start()? else { return Ok(None) };
        Self::begin(count, |setup| setup, (database, None, Some(bus)), Routes::Wires(Vec::new())).await.map(Some)
    }

    /// The same over a bus that may lose what they say: which, is drawn from this seed.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_on_lossy_bus(count: usize, seed: u64) -> Result<Option<Self>> {
        let Some(database) = Postgres::of_tests()? else { return Ok(None) };
        let Some(bus) = Nats::start()? else { return Ok(None) };
        let lossy = LossyBus::to(&bus.address(), seed).await?;
        Self::begin(count, |setup| setup, (database, None, Some(bus)), Routes::Lossy(lossy)).await.map(Some)
    }

    /// The same in a network of their own, and with clocks of their own. `None` also where that cannot be made.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_in_network(count: usize) -> Result<Option<Self>> {
        let Some(network) = Network::new(count)? else { return Ok(None) };
        let settings = Settings { network: Some(network.hub()), ..Settings::default() };
        let Some(postgres) = Postgres::start_with(&settings)? else { return Ok(None) };
        let access = Access::Password(BUS_USER.to_owned(), BUS_PASSWORD.to_owned());
        let Some(bus) = Nats::start_at("0.0.0.0", &access, None)? else { return Ok(None) };
        let engines = (postgres.database()?, Some(postgres), Some(bus));
        Self::begin(count, |setup| setup, engines, Routes::Network(network)).await.map(Some)
    }

    /// Starts one without a bus, on a PostgreSQL of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn alone() -> Result<Option<Self>> {
        let Some(postgres) = Postgres::start()? else { return Ok(None) };
        let engines = (postgres.database()?, Some(postgres), None);
        Self::begin(1, |setup| setup, engines, Routes::Direct).await.map(Some)
    }

    /// The same over a wire that may be cut, in a database of the server that all tests share.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn alone_on_wire() -> Result<Option<Self>> {
        let Some(database) = Postgres::of_tests()? else { return Ok(None) };
        Self::begin(1, |setup| setup, (database, None, None), Routes::Wires(Vec::new())).await.map(Some)
    }

    /// Starts so many hosts of another chat, in a database of its own, on the same bus and under the same name of a cluster.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn start_beside(&self, count: usize) -> Result<Self> {
        let database = Arc::new(Postgres::of_tests()?.context("PostgreSQL is not installed")?);
        let (bus_url, furnish) = (self.bus_url.clone(), self.furnish);
        let (servers, routes) = (Vec::new(), Routes::Direct);
        let mut hosts = Self { servers, database, bus: None, bus_url, postgres: None, routes, slow: None, furnish };
        for _ in 0..count {
            hosts.add().await?;
        }
        Ok(hosts)
    }

    async fn begin(
        count: usize,
        furnish: fn(Setup) -> Setup,
        (database, postgres, bus): Engines,
        routes: Routes,
    ) -> Result<Self> {
        let (bus_url, database) = (bus.as_ref().map(Nats::url), Arc::new(database));
        let mut hosts = Self { servers: Vec::new(), database, bus, bus_url, postgres, routes, slow: None, furnish };
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
        self.routes.extend(&self.database.url(), self.bus_url.as_deref()).await?;
        let server = self.setup(name, "test").start().await.with_context(|| format!("the host {name}"))?;
        self.servers.push(server);
        Ok(number)
    }

    /// The setup of a host with this name, in the cluster of this name.
    #[must_use]
    pub fn setup(&self, host: &str, cluster: &str) -> Setup {
        let setup = Setup::default().without_rate_limits().limit("resume_messages_max", RESUME_MAX);
        let setup = setup.on_database(&self.database).config(&format!("host = \"{host}\""));
        let setup = match &self.bus_url {
            Some(bus) => setup.config(&format!("bus = \"{bus}\"\ncluster = \"{cluster}\"")),
            None => setup,
        };
        let number = NAMES.iter().position(|known| *known == host).unwrap_or(NAMES.len());
        (self.furnish)(self.routes.furnish(number, setup, &self.database.url(), self.bus_url.as_deref()))
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

    /// Whether the process of a host runs.
    pub fn is_running(&mut self, host: usize) -> bool {
        self.servers[host].is_running()
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

    /// Makes each commit take up to this time. None: as fast as it can.
    ///
    /// # Errors
    /// When PostgreSQL does not answer.
    pub fn slow_down_postgres(&mut self, commit: Option<Duration>) -> Result<()> {
        self.slow = commit.map(|commit| self.database.slow_down(commit)).transpose()?;
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
