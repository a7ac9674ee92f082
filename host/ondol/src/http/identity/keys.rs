//! The keys that prove an identity, from files that are read again when they change.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{KeyAlgorithm, KeyFile};
use crate::files::{FromFiles, bytes};

/// The least that a secret may be: as long as the hash (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// A key, and the one algorithm that it is used with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of all files.
pub(super) struct Keys(FromFiles<Vec<Key>>);

impl Keys {
    /// Reads all files.
    pub(super) fn read(files: &[KeyFile], jwks: Option<&Path>) -> anyhow::Result<Self> {
        let paths = files.iter().map(|key| key.file.as_path()).chain(jwks).map(Path::to_owned).collect();
        let (files, jwks) = (files.to_vec(), jwks.map(Path::to_owned));
        let read = FromFiles::read("identity: the keys", paths, move || read(&files, jwks.as_deref()));
        Ok(Self(read?))
    }

    /// The keys as the files have them. While a changed file cannot be read, those from before.
    pub(super) fn current(&self) -> Arc<Vec<Key>> {
        self.0.current()
    }
}

fn read(files: &[KeyFile], jwks: Option<&Path>) -> anyhow::Result<Vec<Key>> {
    let mut keys = Vec::new();
    for KeyFile { id, algorithm, file } in files {
        let key = bytes(file).and_then(|bytes| parse(*algorithm, &bytes));
        let (algorithm, key) = key.with_context(|| format!("identity.keys: {id}: {}", file.display()))?;
        keys.push(Key { id: Some(id.clone()), algorithm, key });
    }
    if let Some(path) = jwks {
        let set = bytes(path).and_then(|bytes| parse_set(&bytes));
        keys.extend(set.with_context(|| format!("identity.jwks: {}", path.display()))?);
    }
    Ok(keys)
}

/// A secret, or a public key in PEM.
fn parse(algorithm: KeyAlgorithm, bytes: &[u8]) -> anyhow::Result<(Algorithm, DecodingKey)> {
    Ok(match algorithm {
        KeyAlgorithm::Hs256 => {
            let secret = secret(bytes)?;
            (Algorithm::HS256, DecodingKey::from_secret(secret))
        }
        KeyAlgorithm::Rs256 => {
            (Algorithm::RS256, DecodingKey::from_rsa_pem(bytes).context("no RSA public key in PEM")?)
        }
        KeyAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem(bytes).context("no EC public key in PEM")?),
        KeyAlgorithm::EdDsa => {
            (Algorithm::EdDSA, DecodingKey::from_ed_pem(bytes).context("no Ed25519 public key in PEM")?)
        }
    })
}

/// The secret of a file, without the line break that an editor puts at its end.
pub(crate) fn secret(bytes: &[u8]) -> anyhow::Result<&[u8]> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let length = bytes.len();
    ensure!(length >= SECRET_BYTES_MIN, "a secret of {length} bytes is too short: it needs {SECRET_BYTES_MIN}");
    Ok(bytes)
}

/// The keys of a set that check signatures. Those for other purposes are skipped.
fn parse_set(bytes: &[u8]) -> anyhow::Result<Vec<Key>> {
    /// A set whose keys are not read yet: one of an unknown type must not hide the others.
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }

    let set: Set = serde_json::from_slice(bytes).context("not a JSON Web Key Set")?;
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let mut keys = Vec::new();
    for jwk in jwks.filter(|jwk| jwk.common.public_key_use != Some(PublicKeyUse::Encryption)) {
        let Some(algorithm) = algorithm(&jwk) else { continue };
        let key = DecodingKey::from_jwk(&jwk).context("a key is not well formed")?;
        keys.push(Key { id: jwk.common.key_id, algorithm, key });
    }
    if keys.is_empty() {
        bail!("no key for RS256, ES256, EdDSA or HS256");
    }
    Ok(keys)
}

/// The algorithm of a key: the one that it names, or the one of its type.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let of_type = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    match jwk.common.key_algorithm {
        None => Some(of_type),
        Some(named) => Algorithm::try_from(named).ok().filter(|named| *named == of_type),
    }
}
