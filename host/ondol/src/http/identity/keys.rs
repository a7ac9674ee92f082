//! The keys that prove an identity, from files that are read again when they change.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{KeyAlgorithm, KeyFile};

/// The most that a file of keys may be.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// The least that a secret may be: as long as the hash (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// How long a change of a file may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A key, and the one algorithm that it is used with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of all files.
pub(super) struct Keys {
    files: Vec<KeyFile>,
    jwks: Option<PathBuf>,
    read: Mutex<ReadKeys>,
}

struct ReadKeys {
    keys: Arc<[Key]>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

/// What of a file changes with its content.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

impl Keys {
    /// Reads all files.
    pub(super) fn read(files: &[KeyFile], jwks: Option<&Path>) -> anyhow::Result<Self> {
        let stamps = stamps(files, jwks);
        let read = ReadKeys { keys: read(files, jwks)?.into(), stamps, looked: Instant::now() };
        Ok(Self { files: files.to_vec(), jwks: jwks.map(Into::into), read: Mutex::new(read) })
    }

    /// The keys as the files have them. While a changed file cannot be read, those from before.
    pub(super) fn current(&self) -> Arc<[Key]> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            let stamps = stamps(&self.files, self.jwks.as_deref());
            if stamps != known.stamps {
                known.stamps = stamps;
                match read(&self.files, self.jwks.as_deref()) {
                    Ok(keys) => {
                        tracing::info!(keys = keys.len(), "identity: {} keys read again", keys.len());
                        known.keys = keys.into();
                    }
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "identity: the keys from before stay: {error:#}");
                    }
                }
            }
        }
        Arc::clone(&known.keys)
    }
}

fn stamps(files: &[KeyFile], jwks: Option<&Path>) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
    };
    files.iter().map(|key| key.file.as_path()).chain(jwks).map(stamp).collect()
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

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).context("cannot open the file")?;
    ensure!(file.metadata()?.is_file(), "not a regular file");
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).context("cannot read the file")?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "larger than {FILE_BYTES_MAX} bytes");
    Ok(bytes)
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
