//! Every setting and every limit, with its default and unit, in one place. Nobody else reads the environment.
//!
//! Four layers, each over the one before: the defaults, a TOML file, the environment, the command line. Knows nothing
//! of what a setting leads to; a value that stands here has the right type and is within its range.

mod admin;
mod error;
mod layers;
mod limits;
mod read;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ondol_host_handlers::{Failure, OnFault};

pub use admin::{AdminAddress, Token};
pub use error::{ConfigError, Problem};
use layers::{Entry, Given, Key};
pub use limits::{Limit, Limits};
use ondol_host_store::Synchronous;

/// Variables of the environment that begin with `ONDOL_` and are no settings: where the file is, and what the tests
/// say to one another.
const NO_SETTINGS: [&str; 2] = ["ONDOL_CONFIG", "ONDOL_BIN"];

/// One row for each setting that is not a limit: its documentation, name, type and default, how it is read, and what
/// it takes in the words of an error.
macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $read:path, $takes:literal;)+) => {
        /// Everything that an operator can set.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// Every limit.
            pub limits: Limits,
            /// What the handlers read through the `settings` interface.
            pub settings: Settings,
            /// Who answers when a handler does not.
            pub failure: Failure,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($name: $default,)+
                    limits: Limits::default(),
                    settings: Settings::default(),
                    failure: Failure::default(),
                }
            }
        }

        /// The names of the settings that are no limits, in the order of the table.
        const OPTIONS: &[&str] = &[$(stringify!($name)),+];

        /// The program that runs here, to be started once more. On Linux it is the very one, even when its file has been replaced.
#[must_use]
pub fn program() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Some(own) } else { env::current_exe().ok() }
}

impl Config {
            /// Sets one of [`OPTIONS`]. None: there is no such name. An error says what it takes.
            fn set_option(&mut self, name: &str, given: &Given) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($name) => Some(match $read(given) {
                        Some(value) => {
                            self.$name = value;
                            Ok(())
                        }
                        None => Err($takes.to_owned()),
                    }),)+
                    _ => None,
                }
            }
        }
    };
}

options! {
    /// Where to listen. Port 0 takes a free one, which the server prints.
    listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)), read::address,
        "an address and a port, such as 127.0.0.1:8000 or [::]:8000";
    /// The directory of the database. Created when it is not there.
    data: PathBuf = PathBuf::from("ondol-data"), read::path, "a path";
    /// The directory that holds `rooms.wasm`, `messages.wasm` and `events.wasm`, and that is watched.
    handlers: PathBuf = PathBuf::from("target/handlers"), read::path, "a path";
    /// Where compiled handlers are kept, for this user alone. None: `cache` in the data directory.
    cache: Option<PathBuf> = None, read::some_path, "a path";
    /// Where the operator's API listens. None: nowhere.
    admin: Option<AdminAddress> = None, read::admin,
        "an address and a port, such as 127.0.0.1:8001, or a socket's path after unix:, such as unix:/run/ondol.sock";
    /// A file that holds the operator's token.
    admin_token_file: Option<PathBuf> = None, read::some_path, "a path";
    /// The operator's token itself; for the environment, where no file is at hand.
    admin_token: Option<Token> = None, read::token, "a text that is not empty";
    /// The origins that may open a WebSocket, as a browser writes them. Empty: any.
    origins: Vec<String> = Vec::new(), read::origins,
        "origins as a browser sends them, such as https://chat.example.com: a scheme, a host, no path";
    /// How a WebSocket is refused.
    refusal: RefusalStyle = RefusalStyle::Http, read::refusal, "\"http\" or \"close\"";
    /// When a transaction counts as durable.
    synchronous: Synchronous = Synchronous::Full, read::synchronous, "\"full\" or \"normal\"";
    /// What is logged: a level, or levels by module, such as `info,ondol_host_store=debug`.
    log: String = "info".to_owned(), read::log,
        "a level (error, warn, info, debug, trace, off) or levels by module, such as info,ondol_host_store=debug";
}

/// The names of the variables of the environment that have this server's prefix and were set by Kubernetes or Docker.
#[must_use]
pub fn foreign_variables() -> Vec<String> {
    let mut names: Vec<_> = env::vars_os()
        .filter(|(name, value)| layers::is_foreign(name, value))
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// How a WebSocket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStyle {
    /// By an HTTP status, before the upgrade.
    Http,
    /// By accepting it and closing it at once with a code of 4000 and above, for clients behind a gateway that hides
    /// HTTP refusals.
    Close,
}

/// Sets who answers for a handler that fails. None: there is no such handler. An error says what it takes.
fn set_failure(failure: &mut Failure, handler: &str, given: &Given) -> Option<Result<(), String>> {
    let place = match handler {
        "rooms" if given.as_str() == Some("refuse") => return Some(Ok(())),
        "rooms" => return Some(Err("\"refuse\"".to_owned())),
        "messages" => &mut failure.messages,
        "events" => &mut failure.events,
        _ => return None,
    };
    *place = match given.as_str() {
        Some("refuse") => OnFault::Refuse,
        Some("default") => OnFault::Default,
        _ => return Some(Err("\"refuse\" or \"default\"".to_owned())),
    };
    Some(Ok(()))
}

/// What the operator has set for each handler: text by key. Which keys there are is the handler's business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// For the `rooms` handler.
    pub rooms: BTreeMap<String, String>,
    /// For the `messages` handler.
    pub messages: BTreeMap<String, String>,
    /// For the `events` handler.
    pub events: BTreeMap<String, String>,
}

impl Settings {
    /// The handlers that can have settings.
    pub(crate) const HANDLERS: [&str; 3] = ["rooms", "messages", "events"];

    fn of_mut(&mut self, handler: &str) -> Option<&mut BTreeMap<String, String>> {
        match handler {
            "rooms" => Some(&mut self.rooms),
            "messages" => Some(&mut self.messages),
            "events" => Some(&mut self.events),
            _ => None,
        }
    }
}

/// The flags that every command which reads the config takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Config")]
pub struct ConfigFlags {
    /// A TOML file with any of the settings [env: ONDOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one and prints it [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The directory of the database [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// The directory of rooms.wasm, messages.wasm and events.wasm [default: target/handlers]
    #[arg(long, value_name = "DIR")]
    pub handlers: Option<String>,
    /// Where compiled handlers are kept [default: cache in the data directory]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<String>,
    /// Where the operator's API listens: an address and a port, or unix:PATH [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin: Option<String>,
    /// A file that holds the operator's token
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<String>,
    /// An origin that may open a WebSocket; give it again for more [default: any]
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// How a WebSocket is refused: http or close [default: http]
    #[arg(long, value_name = "STYLE")]
    pub refusal: Option<String>,
    /// When a message counts as stored: full (on the disk) or normal (survives a crash) [default: full]
    #[arg(long, value_name = "MODE")]
    pub synchronous: Option<String>,
    /// What is logged, such as debug or info,ondol_host_store=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Set a limit, for one handler as messages.handler_deadline_ms=50; give it again for more. `ondol check --limits`
    /// lists them
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<String>,
    /// Who answers when messages or events fails: refuse (nobody) or default (the built-in handler) [default: refuse]
    #[arg(long = "failure", value_name = "HANDLER=WHAT")]
    pub failures: Vec<String>,
    /// Set what a handler reads, such as messages.text_length_max=500; give it again for more
    #[arg(long = "setting", value_name = "HANDLER.KEY=VALUE")]
    pub settings: Vec<String>,
}

impl Config {
    /// The config from its four layers.
    ///
    /// # Errors
    ///
    /// Every fault of every layer, not the first: a file that cannot be read, an unknown name (with the nearest known
    /// one), a value of the wrong type or out of its range.
    pub fn load(flags: &ConfigFlags) -> Result<Self, ConfigError> {
        Self::from_layers(flags, env::vars_os())
    }

    /// The directory that compiled handlers are kept in.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| self.data.join("cache"))
    }

    /// [`Config::load`] with the environment given, so that it can be tested.
    fn from_layers(
        flags: &ConfigFlags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let environment = layers::ours(environment, &mut problems);

        let named = environment.iter().find(|(name, _)| name == "ONDOL_CONFIG").map(|(_, path)| PathBuf::from(path));
        let mut entries = Vec::new();
        if let Some(path) = flags.config.clone().or(named) {
            entries.extend(layers::file(&path, &mut problems));
        }
        entries.extend(layers::environment(&environment, &mut problems));
        entries.extend(layers::flags(flags, &mut problems));

        let mut config = Self::default();
        for entry in entries {
            if let Err(problem) = config.set(entry) {
                problems.push(problem);
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    fn set(&mut self, entry: Entry) -> Result<(), Problem> {
        let Entry { key, given, origin } = entry;
        let set = match &key {
            Key::Option(name) => self.set_option(name, &given),
            Key::Limit(name) => self.limits.set(name, &given),
            Key::Failure(handler) => set_failure(&mut self.failure, handler, &given),
            Key::Setting { handler, key } => self.settings.of_mut(handler).map(|settings| match given.as_text() {
                Some(text) => {
                    settings.insert(key.clone(), text);
                    Ok(())
                }
                None => Err("a text, a number or a truth value".to_owned()),
            }),
        };
        match set {
            Some(Ok(())) => Ok(()),
            Some(Err(takes)) => Err(Problem::Invalid { origin, key: key.to_string(), takes, got: given.to_string() }),
            None => Err(Problem::Unknown { origin, name: key.to_string(), nearest: key.nearest() }),
        }
    }
}

#[cfg(test)]
mod tests;
