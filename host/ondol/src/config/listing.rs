//! Every value of a configuration by its name: where it came from, and what another configuration changes.

use std::collections::BTreeMap;

use ondol_host_handlers::{HandlerKind, OnFault};

use super::applies::Applies;
use super::error::Origin;
use super::identity::IdentityConfig;
use super::key::Key;
use super::limits::Limits;
use super::shown::quoted;
use super::{Config, Settings};

/// From which layer each value came. Those that are missing are defaults.
#[derive(Debug, Default)]
pub struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    /// Where a value came from. None: it is the default.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Origin> {
        self.0.get(name)
    }
}

/// One value of a configuration.
#[derive(Clone)]
pub struct Listed {
    /// Its name, such as `limits.frame_bytes_max`.
    pub name: String,
    /// When a change of it applies.
    pub applies: Applies,
    /// As TOML has it. None: it has none.
    value: Option<String>,
    is_secret: bool,
}

impl Listed {
    /// The value as a file has it, unless it is a secret. None: it has none.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref().map(|value| if self.is_secret { "(secret)" } else { value })
    }
}

/// What a reload leads to, by the names of the settings.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Those that change while the server runs.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub restart: Vec<String>,
}

impl Config {
    /// All values. Limits and settings of single handlers are listed if they are set.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let mut list = Vec::new();
        for (row, value) in Self::ROWS.iter().zip(self.values()) {
            let is_secret = Key::Option(row.name.to_owned()).is_secret();
            list.push(Listed { name: row.name.to_owned(), applies: row.applies, value, is_secret });
        }
        let mut plain = |name: String, applies, value| {
            list.push(Listed { name, applies, value, is_secret: false });
        };
        for (row, value) in IdentityConfig::ROWS.iter().zip(self.identity.values()) {
            plain(format!("identity.{}", row.name), row.applies, value);
        }
        for handler in HandlerKind::ALL {
            let on_fault = match self.failure.of(handler) {
                OnFault::Refuse => "refuse",
                OnFault::Default => "default",
            };
            plain(format!("failure.{handler}"), Applies::Restart, Some(quoted(on_fault)));
        }
        for limit in Limits::TABLE {
            let value = self.limits.get(limit.name).map(|value| limit.measure().toml(value));
            plain(format!("limits.{}", limit.name), limit.applies, value);
        }
        for ((handler, name), value) in &self.limits.of_handlers {
            let limit = Limits::TABLE.iter().find(|limit| limit.name == *name);
            let value = limit.map(|limit| limit.measure().toml(*value));
            plain(format!("limits.{handler}.{name}"), Applies::Restart, value);
        }
        for handler in Settings::HANDLERS {
            for (key, value) in self.settings.of(handler).into_iter().flatten() {
                plain(format!("settings.{handler}.{key}"), Applies::Live, Some(quoted(value)));
            }
        }
        list
    }

    /// What another configuration changes.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Difference {
        let values = |config: &Self| -> BTreeMap<String, Listed> {
            config.list().into_iter().map(|listed| (listed.name.clone(), listed)).collect()
        };
        let (mut before, after) = (values(self), values(other));
        let mut difference = Difference::default();
        let mut add = |listed: &Listed| match listed.applies {
            Applies::Live => difference.live.push(listed.name.clone()),
            Applies::Restart => difference.restart.push(listed.name.clone()),
        };
        for (name, listed) in &after {
            if before.remove(name).is_none_or(|before| before.value != listed.value) {
                add(listed);
            }
        }
        before.values().for_each(add);
        difference
    }

    /// This configuration with what a running server can take over of another one.
    #[must_use]
    pub fn with_live_of(&self, other: &Self) -> Self {
        let mut config = self.clone();
        for row in Self::ROWS.iter().filter(|row| row.applies == Applies::Live) {
            config.take_row(row.name, other);
        }
        for limit in Limits::TABLE.iter().filter(|limit| limit.applies == Applies::Live) {
            config.limits.take(limit.name, &other.limits);
        }
        config.settings = other.settings.clone();
        config
    }
}
