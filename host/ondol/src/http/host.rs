//! The host that a request is for (RFC 9112, section 3.2).

use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, Version, header};

use super::answer::HttpError;

/// The host of a request. None: a request of HTTP/1.0 need not name one.
///
/// # Errors
///
/// When HTTP/1.1 requires it, or it is given twice or is no host.
pub(super) fn of<B>(request: &Request<B>) -> Result<Option<&str>, HttpError> {
    let headers = host(request.headers())?;
    if headers.is_none() && request.version() == Version::HTTP_11 {
        return Err(HttpError::Host("The header Host is missing."));
    }
    // A target in absolute form takes precedence over the header.
    Ok(request.uri().authority().map(Authority::as_str).or(headers))
}

fn host(headers: &HeaderMap) -> Result<Option<&str>, HttpError> {
    let mut found = headers.get_all(header::HOST).iter();
    let Some(host) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(HttpError::Host("The header Host is given more than once."));
    }
    let host = host.to_str().ok().filter(|host| is_host(host));
    host.map(Some).ok_or(HttpError::Host("The header Host is not a host and a port."))
}

/// Whether a text is a host and perhaps a port, and nothing else of an authority.
pub(super) fn is_host(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty())
}
