//! Where the bus is, and what it takes.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use super::BusError;

/// Where the bus is.
#[derive(Clone, Debug)]
pub struct BusConfig {
    /// Addresses of NATS servers, with commas between them.
    pub url: String,
    /// A `.creds` file of NATS, or one with `user:password`.
    pub credentials: Option<PathBuf>,
    /// The name that the hosts of one chat have in common.
    pub cluster: String,
    /// The authority of the servers' certificates, in PEM. None: those of the system.
    pub authority: Option<PathBuf>,
    /// What it takes.
    pub limits: BusLimits,
}

/// What the bus takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusLimits {
    /// How many bytes may wait for one host.
    pub link_bytes_max: usize,
    /// How often a host shows that it lives.
    pub beat_ms: u64,
    /// How long its beats may take to come back.
    pub echo_ms_max: u64,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self { link_bytes_max: 8 << 20, beat_ms: 250, echo_ms_max: 1_000 }
    }
}

/// Whether the bus may be used: a host believes what comes over it.
///
/// # Errors
///
/// When others than this machine's users could say something on it.
pub fn check(config: &BusConfig) -> Result<(), BusError> {
    let is_open = |server: &&str| !server.starts_with("tls://") && !is_local(server);
    match config.url.split(',').find(is_open) {
        Some(server) if config.credentials.is_none() => Err(BusError::Config(format!(
            "`bus` {server} is beyond this machine, and hosts believe what is said there: set bus_credentials_file, or use tls://"
        ))),
        _ => Ok(()),
    }
}

fn is_local(server: &str) -> bool {
    let address = server.split_once("://").map_or(server, |(_, address)| address).trim_end_matches('/');
    let host = match address.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    };
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let found: Vec<_> = (host == "localhost")
                .then(|| (host, 0).to_socket_addrs().into_iter().flatten())
                .into_iter()
                .flatten()
                .collect();
            !found.is_empty() && found.iter().all(|address| address.ip().is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, credentials: Option<&str>) -> Result<(), BusError> {
        let credentials = credentials.map(PathBuf::from);
        check(&BusConfig {
            url: url.to_owned(),
            credentials,
            cluster: "ondol".to_owned(),
            authority: None,
            limits: BusLimits::default(),
        })
    }

    #[test]
    fn a_bus_beyond_this_machine_takes_credentials_or_tls() {
        for url in
            ["nats://127.0.0.1:4222", "nats://[::1]:4222,nats://127.0.0.2", "nats://localhost", "tls://nats-1:4222"]
        {
            assert!(checked(url, None).is_ok(), "{url}");
        }
        for url in ["nats://nats-1:4222", "nats://127.0.0.1,nats://10.0.0.1", "nats://[fe80::1]"] {
            let error = checked(url, None).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with("`bus` nats://") && error.contains("bus_credentials_file"), "{error}");
            assert!(checked(url, Some("/run/ondol.creds")).is_ok(), "{url}");
        }
    }
}
