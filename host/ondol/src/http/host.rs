//! The host that a request is for (RFC 9112, section 3.2; RFC 9113, section 8.3.1).

use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, Version, header};

use super::answer::HttpError;

/// The host of a request. None: a request of HTTP/1.0 need not name one.
///
/// # Errors
///
/// When HTTP/1.1 or HTTP/2 requires it, or it is given twice, differs or is no host.
pub(super) fn of<B>(request: &Request<B>) -> Result<Option<&str>, HttpError> {
    let header = host(request.headers())?;
    let target = request.uri().authority().map(Authority::as_str);
    if request.version() == Version::HTTP_2 {
        // The pseudo-header `:authority` (RFC 9113, section 8.3.1).
        return match (target, header) {
            (Some(target), _) if !is_host(target) => Err(HttpError::Host("The :authority is not a host and a port.")),
            (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => {
                Err(HttpError::Host("The header Host differs from :authority."))
            }
            (None, None) => Err(HttpError::Host("The pseudo-header :authority is missing.")),
            (target, header) => Ok(target.or(header)),
        };
    }
    if header.is_none() && request.version() == Version::HTTP_11 {
        return Err(HttpError::Host("The header Host is missing."));
    }
    // A target in absolute form takes precedence over the header.
    Ok(target.or(header))
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
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let is_port =
        |port: &str| port.is_empty() || port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let rest = text.strip_prefix(authority.host()).filter(|_| !authority.host().is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}
