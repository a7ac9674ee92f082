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
            /// Allow WebSockets from pages of this origin; repeatable [default: any origin]
            #[arg(long = "origin", value_name = "ORIGIN")]
            pub origins: Vec<String>,
            /// Set a limit, also for one handler: messages.handler_deadline_ms=50; repeatable
            #[arg(long = "limit", value_name = "NAME=VALUE")]
            pub limits: Vec<String>,
            /// On a fault of messages or events: refuse, or default for the built-in handler [default: refuse]
            #[arg(long = "failure", value_name = "HANDLER=MODE")]
            pub failures: Vec<String>,
            /// Set a handler setting, such as messages.text_length_max=500; repeatable
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
    /// Listen on this address; port 0 picks a free port and prints it [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen;
    /// Keep the database in this directory [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    data;
    /// Load rooms.wasm, messages.wasm and events.wasm from this directory [default: target/handlers]
    #[arg(long, value_name = "DIR")]
    handlers;
    /// Cache compiled handlers in this directory [default: `cache` in the data directory]
    #[arg(long, value_name = "DIR")]
    cache;
    /// Serve the admin API on this address, or on unix:PATH [default: off]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin;
    /// Require the token in this file for the admin API
    #[arg(long, value_name = "FILE")]
    admin_token_file;
    /// Refuse WebSockets by an HTTP status (http) or by a close code (close) [default: http]
    #[arg(long, value_name = "STYLE")]
    refusal;
    /// Make commits survive a power failure (full) or only a crash (normal) [default: full]
    #[arg(long, value_name = "MODE")]
    synchronous;
    /// Log at this level, or at levels by module: info,ondol_host_store=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log;
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
