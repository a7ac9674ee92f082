//! A certificate that an engine shows and a client has to trust.

use std::{fs, path::Path};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate for `localhost` and `127.0.0.1`, its key, and the authority that issued it, all in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The authority, for the roots of a client.
    pub authority: String,
}

impl Certificate {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let names = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = names.signed_by(&key, &Issuer::new(params, authority_key))?.pem();
        Ok(Self { certificate, key: key.serialize_pem(), authority })
    }

    /// Writes `server.pem`, `server.key` and `ca.pem`.
    pub(crate) fn place(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("server.pem"), &self.certificate)?;
        fs::write(directory.join("server.key"), &self.key)?;
        Ok(fs::write(directory.join("ca.pem"), &self.authority)?)
    }
}
