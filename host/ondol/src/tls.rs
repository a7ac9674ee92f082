//! TLS of both sides: the certificate that a listener shows, and the authorities that a client trusts. Knows files and
//! rustls, and nothing of connections.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

use crate::config::TlsFiles;
use crate::files::{FromFiles, bytes};

/// The protocols of a listener (RFC 7301), the preferred one first.
pub(crate) const HTTP_2: &[u8] = b"h2";
pub(crate) const HTTP_1: &[u8] = b"http/1.1";

/// The settings of a listener. Its certificate is read again when the files change; open connections go on.
///
/// # Errors
///
/// When a file cannot be read, or the key is not that of the certificate.
pub(crate) fn server(name: &'static str, files: TlsFiles, protocols: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
    let paths = vec![files.certificate.clone(), files.key.clone()];
    let certificate = FromFiles::read(name, paths, move || certified_key(&files)).context(name)?;
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(Certificate(certificate)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The settings of a client that trusts the authorities in a file, or those of the system.
///
/// # Errors
///
/// When no authority can be read.
pub(crate) fn client(ca: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let context = || format!("admin_ca: {}", path.display());
            let certificates = bytes(path).and_then(|pem| certificates(&pem)).with_context(context)?;
            certificates.into_iter().try_for_each(|certificate| roots.add(certificate)).with_context(context)?;
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            ensure!(!roots.is_empty(), "this system has no certificates of authorities: give --admin-ca FILE");
        }
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate of a listener, whatever name a client asks for.
struct Certificate(FromFiles<CertifiedKey>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

fn certified_key(files: &TlsFiles) -> anyhow::Result<CertifiedKey> {
    let chain = bytes(&files.certificate).and_then(|pem| certificates(&pem));
    let chain = chain.with_context(|| files.certificate.display().to_string())?;
    let key = bytes(&files.key).and_then(|pem| private_key(&pem));
    let key = key.with_context(|| files.key.display().to_string())?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => anyhow::anyhow!(
            "{} is not the key of the certificate in {}",
            files.key.display(),
            files.certificate.display()
        ),
        error => anyhow::Error::new(error).context(format!(
            "cannot use {} with {}",
            files.certificate.display(),
            files.key.display()
        )),
    })
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| anyhow::anyhow!("not PEM"))?;
    ensure!(!certificates.is_empty(), "no certificate in PEM");
    Ok(certificates)
}

/// The first private key. No error shows a part of the file.
fn private_key(pem: &[u8]) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| anyhow::anyhow!("no private key in PEM"))
}
