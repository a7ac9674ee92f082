//! The files of TLS: which listeners have a certificate.

use std::path::PathBuf;

use super::Config;
use super::admin::AdminAddress;

/// A certificate and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Config {
    /// The files of the public listener. None: it serves without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFiles> {
        files(self.tls_certificate.as_ref(), self.tls_key.as_ref())
    }

    /// The files of the admin API's listener.
    #[must_use]
    pub fn admin_tls(&self) -> Option<TlsFiles> {
        files(self.admin_tls_certificate.as_ref(), self.admin_tls_key.as_ref())
    }

    /// The address of the admin API as its clients use it: with a certificate a port is a URL.
    #[must_use]
    pub fn admin_url(&self) -> Option<AdminAddress> {
        match (&self.admin, self.admin_tls()) {
            (Some(AdminAddress::Tcp(address)), Some(_)) => Some(AdminAddress::https(*address)),
            (Some(AdminAddress::Http { host, port }), Some(_)) => {
                Some(AdminAddress::Https { host: host.clone(), port: *port })
            }
            (address, _) => address.clone(),
        }
    }

    /// The settings of TLS that do not go together.
    pub(super) fn tls_conflicts(&self) -> Vec<String> {
        let halves = [
            ("tls_certificate", &self.tls_certificate, "tls_key", &self.tls_key),
            ("admin_tls_certificate", &self.admin_tls_certificate, "admin_tls_key", &self.admin_tls_key),
        ];
        let conflict = |(certificate, has_certificate, key, has_key): (_, &Option<_>, _, &Option<_>)| match (
            has_certificate,
            has_key,
        ) {
            (Some(_), None) => Some(format!("`{certificate}` is set without `{key}`: TLS takes both")),
            (None, Some(_)) => Some(format!("`{key}` is set without `{certificate}`: TLS takes both")),
            _ => None,
        };
        let mut conflicts: Vec<String> = halves.into_iter().filter_map(conflict).collect();
        if let (Some(AdminAddress::Unix(_)), Some(_)) = (&self.admin, self.admin_tls()) {
            conflicts.push("`admin_tls_certificate` is for a port: `admin` is a Unix socket".to_owned());
        }
        conflicts
    }
}

fn files(certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<TlsFiles> {
    Some(TlsFiles { certificate: certificate?.clone(), key: key?.clone() })
}
