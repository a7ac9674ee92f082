//! The query of a request, beside the identity that it may carry.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::Request;

use super::answer::HttpError;

/// The query of a request.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(request: &'a Request<Bytes>) -> Self {
        Self(request.uri().query().unwrap_or_default())
    }

    /// A value as it stands.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, HttpError> {
        let mut found = form_urlencoded::parse(self.0.as_bytes()).filter(|(key, _)| key == name);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(HttpError::field(name, "invalid", format!("{name}: given more than once.")));
        }
        Ok(Some(value))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, HttpError> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        // The database numbers in 64 bits with a sign.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse::<i64>().ok().filter(|_| is_plain).and_then(|number| u64::try_from(number).ok());
        number.map(Some).ok_or_else(|| {
            HttpError::field(name, "invalid", format!("{name}: expected a whole number from 0 to {}.", i64::MAX))
        })
    }

    /// How many entries a page may have.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, HttpError> {
        let Some(limit) = self.number("limit")? else { return Ok(default.min(max)) };
        usize::try_from(limit).ok().filter(|limit| (1..=max).contains(limit)).ok_or_else(|| {
            HttpError::field("limit", "invalid", format!("limit: expected a whole number from 1 to {max}."))
        })
    }
}

#[cfg(test)]
mod properties;
