//! The four values of an identity, in the query or in the headers.
//!
//! A gateway appends to what the client sent. A value that appears twice, or differs between query and headers, is
//! therefore refused: neither of the two can be trusted.

use std::borrow::Cow;
use std::str::Utf8Error;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;

use super::IdentityError;
use super::mangled::{How, Mangled};
use crate::config::Limits;
use ondol_host_model::User;

/// One value of an identity: its key in the query, and its header.
struct Key {
    query: &'static str,
    header: &'static str,
    /// A plus in the query is a plus, and no space: `minji+chat@example.com` is a usual address.
    has_plus: bool,
    /// The value is the address of a picture.
    is_url: bool,
    /// The value as it is kept. An id is the same user however it is composed, so it is kept composed (NFC); a nickname is
    /// trimmed.
    kept: fn(&str) -> Cow<'_, str>,
}

const USER_ID: Key =
    Key { query: "user_id", header: "X-User-ID", has_plus: true, is_url: false, kept: ondol_text::nfc };
const NICKNAME: Key =
    Key { query: "nickname", header: "X-Nickname", has_plus: false, is_url: false, kept: ondol_text::name };
const EMAIL: Key = Key { query: "email", header: "X-Email", has_plus: true, is_url: false, kept: as_sent };
const PROFILE_URL: Key =
    Key { query: "profile_url", header: "X-Profile-URL", has_plus: false, is_url: true, kept: as_sent };

fn as_sent(value: &str) -> Cow<'_, str> {
    Cow::Borrowed(value)
}

/// The values in one place, as sent: the query, the headers or a token.
pub(super) struct Values {
    pub(super) id: Option<String>,
    pub(super) nickname: Option<String>,
    pub(super) email: Option<String>,
    pub(super) profile_url: Option<String>,
}

impl Values {
    /// The values in the query.
    pub(super) fn in_query(query: &str) -> Result<Self, IdentityError> {
        Self::read(|key| from_query(key, query))
    }

    /// The values in the headers.
    pub(super) fn in_headers(headers: &HeaderMap) -> Result<Self, IdentityError> {
        Self::read(|key| from_headers(key, headers))
    }

    /// The values of a request, of which there may be none.
    pub(super) fn merged(query: Self, headers: Self) -> Result<Option<Self>, IdentityError> {
        match (query.is_empty(), headers.is_empty()) {
            (true, true) => Ok(None),
            (_, true) => Ok(Some(query)),
            (true, false) => Ok(Some(headers)),
            (false, false) => query.agreeing(&headers).map(Some),
        }
    }

    /// The values of the query and of the headers that were probably mangled on their way.
    pub(super) fn mangled(query: &Self, headers: &Self) -> impl Iterator<Item = Mangled> {
        let of = |values: &Self, place: fn(&Key) -> &'static str| {
            values.pairs().map(|(key, value)| Mangled::find(place(&key), value?, key.is_url))
        };
        of(query, |key| key.query).into_iter().chain(of(headers, |key| key.header)).flatten()
    }

    /// The user, if the values are complete and within their limits.
    pub(super) fn user(&self, limits: &Limits) -> Result<User, IdentityError> {
        let [id, nickname, email, profile_url] = self.pairs();
        let id = check(id, "user_id_chars_max", limits.user_id_chars_max)?;
        let nickname = check(nickname, "nickname_chars_max", limits.nickname_chars_max)?;
        let email = check(email, "email_chars_max", limits.email_chars_max)?;
        let profile_url = check(profile_url, "profile_url_chars_max", limits.profile_url_chars_max)?;
        let is_url = |url: &str| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            url.is_empty() || url.starts_with('/') || matches!(scheme.as_deref(), Some("http" | "https"))
        };
        if profile_url.as_deref().is_some_and(|url| !is_url(url)) {
            return Err(IdentityError::NotUrl(PROFILE_URL.query));
        }
        let needed = |value: Option<String>, key: Key| {
            value.filter(|value| !ondol_text::is_blank(value)).ok_or(IdentityError::Missing(key.query))
        };
        Ok(User {
            id: needed(id, USER_ID)?,
            nickname: needed(nickname, NICKNAME)?,
            email: needed(email, EMAIL)?,
            profile_url: profile_url.filter(|url| !url.is_empty()),
        })
    }

    /// What a signature covers.
    pub(super) fn signed(&self) -> [&str; 4] {
        self.pairs().map(|(_, value)| value.unwrap_or_default())
    }

    fn pairs(&self) -> [(Key, Option<&str>); 4] {
        [
            (USER_ID, self.id.as_deref()),
            (NICKNAME, self.nickname.as_deref()),
            (EMAIL, self.email.as_deref()),
            (PROFILE_URL, self.profile_url.as_deref()),
        ]
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
        self.pairs().into_iter().all(|(_, value)| value.is_none())
    }

    /// These values, if the other place has the same ones. A gateway writes all of them in one place, so a value that
    /// is only in the other comes from the client.
    fn agreeing(self, other: &Self) -> Result<Self, IdentityError> {
        let composed = |value: Option<&str>| value.map(|value| ondol_text::nfc(value).into_owned());
        let pairs = self.pairs().into_iter().zip(other.pairs());
        let pairs = pairs.map(|((key, here), (_, there))| (key.query, composed(here), composed(there)));
        let differing: Vec<_> = pairs.filter(|(_, here, there)| here != there).collect();
        // An added value is reported before a missing one.
        match differing.iter().find(|(_, _, there)| there.is_some()).or(differing.first()) {
            Some((key, _, _)) => Err(IdentityError::Differs(key)),
            None => Ok(self),
        }
    }
}

/// A value as it is kept, within its limits.
fn check(
    (key, value): (Key, Option<&str>),
    limit: &'static str,
    chars_max: usize,
) -> Result<Option<String>, IdentityError> {
    let Some(value) = value else { return Ok(None) };
    if value.contains(char::is_control) {
        return Err(IdentityError::Control(key.query));
    }
    let kept = (key.kept)(value);
    if ondol_text::is_longer(&kept, chars_max) {
        return Err(IdentityError::TooLong { key: key.query, limit, chars_max });
    }
    Ok(Some(kept.into_owned()))
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
    decoded.map(Some).map_err(|_| Mangled::new(key.query, How::NotUtf8).into())
}

/// Many programs behind a gateway take a header with underscores for the one with hyphens, so such a twin counts as a
/// duplicate.
fn from_headers(key: &Key, headers: &HeaderMap) -> Result<Option<String>, IdentityError> {
    let twin = |name: &str| name.contains('_') && name.replace('_', "-").eq_ignore_ascii_case(key.header);
    if headers.keys().any(|name| twin(name.as_str())) {
        return Err(IdentityError::Twice(key.query));
    }
    let mut found = headers.get_all(key.header).iter();
    let Some(value) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(IdentityError::Twice(key.query));
    }
    let not_utf8 = |_| IdentityError::from(Mangled::new(key.header, How::NotUtf8));
    let raw = std::str::from_utf8(value.as_bytes()).map_err(not_utf8)?;
    // A value that no encoder would have written stays as it is: a nickname may be "100%", and "victi%6D" is a
    // different user from "victim".
    if !encoded(raw) {
        return Ok(Some(raw.to_owned()));
    }
    percent_decode_str(raw).decode_utf8().map(|value| Some(value.into_owned())).map_err(not_utf8)
}

/// Whether every percent sign starts the code of a byte that encoders encode: any but the unreserved ones (RFC 3986,
/// section 2.3).
pub(super) fn encoded(text: &str) -> bool {
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
