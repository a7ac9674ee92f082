//! The caller's identity, as the gateway in front has written it into the query or the headers. Knows nothing of rooms.
//!
//! The gateway verifies the user, but appends to what the client sent. A value that appears twice, or differs between
//! query and headers, is therefore refused: neither of the two can be trusted.

use std::borrow::Cow;
use std::str::Utf8Error;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::config::Limits;
use ondol_host_model::User;

/// Why a request has no usable identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    /// The request carries no identity.
    #[error("user_id, nickname and email are required, in the query or as X-User-ID, X-Nickname and X-Email")]
    Absent,
    /// A required value is missing or empty.
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    /// A value is given more than once.
    #[error("{0} is given more than once")]
    Twice(&'static str),
    /// The header and the query differ.
    #[error("{0} differs between the header and the query")]
    Differs(&'static str),
    /// A value is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    NotText(&'static str),
    /// A value is too long.
    #[error("{key} is longer than {limit} = {chars_max} characters")]
    TooLong { key: &'static str, limit: &'static str, chars_max: usize },
    /// A value contains control characters.
    #[error("{0} contains control characters")]
    Control(&'static str),
}

/// One value of an identity: its key in the query, and its header.
struct Key {
    query: &'static str,
    header: &'static str,
}

const USER_ID: Key = Key { query: "user_id", header: "x-user-id" };
const NICKNAME: Key = Key { query: "nickname", header: "x-nickname" };
const EMAIL: Key = Key { query: "email", header: "x-email" };
const PROFILE_URL: Key = Key { query: "profile_url", header: "x-profile-url" };

/// The caller, if the request carries an identity.
///
/// # Errors
///
/// When the identity is incomplete, ambiguous or too long.
pub(super) fn optional(query: &str, headers: &HeaderMap, limits: &Limits) -> Result<Option<User>, IdentityError> {
    match required(query, headers, limits) {
        Err(IdentityError::Absent) => Ok(None),
        user => user.map(Some),
    }
}

/// The caller.
///
/// # Errors
///
/// When the identity is missing, incomplete, ambiguous or too long. No error contains a value.
pub(super) fn required(query: &str, headers: &HeaderMap, limits: &Limits) -> Result<User, IdentityError> {
    let query = Values::read(|key| from_query(key, query))?;
    let headers = Values::read(|key| from_headers(key, headers))?;
    let values = match (query.is_empty(), headers.is_empty()) {
        (true, true) => return Err(IdentityError::Absent),
        (_, true) => query,
        (true, false) => headers,
        (false, false) => query.agreeing(&headers)?,
    };
    let id = check(&USER_ID, values.id, "user_id_chars_max", limits.user_id_chars_max)?;
    let nickname = check(&NICKNAME, values.nickname, "nickname_chars_max", limits.nickname_chars_max)?;
    let email = check(&EMAIL, values.email, "email_chars_max", limits.email_chars_max)?;
    let profile_url = check(&PROFILE_URL, values.profile_url, "profile_url_chars_max", limits.profile_url_chars_max)?;
    let needed = |value: Option<String>, key: Key| {
        value.filter(|value| !value.trim().is_empty()).ok_or(IdentityError::Missing(key.query))
    };
    Ok(User {
        id: needed(id, USER_ID)?,
        nickname: needed(nickname, NICKNAME)?,
        email: needed(email, EMAIL)?,
        profile_url: profile_url.filter(|url| !url.is_empty()),
    })
}

/// The values in one place: the query, or the headers.
#[derive(PartialEq, Eq)]
struct Values {
    id: Option<String>,
    nickname: Option<String>,
    email: Option<String>,
    profile_url: Option<String>,
}

impl Values {
    fn read(read: impl Fn(&Key) -> Result<Option<String>, IdentityError>) -> Result<Self, IdentityError> {
        Ok(Self {
            id: read(&USER_ID)?,
            nickname: read(&NICKNAME)?,
            email: read(&EMAIL)?,
            profile_url: read(&PROFILE_URL)?,
        })
    }

    fn is_empty(&self) -> bool {
        let Self { id, nickname, email, profile_url } = self;
        [id, nickname, email, profile_url].into_iter().all(Option::is_none)
    }

    /// These values, if the other place has the same ones. A gateway writes all of them in one place, so a value that
    /// is only in the other comes from the client.
    fn agreeing(self, other: &Self) -> Result<Self, IdentityError> {
        let pairs = [
            (USER_ID, &self.id, &other.id),
            (NICKNAME, &self.nickname, &other.nickname),
            (EMAIL, &self.email, &other.email),
            (PROFILE_URL, &self.profile_url, &other.profile_url),
        ];
        // An added value is reported before a missing one.
        let differing = || pairs.iter().filter(|(_, here, there)| here != there);
        match differing().find(|(_, _, there)| there.is_some()).or_else(|| differing().next()) {
            Some((key, _, _)) => Err(IdentityError::Differs(key.query)),
            None => Ok(self),
        }
    }
}

/// A value within its limits.
fn check(
    key: &Key,
    value: Option<String>,
    limit: &'static str,
    chars_max: usize,
) -> Result<Option<String>, IdentityError> {
    let Some(text) = &value else { return Ok(None) };
    if text.chars().count() > chars_max {
        return Err(IdentityError::TooLong { key: key.query, limit, chars_max });
    }
    if text.chars().any(char::is_control) {
        return Err(IdentityError::Control(key.query));
    }
    Ok(value)
}

fn from_query(key: &Key, query: &str) -> Result<Option<String>, IdentityError> {
    let mut found = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| decode_form(name).is_ok_and(|name| name == key.query));
    let Some((_, value)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(IdentityError::Twice(key.query));
    }
    decode_form(value).map(Some).map_err(|_| IdentityError::NotText(key.query))
}

/// Many programs behind a gateway take a header with underscores for the one with hyphens, so such a twin counts as a
/// duplicate.
fn from_headers(key: &Key, headers: &HeaderMap) -> Result<Option<String>, IdentityError> {
    let twin = |name: &str| name.contains('_') && name.replace('_', "-") == key.header;
    if headers.keys().any(|name| twin(name.as_str())) {
        return Err(IdentityError::Twice(key.query));
    }
    let mut found = headers.get_all(key.header).iter();
    let Some(value) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(IdentityError::Twice(key.query));
    }
    let raw = std::str::from_utf8(value.as_bytes()).map_err(|_| IdentityError::NotText(key.query))?;
    // A value that no encoder would have written stays as it is: a nickname may be "100%", and "victi%6D" is a
    // different user from "victim".
    if !encoded(raw) {
        return Ok(Some(raw.to_owned()));
    }
    let decoded = percent_decode_str(raw).decode_utf8();
    decoded.map(|value| Some(value.into_owned())).map_err(|_| IdentityError::NotText(key.query))
}

/// Whether every percent sign starts the code of a byte that encoders encode: any but the unreserved ones (RFC 3986,
/// section 2.3).
fn encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte))
    })
}

/// Percent-decodes a text of a query, where a plus is a space. Invalid UTF-8 is an error, where `form_urlencoded` would
/// put replacement characters into a name.
fn decode_form(text: &str) -> Result<String, Utf8Error> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().map(Cow::into_owned)
}

#[cfg(test)]
mod tests;
