//! The benchmark's own certificate: one for the whole run, which its clients trust and its servers show.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// The files of the certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

fn certified() -> anyhow::Result<&'static CertifiedKey<KeyPair>> {
    static CERTIFIED: OnceLock<CertifiedKey<KeyPair>> = OnceLock::new();
    if CERTIFIED.get().is_none() {
        let _ = CERTIFIED.set(generate_simple_self_signed([NAME.to_owned()])?);
    }
    CERTIFIED.get().context("no certificate")
}

/// Writes the files into a directory.
pub(crate) fn write(directory: &Path) -> anyhow::Result<Files> {
    let files = Files { certificate: directory.join("tls.pem"), key: directory.join("tls.key") };
    std::fs::write(&files.certificate, certified()?.cert.pem())?;
    std::fs::write(&files.key, certified()?.signing_key.serialize_pem())?;
    Ok(files)
}

/// The settings of a client, which trusts the certificate and nothing else.
pub(crate) fn client() -> anyhow::Result<Arc<ClientConfig>> {
    static CLIENT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(Arc::clone(client));
    }
    let mut roots = RootCertStore::empty();
    roots.add(certified()?.cert.der().clone())?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(CLIENT.get_or_init(|| config)))
}

/// The settings of the plain server with these files.
pub(crate) fn server(files: &Files) -> anyhow::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(&files.certificate)?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    Ok(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key)?))
}
