//! The layer of the command line: the flags of every command that reads the configuration.

use std::path::PathBuf;

use clap::Args;

use super::error::{Origin, Problem};
use super::given::Given;
use super::key::{Entry, Key};

/// One row for each option that has a flag of its name.
macro_rules! flags {
    ($($(#[$attribute:meta])+ $name:ident;)+) => {
        /// The flags of every command that reads the configuration.
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = "Configuration")]
        pub struct ConfigFlags {
            /// Read settings from this TOML file [env: ONDOL_CONFIG]
            #[arg(long, value_name = "FILE")]
            pub config: Option<PathBuf>,
            $($(#[$attribute])+ pub $name: Option<String>,)+
            /// Allow pages of this origin; repeatable [default: same-origin]
            #[arg(long = "origin", value_name = "ORIGIN")]
            pub origins: Vec<String>,
            /// Set how callers are identified; repeatable
            #[arg(long = "identity", value_name = "NAME=VALUE")]
            pub identity: Vec<String>,
            /// Set a limit (see `ondol check --limits`); repeatable
            #[arg(long = "limit", value_name = "NAME=VALUE")]
            pub limits: Vec<String>,
            /// If a handler fails: refuse, or default (built-in handler)
            #[arg(long = "failure", value_name = "HANDLER=MODE")]
            pub failures: Vec<String>,
            /// Set a handler setting; repeatable
            #[arg(long = "setting", value_name = "HANDLER.KEY=VALUE")]
            pub settings: Vec<String>,
        }

        impl ConfigFlags {
            /// The options with a single value, by name.
            fn options(&self) -> impl Iterator<Item = (&'static str, &String)> {
                let options = [$((stringify!($name), &self.$name)),+];
                options.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
            }
        }
    };
}

flags! {
    /// Listen on this address [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen;
    /// Serve TLS with the certificate in this PEM file
    #[arg(long, value_name = "FILE")]
    tls_certificate;
    /// Use the private key in this PEM file for it
    #[arg(long, value_name = "FILE")]
    tls_key;
    /// Keep the database in PostgreSQL [default: a file in DATA]
    #[arg(long, value_name = "postgres://USER@HOST/NAME")]
    store;
    /// Send PostgreSQL the password in this file
    #[arg(long, value_name = "FILE")]
    store_password_file;
    /// Call this host so among those on one database [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    host;
    /// Talk to the other hosts on one database through these NATS servers [default: none, the only host]
    #[arg(long, value_name = "nats://HOST:PORT,...")]
    bus;
    /// Send NATS the credentials in this file
    #[arg(long, value_name = "FILE")]
    bus_credentials_file;
    /// Trust the authority in this PEM file for NATS over TLS [default: those of the system]
    #[arg(long, value_name = "FILE")]
    bus_authority_file;
    /// Talk to hosts of this cluster only [default: ondol]
    #[arg(long, value_name = "NAME")]
    cluster;
    /// Keep the database in this directory [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    data;
    /// Load handlers from this directory [default: target/handlers]
    #[arg(long, value_name = "DIR")]
    handlers;
    /// Cache compiled handlers in this directory [default: DATA/cache]
    #[arg(long, value_name = "DIR")]
    cache;
    /// Serve the admin API here, or on unix:PATH [default: off]
    #[arg(long, value_name = "HOST:PORT")]
    admin;
    /// Require the token in this file for the admin API
    #[arg(long, value_name = "FILE")]
    admin_token_file;
    /// Serve the admin API over TLS with the certificate in this file
    #[arg(long, value_name = "FILE")]
    admin_tls_certificate;
    /// Use the private key in this PEM file for it
    #[arg(long, value_name = "FILE")]
    admin_tls_key;
    /// Serve metrics for Prometheus here as well, without a token [default: off]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics;
    /// Tell the server the address at which clients reach it
    #[arg(long, value_name = "URL")]
    public_url;
    /// Refuse WebSockets by HTTP status or close code [default: http]
    #[arg(long, value_name = "http|close")]
    refusal;
    /// Show stored messages in this form [default: host]
    #[arg(long, value_name = "host|events")]
    history;
    /// Survive power failures, or only crashes [default: full]
    #[arg(long, value_name = "full|normal")]
    synchronous;
    /// Log at this level, or at levels by module [default: info]
    #[arg(long, value_name = "FILTER")]
    log;
    /// Write log lines in this form [default: text]
    #[arg(long, value_name = "text|json")]
    log_format;
}

/// The entries of the command line.
pub(super) fn entries(flags: &ConfigFlags, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let option = |(name, value): (&str, &String)| Entry {
        key: Key::Option(name.to_owned()),
        given: Given::Word(value.clone()),
        origin: Origin::Flag(format!("--{}", name.replace('_', "-"))),
    };
    let mut entries: Vec<Entry> = flags.options().map(option).collect();
    if !flags.origins.is_empty() {
        let given = Given::Word(flags.origins.join(","));
        let origin = Origin::Flag("--origin".to_owned());
        entries.push(Entry { key: Key::Option("origins".to_owned()), given, origin });
    }
    let mut repeatable = |flag: &str, form: &str, given: &[String], read: fn(&str, &str) -> Option<(Key, String)>| {
        for argument in given {
            let origin = Origin::Flag(flag.to_owned());
            match argument.split_once('=').and_then(|(name, value)| read(name.trim(), value)) {
                Some((key, value)) => entries.push(Entry { key, given: Given::Word(value), origin }),
                None => problems.push(Problem::Malformed { origin, why: format!("takes {form}; got `{argument}`") }),
            }
        }
    };
    repeatable("--limit", "NAME=VALUE", &flags.limits, |name, value| {
        Some((Key::Limit(name.to_owned()), value.trim().to_owned()))
    });
    repeatable("--identity", "NAME=VALUE", &flags.identity, |name, value| {
        Some((Key::Identity(name.to_owned()), value.trim().to_owned()))
    });
    repeatable("--failure", "HANDLER=MODE", &flags.failures, |handler, value| {
        Some((Key::Failure(handler.to_owned()), value.trim().to_owned()))
    });
    // The value of a setting may have white space around it.
    repeatable("--setting", "HANDLER.KEY=VALUE", &flags.settings, |name, value| {
        let (handler, key) = name.split_once('.')?;
        Some((Key::Setting { handler: handler.to_owned(), key: key.to_owned() }, value.to_owned()))
    });
    entries
}
