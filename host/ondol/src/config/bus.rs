//! How the hosts of one chat reach each other.

use std::fmt;

use super::Config;
use ondol_host_cluster::{BusConfig, BusLimits};
use url::Url;

/// The addresses of NATS servers of one cluster of theirs, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusUrl(String);

impl BusUrl {
    /// Addresses that commas separate. None: one of them is no address of a NATS server, or has a password.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_server = |text: &str| {
            let Ok(url) = Url::parse(text) else { return false };
            let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
            matches!(url.scheme(), "nats" | "tls") && url.host().is_some() && is_bare && matches!(url.path(), "" | "/")
        };
        (!text.is_empty() && text.split(',').all(is_server)).then(|| Self(text.to_owned()))
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// The bus, if there is one.
    #[must_use]
    pub fn bus(&self) -> Option<BusConfig> {
        Some(BusConfig {
            url: self.bus.as_ref()?.as_str().to_owned(),
            credentials: self.bus_credentials_file.clone(),
            cluster: self.cluster.clone(),
            authority: self.bus_authority_file.clone(),
            limits: BusLimits::default(),
        })
    }

    /// The settings of the bus that do not go together.
    pub(super) fn bus_conflicts(&self) -> Vec<String> {
        let Some(bus) = self.bus() else {
            let files = [
                ("bus_credentials_file", &self.bus_credentials_file),
                ("bus_authority_file", &self.bus_authority_file),
            ];
            let alone = files.into_iter().filter(|(_, path)| path.is_some());
            return alone
                .map(|(name, _)| format!("`{name}` is set without `bus`: this host talks to no other"))
                .collect();
        };
        if self.store.is_none() {
            return vec!["`bus` is set without `store`: several hosts need a database that all of them use".to_owned()];
        }
        ondol_host_cluster::check(&bus).err().iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_list_of_nats_servers_without_secrets() {
        for url in ["nats://127.0.0.1:4222", "nats://nats-1:4222,nats://nats-2", "tls://[::1]:4222/"] {
            assert_eq!(BusUrl::parse(url).as_ref().map(BusUrl::as_str), Some(url));
        }
        for url in [
            "",
            "nats-1:4222",
            "http://nats-1",
            "nats://u:p@nats-1",
            "nats://token@nats-1",
            "nats://a,",
            "nats://a/b",
            "nats://a?x",
        ] {
            assert_eq!(BusUrl::parse(url), None, "{url}");
        }
    }
}
