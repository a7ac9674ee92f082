//! A JSON Web Token (RFC 7519) that says who calls.

use std::time::{Duration, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::keys::Key;
use super::values::Values;
use super::{Caller, IdentityError};
use crate::config::{IdentityConfig, Limits};

/// The subprotocol that stands before a token: browsers let pages set no other header of a WebSocket.
pub(crate) const SUBPROTOCOL: &str = "ondol.token";

/// The token of a request, if it has one.
///
/// # Errors
///
/// When it has several that differ.
pub(super) fn find<'a>(headers: &'a HeaderMap, cookie: Option<&str>) -> Result<Option<&'a str>, IdentityError> {
    let bearer = texts(headers, &header::AUTHORIZATION)
        .filter_map(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let protocols: Vec<&str> = offered(headers).collect();
    let after = |pair: &[&'a str]| match pair {
        [SUBPROTOCOL, token] => Some(*token),
        _ => None,
    };
    let offered = protocols.windows(2).filter_map(after);
    let cookies = texts(headers, &header::COOKIE)
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| Some(*name) == cookie)
        .map(|(_, token)| token);
    let mut found = bearer.chain(offered).chain(cookies);
    let Some(token) = found.next() else { return Ok(None) };
    if found.any(|other| other != token) {
        return Err(IdentityError::Twice("the token"));
    }
    Ok(Some(token))
}

/// The subprotocols that a client offers.
pub(crate) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    texts(headers, &header::SEC_WEBSOCKET_PROTOCOL).flat_map(|value| value.split(',')).map(str::trim)
}

fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// The caller that a token names, if one of the keys has signed it and it holds now.
pub(super) fn check(
    keys: &[Key],
    token: &str,
    config: &IdentityConfig,
    limits: &Limits,
) -> Result<Caller, IdentityError> {
    let refused = IdentityError::Token;
    let header = decode_header(token).map_err(|error| refused(why(error.kind())))?;
    if header.crit.is_some() {
        return Err(refused("has critical parameters (RFC 7515, section 4.1.11), and none is supported"));
    }
    // Each key has one algorithm, whatever the token asks for; a token without an id is tried with each of them.
    let fits = |key: &&Key| key.algorithm == header.alg && (header.kid.is_none() || key.id == header.kid);
    let mut failed = refused("was signed with a key or an algorithm that this server does not have");
    for key in keys.iter().filter(fits) {
        match decode::<Map<String, Value>>(token, &key.key, &validation(key, config)) {
            Ok(token) => return caller(&token.claims, config, limits),
            Err(error) => {
                failed = refused(match error.kind() {
                    // The signature holds by now.
                    ErrorKind::Json(_) | ErrorKind::InvalidClaimFormat(_) => "has a claim of the wrong type",
                    kind => why(kind),
                });
            }
        }
    }
    Err(failed)
}

fn validation(key: &Key, config: &IdentityConfig) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    validation.leeway = config.leeway_s;
    validation.validate_nbf = true;
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    match &config.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        // Without an audience in the configuration, a token for any audience is accepted.
        None => validation.validate_aud = false,
    }
    validation
}

fn caller(claims: &Map<String, Value>, config: &IdentityConfig, limits: &Limits) -> Result<Caller, IdentityError> {
    let values = Values {
        id: text(claims, &config.claim_user_id, "user_id")?,
        nickname: text(claims, &config.claim_nickname, "nickname")?,
        email: text(claims, &config.claim_email, "email")?,
        profile_url: text(claims, &config.claim_profile_url, "profile_url")?,
    };
    // Past what a clock can count, a token does not end.
    let seconds = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
    let end = Duration::try_from_secs_f64(seconds).ok();
    let end = end.and_then(|end| end.checked_add(Duration::from_secs(config.leeway_s)));
    Ok(Caller { user: values.user(limits)?, expires: end.and_then(|end| UNIX_EPOCH.checked_add(end)) })
}

/// A claim. Many services number their users.
fn text(claims: &Map<String, Value>, claim: &str, value: &'static str) -> Result<Option<String>, IdentityError> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) if number.is_u64() => Ok(Some(number.to_string())),
        Some(_) => Err(IdentityError::NotText(value)),
    }
}

/// What is wrong with a token, without anything that it contains.
fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "has expired",
        ErrorKind::ImmatureSignature => "is not valid yet",
        ErrorKind::InvalidIssuer => "is from another issuer than identity.issuer",
        ErrorKind::InvalidAudience => "is for another audience than identity.audience",
        ErrorKind::InvalidSignature => "has a wrong signature",
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            "was signed with a key or an algorithm that this server does not have"
        }
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "has no exp",
            "iss" => "has no iss",
            "aud" => "has no aud",
            _ => "lacks a claim",
        },
        _ => "is not a JSON Web Token",
    }
}
