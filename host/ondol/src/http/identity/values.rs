//! The four values of an identity, in the query or in the headers.
//!
//! A gateway appends to what the client sent. A value that appears twice, or differs between query and headers, is
//! therefore refused: neither of the two can be trusted.

use std::str::Utf8Error;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;

use super::IdentityError;
use crate::config::Limits;
use ondol_host_model::User;

/// One value of an identity: its key in the query, and its header.
struct Key {
    query: &'static str,
    header: &'static str,
    /// A plus in the query is a plus, and no space: `minji+chat@example.com` is a usual address.
    has_plus: bool,
}

const USER_ID: Key = Key { query: "user_id", header: "x-user-id", has_plus: true };
const NICKNAME: Key = Key { query: "nickname", header: "x-nickname", has_plus: false };
const EMAIL: Key = Key { query: "email", header: "x-email", has_plus: true };
const PROFILE_URL: Key = Key { query: "profile_url", header: "x-profile-url", has_plus: false };

/// The values in one place: the query, or the headers.
#[derive(PartialEq, Eq)]
pub(super) struct Values {
    pub(super) id: Option<String>,
    pub(super) nickname: Option<String>,
    pub(super) email: Option<String>,
    pub(super) profile_url: Option<String>,
}

impl Values {
    /// The values of a request, of which there may be none.
    pub(super) fn of(query: &str, headers: &HeaderMap) -> Result<Option<Self>, IdentityError> {
        let query = Self::read(|key| from_query(key, query))?;
        let headers = Self::read(|key| from_headers(key, headers))?;
        match (query.is_empty(), headers.is_empty()) {
            (true, true) => Ok(None),
            (_, true) => Ok(Some(query)),
            (true, false) => Ok(Some(headers)),
            (false, false) => query.agreeing(&headers).map(Some),
        }
    }

    /// The user, if the values are complete and within their limits.
    pub(super) fn user(self, limits: &Limits) -> Result<User, IdentityError> {
        let id = check(&USER_ID, self.id, "user_id_chars_max", limits.user_id_chars_max)?;
        let nickname = check(&NICKNAME, self.nickname, "nickname_chars_max", limits.nickname_chars_max)?;
        let email = check(&EMAIL, self.email, "email_chars_max", limits.email_chars_max)?;
        let profile_url = check(&PROFILE_URL, self.profile_url, "profile_url_chars_max", limits.profile_url_chars_max)?;
        let is_url = |url: &str| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            url.is_empty() || url.starts_with('/') || matches!(scheme.as_deref(), Some("http" | "https"))
        };
        if profile_url.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(IdentityError::NotUrl(PROFILE_URL.query));
        }
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
    let decoded =
        if key.has_plus { percent_decode_str(value).decode_utf8().map(Into::into) } else { decode_form(value) };
    decoded.map(Some).map_err(|_| IdentityError::NotText(key.query))
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
    percent_decode_str(&text.replace('+', " ")).decode_utf8().map(Into::into)
}
