//! Connections to PostgreSQL: what the config says about them, and the settings of their sessions.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::answers::{describe, unanswered};
use super::tls;
use crate::error::StoreError;
use crate::limits::Synchronous;

/// The oldest version that knows all that the schema uses.
const VERSION_MIN: i32 = 15;

/// After this time a peer that acknowledges nothing counts as lost.
const PEER_LOST: Duration = Duration::from_secs(3);

/// The same while a whole database is read or written.
const WHOLE_SILENCE_MAX: Duration = Duration::from_secs(120);

/// The longest time to establish a connection. A server that is frozen accepts connections and stays silent.
const CONNECT_MAX: Duration = Duration::from_secs(6);

/// Where the database is, and who uses it.
#[derive(Clone)]
pub struct PostgresConfig {
    /// The URL of the database, as libpq takes it. It may name several hosts.
    pub url: String,
    /// The password. None: the URL has it, or none is needed.
    pub password: Option<String>,
    /// The name of this host.
    pub host: String,
    /// The version of this server.
    pub version: String,
    /// Whether a commit waits for the disk of the database.
    pub synchronous: Synchronous,
    /// The most connections that read at once.
    pub readers_max: usize,
    /// Hosts that name the same cluster may use the database at the same time. None: this host uses it alone.
    pub cluster: Option<String>,
    /// The version of what hosts say to each other. Those of one cluster have the same.
    pub proto: i32,
    /// A host that shows no life for so long is dead.
    pub host_lost: Duration,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commits batches.
    Write,
    /// Shows that this host is alive, and claims rooms.
    Control,
    /// Changes versions and releases. A component may take its time to arrive.
    Change,
    /// Reads for clients.
    Read,
    /// Reads or writes a whole database, and waits for its disk as long as that takes.
    Whole,
}

/// Establishes connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    synchronous: Synchronous,
}

impl Connector {
    /// Reads the config. Connects to nothing yet.
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        // The reason is left out: it may quote a part of the password.
        let mut parsed: Config = without_verification_mode(&config.url)
            .parse()
            .map_err(|_| StoreError::Postgres("the URL of the database is not a PostgreSQL URL".to_owned()))?;
        if let Some(password) = &config.password {
            parsed.password(password);
        }
        parsed
            .application_name(format!("ondol {}", config.host))
            .connect_timeout(PEER_LOST)
            .tcp_user_timeout(PEER_LOST)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(1))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3)
            // The primary alone has the truth, also for readers.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            // Otherwise a frozen first server would hide the others.
            .load_balance_hosts(LoadBalanceHosts::Random);
        let is_verified = parsed.get_ssl_mode() == SslMode::Require;
        let tls = MakeRustlsConnect::new(tls::config(is_verified)?);
        Ok(Self { config: parsed, tls, synchronous: config.synchronous })
    }

    /// The config of connections for a purpose, and their TLS.
    pub(super) fn parts(&self, purpose: Purpose) -> (Config, MakeRustlsConnect) {
        let mut config = self.config.clone();
        let options = [config.get_options().unwrap_or_default(), &settings(purpose, self.synchronous)].join(" ");
        config.options(options);
        if purpose == Purpose::Whole {
            // A server that waits for its disk reads nothing meanwhile, which counts as silence.
            config.tcp_user_timeout(WHOLE_SILENCE_MAX);
        }
        (config, self.tls.clone())
    }

    /// Connects.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Client, StoreError> {
        let (client, untried) = self.open(purpose).await?;
        untried.keep();
        Ok(client)
    }

    /// Connects, for a caller that may give the connection up before it is of use.
    pub(super) async fn open(&self, purpose: Purpose) -> Result<(Client, Untried), StoreError> {
        let (config, tls) = self.parts(purpose);
        let connecting = tokio::time::timeout(CONNECT_MAX, config.connect(tls));
        let connected = connecting.await.map_err(|_| unanswered("it accepts no connection"))?;
        let (client, connection) = connected.map_err(|error| refused(&error))?;
        // It ends with its client. A caller that waits for an answer gets the error.
        let task = tokio::spawn(connection);
        Ok((client, Untried(Some(task.abort_handle()))))
    }

    /// Where the database is, for messages: the hosts.
    pub(super) fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        hosts.collect::<Vec<_>>().join(", ")
    }
}

/// Why a server takes no connection. One that is too old does not know all settings of a session.
fn refused(error: &tokio_postgres::Error) -> StoreError {
    let reason = describe(error);
    if error.code() == Some(&SqlState::UNDEFINED_OBJECT) {
        return StoreError::Postgres(format!("{reason}: version {VERSION_MIN} or later is needed"));
    }
    StoreError::Postgres(reason)
}

/// Ends a connection when dropped, whatever it waits for: a client alone leaves it open until the answer has come.
pub(super) struct Untried(Option<AbortHandle>);

impl Untried {
    /// Lets the connection end with its client.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Untried {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Refuses a server that is too old, and warns of one that may lose commits.
pub(super) async fn check_server(client: &Client) -> Result<(), StoreError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync') = 'on', \
             current_setting('full_page_writes') = 'on', current_setting('server_encoding')",
            &[],
        )
        .await?;
    let (version, fsync, pages): (i32, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let encoding: String = row.try_get(3)?;
    if version < VERSION_MIN {
        let reason = format!("its version is {version}: version {VERSION_MIN} or later is needed");
        return Err(StoreError::Postgres(reason));
    }
    if encoding != "UTF8" {
        let reason = format!("the encoding of the database is {encoding}: create it with ENCODING 'UTF8'");
        return Err(StoreError::Postgres(reason));
    }
    for (setting, is_on) in [("fsync", fsync), ("full_page_writes", pages)] {
        if !is_on {
            tracing::warn!(
                setting,
                "PostgreSQL runs with {setting} = off: a crash of its machine can destroy the database"
            );
        }
    }
    Ok(())
}

/// The settings of a session, as options of the server's command line.
fn settings(purpose: Purpose, synchronous: Synchronous) -> String {
    // An operator's default for people must not end a statement of the chat halfway. A dead peer is given up as fast as
    // this side gives up a dead server, so that its locks are free.
    let mut settings = vec![
        "default_transaction_isolation=read\\ committed",
        "idle_session_timeout=0",
        if purpose == Purpose::Change {
            "idle_in_transaction_session_timeout=60s"
        } else {
            "idle_in_transaction_session_timeout=10s"
        },
        "tcp_keepalives_idle=1",
        "tcp_keepalives_interval=1",
        "tcp_keepalives_count=3",
        "tcp_user_timeout=3000",
        "client_connection_check_interval=1000",
        "jit=off",
    ];
    if purpose != Purpose::Read {
        settings.extend(["statement_timeout=0", "lock_timeout=0"]);
    }
    if purpose == Purpose::Write {
        // With default planning a batch took 4 to 18 ms, with these 0.7 to 2.8.
        settings.extend(["enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off"]);
    }
    if purpose == Purpose::Whole {
        // This side computes between two statements of its transaction.
        settings.extend([
            "idle_in_transaction_session_timeout=0",
            "tcp_user_timeout=120000",
            "cursor_tuple_fraction=1",
        ]);
    }
    if purpose != Purpose::Read {
        // Whatever the default of the server is: what people have seen is on its disk, or may be lost.
        settings.push(match synchronous {
            Synchronous::Full => "synchronous_commit=on",
            Synchronous::Normal => "synchronous_commit=off",
        });
    }
    settings.iter().map(|setting| format!("-c {setting}")).collect::<Vec<_>>().join(" ")
}

/// The URL with libpq's modes that verify certificates as `require`, which verifies them here as well.
pub(super) fn without_verification_mode(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(describe(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> PostgresConfig {
        PostgresConfig::of_tests(url, "chat-1")
    }

    #[test]
    fn a_url_may_name_several_hosts_and_how_tls_is_verified() {
        for (url, place, mode) in [
            ("postgres://ondol@db-1,db-2:5433/ondol?sslmode=verify-full", "db-1, db-2", SslMode::Require),
            ("postgres://ondol@db-1/ondol?sslmode=require", "db-1", SslMode::Require),
            ("postgres://ondol@db-1/ondol", "db-1", SslMode::Prefer),
            ("postgres:///ondol?host=/run/postgresql&sslmode=disable", "/run/postgresql", SslMode::Disable),
        ] {
            let connector = Connector::new(&config(url)).unwrap();
            assert_eq!((connector.place().as_str(), connector.config.get_ssl_mode()), (place, mode), "{url}");
        }
    }

    #[test]
    fn an_error_quotes_no_part_of_a_password() {
        let error =
            Connector::new(&config("postgres://ondol:secret@db-1:hidden/ondol?covert=1")).err().unwrap().to_string();
        assert!(!["secret", "hidden", "covert"].iter().any(|part| error.contains(part)), "{error}");
    }
}
