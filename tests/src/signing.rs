//! What an identity provider and a signing gateway do: tokens and assertions with the keys in `tests/keys`, which are for
//! these tests alone.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use serde_json::{Value, json};

use crate::{handlers::workspace, user::User};

/// The secret in `tests/keys/hs256.secret`.
const SECRET: &[u8] = b"a secret of the tests, 32 bytes or longer";

/// A file in `tests/keys`.
#[must_use]
pub fn key_file(name: &str) -> PathBuf {
    workspace().join("tests/keys").join(name)
}

/// The time in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The claims of a user whose token holds for an hour.
#[must_use]
pub fn claims(user: &User) -> Value {
    json!({
        "sub": user.id, "nickname": user.nickname, "email": user.email, "picture": user.picture, "exp": now() + 3_600
    })
}

/// A token of these claims, signed with the tests' key for an algorithm: `HS256`, `RS256`, `ES256` or `EdDSA`.
///
/// # Errors
/// When the key cannot be read.
pub fn token(algorithm: &str, claims: &Value) -> Result<String> {
    let algorithm: Algorithm = algorithm.parse()?;
    token_with(&Header::new(algorithm), claims)
}

/// A token with a header of its own.
///
/// # Errors
/// When the key cannot be read.
pub fn token_with(header: &Header, claims: &Value) -> Result<String> {
    let private = |name| std::fs::read(key_file(name));
    let key = match header.alg {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&private("rs256.private.pem")?)?,
        Algorithm::ES256 => EncodingKey::from_ec_pem(&private("es256.private.pem")?)?,
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&private("eddsa.private.pem")?)?,
        _ => EncodingKey::from_secret(SECRET),
    };
    Ok(encode(header, claims, &key)?)
}

/// The same with a secret of its own.
///
/// # Errors
/// When it cannot be signed.
pub fn token_of_secret(secret: &[u8], claims: &Value) -> Result<String> {
    Ok(encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))?)
}

/// The header `X-Ondol-Assertion` for a request of `user`, as the documentation defines it.
///
/// # Errors
/// When it cannot be signed.
pub fn assertion(key: &str, expiry: u64, method: &str, path: &str, user: &User) -> Result<String> {
    let picture = user.picture.as_deref().unwrap_or_default();
    let User { id, nickname, email, .. } = user;
    let text = format!("ondol-assertion-v1\n{key}\n{expiry}\n{method}\n{path}\n{id}\n{nickname}\n{email}\n{picture}");
    let signature = crypto::sign(text.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256)?;
    Ok(format!("v1.{key}.{expiry}.{signature}"))
}
