//! The signature of a gateway over the values of an identity and the request that they are for.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use jsonwebtoken::crypto;

use super::keys::Key;
use super::{Asked, IdentityError};

const HEADER: &str = "x-ondol-assertion";

/// How far ahead an assertion may expire, in seconds.
const AHEAD_MAX_S: u64 = 60;

/// The header, if the request has one.
pub(super) fn find(headers: &HeaderMap) -> Result<Option<&str>, IdentityError> {
    let mut found = headers.get_all(HEADER).iter();
    let Some(value) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(IdentityError::Twice("X-Ondol-Assertion"));
    }
    value.to_str().map(Some).map_err(|_| IdentityError::Assertion(FORM))
}

const FORM: &str = "must be v1.KEY.EXPIRY.SIGNATURE";

/// Checks the header against the request and the values that it signs.
pub(super) fn check(
    keys: &[Key],
    header: &str,
    asked: &Asked<'_>,
    values: [&str; 4],
    leeway_s: u64,
) -> Result<(), IdentityError> {
    let refused = |why| Err(IdentityError::Assertion(why));
    let mut parts = header.split('.');
    let (Some("v1"), Some(id), Some(expiry), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refused(FORM);
    };
    let is_number = !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
    let Some(expires) = expiry.parse::<u64>().ok().filter(|_| is_number) else {
        return refused("has an expiry that is not a number of seconds");
    };
    let Some(key) = keys.iter().find(|key| key.id.as_deref() == Some(id)) else {
        return refused("names a key that is not one of identity.keys");
    };
    let text = text(id, expiry, asked.method.as_str(), asked.path, values);
    if !crypto::verify(signature, text.as_bytes(), &key.key, key.algorithm).unwrap_or(false) {
        return refused("does not match the method, the path and the identity");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if expires.saturating_add(leeway_s) <= now {
        return refused("has expired");
    }
    if expires > now + AHEAD_MAX_S + leeway_s {
        return refused("expires more than 60 seconds ahead");
    }
    Ok(())
}

/// The text that is signed: the values are id, nickname, address and picture, as sent. No value contains a line break:
/// values with control characters are refused.
pub(crate) fn text(key_id: &str, expiry: &str, method: &str, path: &str, values: [&str; 4]) -> String {
    [&["ondol-assertion-v1", key_id, expiry, method, path], &values[..]].concat().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use jsonwebtoken::{Algorithm, EncodingKey};

    use super::*;

    #[test]
    fn the_signed_text_is_the_documented_one() {
        let documented = include_str!("../../../../../docs/identity.md");
        let key = EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
        for (method, path, profile_url, signature) in [
            ("POST", "/chat/v1/message/", "", "xXWvy5dJo25oOawWCdNR_p-6A4980-emveqIoYVHGCg"),
            ("GET", "/ws/chat/1/chat/", "/media/민지.png", "StlCbWYAfttwwdaYnQzDigumI3QTVv5DqACLM3iv370"),
        ] {
            let text = text("k1", "1800000000", method, path, ["u1", "민지", "minji@example.com", profile_url]);
            assert_eq!(crypto::sign(text.as_bytes(), &key, Algorithm::HS256).unwrap(), signature);
            assert!(documented.contains(&format!("`{method} {path}`")) && documented.contains(signature));
        }
    }
}
