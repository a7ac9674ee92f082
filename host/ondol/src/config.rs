//! The configuration: every setting with its default, from four layers. Each layer overrides the one before: the
//! defaults, a TOML file, the environment, the command line. A value in here has the right type and is within its
//! range.

mod admin;
mod applies;
mod bus;
mod environment;
mod error;
mod file;
mod flags;
mod given;
mod history;
mod identity;
mod key;
mod limits;
mod listing;
mod log_format;
mod read;
mod refusal;
mod settings;
mod shown;
mod store;
mod supervisor;
mod table;
mod template;
mod tls;
mod units;

use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ondol_host_handlers::{Failure, OnFault};
use ondol_host_store::{PostgresUrl, Synchronous};
use url::Url;

pub use admin::{AdminAddress, Token};
pub use applies::Applies;
pub use bus::BusUrl;
pub use environment::ignored_variables;
pub use error::{ConfigError, Origin, Problem};
pub use flags::ConfigFlags;
use given::Given;
pub use history::HistoryForm;
pub use identity::{IdentityConfig, IdentityMode, KeyAlgorithm, KeyFile};
use key::{Entry, Key};
pub use limits::{Limit, Limits};
pub use listing::{Difference, Listed, Origins};
pub use log_format::LogFormat;
pub use read::{ANY_ORIGIN, SAME_ORIGIN};
pub use refusal::RefusalStyle;
pub use settings::Settings;
pub use store::StorePlace;
pub use supervisor::Supervisor;
use table::table;
pub use template::template;
pub use tls::TlsFiles;

table! {
    /// Every setting.
    Config {
        /// How callers are identified.
        identity: IdentityConfig,
        /// Every limit.
        limits: Limits,
        /// The values of the handlers' `settings` interface.
        settings: Settings,
        /// What happens when a handler fails.
        failure: Failure,
    }

    /// The address to listen on. Port 0 picks a free port, which the startup line prints.
    listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)), read::address,
        "an address and a port, such as 127.0.0.1:8000 or [::]:8000", restart;
    /// The certificate of the listener, in PEM, with those between it and its authority.
    tls_certificate: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The private key of the certificate, in PEM.
    tls_key: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The database of PostgreSQL that holds rooms, messages and releases. None: a file in the data directory, by SQLite.
    store: Option<PostgresUrl> = None, read::store,
        "the URL of a PostgreSQL database without a password, such as postgres://ondol@db.example.com/ondol (the password goes into \
         store_password_file)", restart;
    /// A file with the password for that database. None: it needs none.
    store_password_file: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The name of this host among those that use the database. None: the name of the machine.
    host: Option<String> = None, read::host, "a name of 1 to 63 letters, digits, dots, hyphens and underscores", restart;
    /// The NATS servers through which the hosts of one database talk. None: this is its only host.
    bus: Option<BusUrl> = None, read::bus,
        "the addresses of NATS servers without a password, such as nats://nats-1:4222,nats://nats-2:4222 (credentials go into \
         bus_credentials_file)", restart;
    /// A file with the credentials for them. None: they ask for none.
    bus_credentials_file: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The authority of their certificates, in PEM. None: those of the system.
    bus_authority_file: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The name that all hosts of one chat have in common.
    cluster: String = "ondol".to_owned(), read::cluster,
        "a name of 1 to 63 letters, digits, hyphens and underscores", restart;
    /// The directory of the database, if it is a file, and of compiled handlers. Created if missing.
    data: PathBuf = PathBuf::from("ondol-data"), read::path, "a path", restart;
    /// The directory with `rooms.wasm`, `messages.wasm` and `events.wasm`, which the server watches.
    handlers: PathBuf = PathBuf::from("target/handlers"), read::path, "a path", restart;
    /// The directory of compiled handlers, private to this user. None: `cache` in the data directory.
    cache: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The address of the admin API. None disables it.
    admin: Option<AdminAddress> = None, read::admin,
        "an address and a port, such as 127.0.0.1:8001, the same as a URL, or the path of a socket, such as unix:/run/ondol.sock", restart;
    /// The certificate of the admin API's listener, in PEM.
    admin_tls_certificate: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The private key of that certificate, in PEM.
    admin_tls_key: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The authority that a client of the admin API trusts, in PEM. None: those of the system.
    admin_ca: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// A file with the token of the admin API.
    admin_token_file: Option<PathBuf> = None, read::some_path, "a path", restart;
    /// The token itself, for environments without a file.
    admin_token: Option<Token> = None, read::token, "a text that is not empty", restart;
    /// The address of a listener for metrics alone. None: they are on the admin API's only.
    metrics: Option<SocketAddr> = None, read::some_address, "an address and a port, such as 127.0.0.1:8002", restart;
    /// The origins whose pages may call, as browsers send them; `same-origin` for the server's own page, `*` for any.
    origins: Vec<String> = vec![SAME_ORIGIN.to_owned()], read::origins,
        "origins as browsers send them, such as https://chat.example.com: a scheme and a host, no path; or same-origin, null or *", live;
    /// Requests that name no origin are refused.
    origins_required: bool = false, read::truth, "true or false", live;
    /// The address at which clients reach the server.
    public_url: Option<Url> = None, read::public_url, "a scheme and a host, such as https://chat.example.com", live;
    /// From where the page loads the pictures of users: the sources of `img-src` (Content Security Policy Level 3).
    img_src: Vec<String> = vec!["*".to_owned(), "data:".to_owned()], read::img_src,
        "sources of a content security policy, such as https://pictures.example.com, 'self', data: or *; or 'none'", live;
    /// How a WebSocket is refused.
    refusal: RefusalStyle = RefusalStyle::Http, read::refusal, "\"http\" or \"close\"", live;
    /// The subprotocols of WebSockets that a client may choose from.
    subprotocols: Vec<String> = Vec::new(), read::subprotocols, "names of subprotocols, such as chat.v1", live;
    /// Whether the host answers the heartbeats of clients' libraries.
    heartbeats: bool = false, read::truth, "true or false", live;
    /// Who writes the messages that REST answers show.
    history: HistoryForm = HistoryForm::Host, read::history, "\"host\" or \"events\"", restart;
    /// When a transaction counts as durable.
    synchronous: Synchronous = Synchronous::Full, read::synchronous, "\"full\" or \"normal\"", restart;
    /// The log filter: a level, or levels by module, such as `info,ondol_host_store=debug`.
    log: String = "info".to_owned(), read::log,
        "a level (error, warn, info, debug, trace, off) or levels by module, such as info,ondol_host_store=debug", live;
    /// The form of a log line.
    log_format: LogFormat = LogFormat::Text, read::log_format, "\"text\" or \"json\"", restart;
    /// The OpenTelemetry collector that receives spans, over OTLP and HTTP. None: there are none.
    otlp: Option<Url> = None, read::collector, "the address of a collector, such as http://127.0.0.1:4318", restart;
    /// How many of a hundred requests leave spans when their callers do not say whether to.
    otlp_sample_percent: u8 = 0, read::percent, "a whole number from 0 to 100", restart;
}

impl Config {
    /// Loads the configuration from its four layers.
    ///
    /// # Errors
    ///
    /// All problems of all layers: an unreadable file, unknown names (with the nearest known ones), values of the wrong
    /// type or out of range.
    pub fn load(flags: &ConfigFlags) -> Result<Self, ConfigError> {
        Ok(Self::load_with_origins(flags)?.0)
    }

    /// The same, with where each value came from.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_with_origins(flags: &ConfigFlags) -> Result<(Self, Origins), ConfigError> {
        Self::of_layers(flags, env::vars_os())
    }

    /// The same with a listener at this address, as a supervisor passes one.
    ///
    /// # Errors
    ///
    /// When other machines can reach it and could claim any identity.
    pub fn listening_at(mut self, listen: SocketAddr) -> Result<Self, ConfigError> {
        self.listen = listen;
        let conflicts: Vec<_> =
            self.identity.conflicts(listen, &self.origins).into_iter().map(Problem::Conflict).collect();
        if conflicts.is_empty() { Ok(self) } else { Err(ConfigError(conflicts)) }
    }

    /// The directory of compiled handlers.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| self.data.join("cache"))
    }

    /// The directory of compiled handlers for commands that need no server: the configured one, or the user's. None if
    /// the user has none.
    #[must_use]
    pub fn command_cache_dir(&self) -> Option<PathBuf> {
        self.cache.clone().or_else(|| Some(environment::user_cache_dir()?.join("ondol")))
    }

    /// [`Config::load`] with a given environment, for tests.
    #[cfg(test)]
    fn from_layers(
        flags: &ConfigFlags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::of_layers(flags, environment)?.0)
    }

    fn of_layers(
        flags: &ConfigFlags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Self, Origins), ConfigError> {
        let mut problems = Vec::new();
        let variables = environment::variables(environment, &mut problems);

        let named = variables.iter().find(|(name, _)| name == "ONDOL_CONFIG").map(|(_, path)| PathBuf::from(path));
        let mut entries = Vec::new();
        if let Some(path) = flags.config.clone().or(named) {
            entries.extend(file::entries(&path, &mut problems));
        }
        entries.extend(environment::entries(&variables, Self::NAMES, &mut problems));
        entries.extend(flags::entries(flags, &mut problems));

        let (mut config, mut origins) = (Self::default(), Origins::default());
        for entry in entries {
            let (name, origin) = (entry.key.to_string(), entry.origin.clone());
            match config.set(entry) {
                Ok(()) => drop(origins.0.insert(name, origin)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            config.check_conflicts()?;
            return Ok((config, origins));
        }
        Err(ConfigError(problems))
    }

    /// Checks whether all values go together.
    ///
    /// # Errors
    ///
    /// Those that do not.
    pub fn check_conflicts(&self) -> Result<(), ConfigError> {
        let mut conflicts = self.identity.conflicts(self.listen, &self.origins);
        conflicts.extend(self.tls_conflicts());
        conflicts.extend(self.store_conflicts());
        conflicts.extend(self.bus_conflicts());
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(ConfigError(conflicts.into_iter().map(Problem::Conflict).collect()))
    }

    fn set(&mut self, entry: Entry) -> Result<(), Problem> {
        let Entry { key, given, origin } = entry;
        let set = match &key {
            Key::Option(name) => self.set_row(name, &given),
            Key::Limit(name) => self.limits.set(name, &given),
            Key::Identity(name) => self.identity.set_row(name, &given),
            Key::Failure(handler) => set_failure(&mut self.failure, handler, &given),
            Key::Setting { handler, key } => self.settings.of_mut(handler).map(|settings| match given.as_text() {
                Some(text) => {
                    settings.insert(key.clone(), text);
                    Ok(())
                }
                None => Err("a string without U+0000, a number, a boolean or a list of these".to_owned()),
            }),
        };
        match set {
            Some(Ok(())) => Ok(()),
            Some(Err(takes)) => {
                let got = if key.may_hold_secret() { "something else".to_owned() } else { given.to_string() };
                Err(Problem::Invalid { origin, key: key.to_string(), takes, got })
            }
            None => Err(Problem::Unknown { origin, name: key.to_string(), nearest: key.nearest(Self::NAMES) }),
        }
    }
}

/// Sets what happens when a handler fails. None for an unknown handler. An error lists the values that it takes.
fn set_failure(failure: &mut Failure, handler: &str, given: &Given) -> Option<Result<(), String>> {
    let on_fault = match handler {
        "rooms" => &mut failure.rooms,
        "messages" => &mut failure.messages,
        "events" => &mut failure.events,
        _ => return None,
    };
    *on_fault = match given.as_str() {
        Some("refuse") => OnFault::Refuse,
        Some("default") => OnFault::Default,
        _ => return Some(Err("\"refuse\" or \"default\"".to_owned())),
    };
    Some(Ok(()))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
