//! The names of settings: what a layer's entry refers to, and the known name nearest to an unknown one.

use std::fmt;

use super::error::{Origin, nearest};
use super::given::Given;
use super::identity::IdentityConfig;
use super::limits::Limits;
use super::settings::Settings;

/// One value for one setting, and where it came from.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) given: Given,
    pub(super) origin: Origin,
}

/// The setting that an entry refers to.
pub(super) enum Key {
    Option(String),
    Limit(String),
    Identity(String),
    Setting { handler: String, key: String },
    Failure(String),
}

impl Key {
    /// Whether the value is never shown.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Self::Option(name) if name == "admin_token")
    }

    /// Whether an error must not show the value.
    pub(super) fn may_hold_secret(&self) -> bool {
        // A URL may name a user with a password, although none of these takes one.
        self.is_secret() || matches!(self, Self::Option(name) if name == "otlp" || name == "store" || name == "bus")
    }

    /// The most similar known name, if one is similar enough. `options` are the names of the settings that are no
    /// limits.
    pub(super) fn nearest(&self, options: &[&'static str]) -> Option<String> {
        match self {
            // Such as a limit outside of its table.
            Self::Option(name) => match nearest(name, names(options)) {
                Some(near) if options.contains(&near) => Some(near.to_owned()),
                Some(near) => Some(format!("limits.{near}")),
                None => nearest(name, ["limits", "settings", "failure", "identity"]).map(str::to_owned),
            },
            Self::Limit(name) if name.contains('.') => {
                let known: Vec<String> = Limits::names_of_handlers().collect();
                nearest(name, known.iter().map(String::as_str)).map(|near| format!("limits.{near}"))
            }
            Self::Identity(name) => {
                nearest(name, IdentityConfig::NAMES.iter().copied()).map(|near| format!("identity.{near}"))
            }
            Self::Failure(handler) => nearest(handler, Settings::HANDLERS).map(|near| format!("failure.{near}")),
            Self::Limit(name) => nearest(name, Limits::TABLE.iter().map(|limit| limit.name))
                .map(|near| format!("limits.{near}"))
                .or_else(|| nearest(name, options.iter().copied()).map(str::to_owned)),
            Self::Setting { handler, key } => {
                nearest(handler, Settings::HANDLERS).map(|near| format!("settings.{near}.{key}"))
            }
        }
    }
}

/// The names of the options and the limits.
pub(super) fn names(options: &[&'static str]) -> impl Iterator<Item = &'static str> {
    options.iter().copied().chain(Limits::TABLE.iter().map(|limit| limit.name))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "{name}"),
            Self::Identity(name) => write!(f, "identity.{name}"),
            Self::Limit(name) => write!(f, "limits.{name}"),
            Self::Failure(handler) => write!(f, "failure.{handler}"),
            Self::Setting { handler, key } if key.is_empty() => write!(f, "settings.{handler}"),
            Self::Setting { handler, key } => write!(f, "settings.{handler}.{key}"),
        }
    }
}
