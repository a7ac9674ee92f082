//! Which pages may call the chat (RFC 6454, and the Fetch standard). Knows headers, and nothing of what is called.
//!
//! A browser says from which page a request comes. A request that says nothing comes from another program, which could say
//! anything.

use std::sync::atomic::{AtomicBool, Ordering};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use url::Url;

use super::answer::{Answer, HttpError};
use crate::config::{ANY_ORIGIN, Config, SAME_ORIGIN};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The most of an origin that the log repeats, in characters.
const LOGGED_CHARS_MAX: usize = 200;

/// The server as its clients address it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// By an origin: `public_url`, or what a trusted gateway forwards.
    Origin(Url),
    /// By the host of the request. The scheme is unknown: a gateway may have ended TLS.
    Host(String),
}

impl Own {
    /// Host and port, for the URLs in a response.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Origin(url) => &url[url::Position::BeforeHost..url::Position::AfterPort],
            Self::Host(host) => host,
        }
    }

    /// Whether a page is of this origin.
    pub(super) fn is(&self, page: &Url) -> bool {
        match self {
            Self::Origin(own) => own.origin() == page.origin(),
            Self::Host(host) => {
                Url::parse(&format!("{}://{host}", page.scheme())).is_ok_and(|own| own.origin() == page.origin())
            }
        }
    }
}

/// What a browser asks on behalf of a page.
pub(super) struct Asking {
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Asking {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let is_preflight =
            request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        Self { origin: headers.get(header::ORIGIN).cloned(), is_preflight }
    }
}

/// The pages that may call.
pub(super) struct Origins {
    /// As browsers send them.
    listed: Vec<String>,
    same_origin: bool,
    any: bool,
    required: bool,
    refused_before: AtomicBool,
}

impl Origins {
    pub(super) fn new(config: &Config) -> Self {
        let has = |word: &str| config.origins.iter().any(|origin| origin == word);
        let listed = config.origins.iter().filter(|origin| *origin != SAME_ORIGIN && *origin != ANY_ORIGIN);
        Self {
            listed: listed.cloned().collect(),
            same_origin: has(SAME_ORIGIN),
            any: has(ANY_ORIGIN),
            required: config.origins_required,
            refused_before: AtomicBool::new(false),
        }
    }

    /// Checks the page that a request comes from.
    ///
    /// # Errors
    ///
    /// When its origin is neither the server's own nor listed.
    pub(super) fn check(&self, headers: &HeaderMap, own: &Own) -> Result<(), HttpError> {
        if self.any {
            return Ok(());
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let allowed = match (origins.next(), origins.next()) {
            (Some(origin), None) => self.is_listed(origin) || self.same_origin && is_own(origin, own),
            (Some(_), Some(_)) => false,
            // Without an Origin a browser still says whether a page of another site sent the request.
            (None, _) => match headers.get(FETCH_SITE).map(HeaderValue::as_bytes) {
                None => !self.required,
                Some(site) => matches!(site, b"same-origin" | b"none"),
            },
        };
        if allowed {
            return Ok(());
        }
        self.tell(headers.get(header::ORIGIN));
        Err(HttpError::Origin)
    }

    /// The first refusal tells the operator which setting would allow the page.
    fn tell(&self, origin: Option<&HeaderValue>) {
        if self.refused_before.swap(true, Ordering::Relaxed) {
            return;
        }
        let origin = origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned()).unwrap_or_default();
        let origin: String = origin.chars().take(LOGGED_CHARS_MAX).collect();
        tracing::warn!(
            origin,
            "refused a page of the origin {origin:?}: `origins = [\"same-origin\", {origin:?}]` would let it in; \
             `public_url` names the server's own origin"
        );
    }

    fn is_listed(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.listed.contains(&origin.to_ascii_lowercase()))
    }

    /// Lets a listed page read a response (Fetch, section 3.2.3). The response to a preflight also says what may follow it.
    pub(super) fn share(&self, Asking { origin, is_preflight }: &Asking, answer: &mut Answer) {
        let Some(origin) = origin.as_ref().filter(|origin| self.is_listed(origin)) else { return };
        let headers = answer.headers_mut();
        if let Some(methods) = headers.get(header::ALLOW).filter(|_| *is_preflight).cloned() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let allowed = HeaderValue::from_static("authorization, content-type, x-request-id");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

fn is_own(origin: &HeaderValue, own: &Own) -> bool {
    origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()).is_some_and(|page| own.is(&page))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    fn check(origins: &[&str], own: &Own, headers: &[(&'static str, &'static str)]) -> bool {
        let config = Config { origins: origins.iter().map(|&origin| origin.to_owned()).collect(), ..Config::default() };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Origins::new(&config).check(&map, own).is_ok()
    }

    #[test]
    fn a_page_of_the_same_origin_may_call() {
        let host = Own::Host("chat.example.com".to_owned());
        let same = &["same-origin"][..];
        for (origin, allowed) in [
            ("https://chat.example.com", true),
            ("http://chat.example.com:80", true),
            ("https://chat.example.com:443", true),
            ("https://chat.example.com:8443", false),
            ("https://chat.example.com.evil.example", false),
            ("https://evil.example", false),
            ("null", false),
            ("file://", false),
            ("", false),
        ] {
            assert_eq!(check(same, &host, &[("origin", origin)]), allowed, "{origin}");
        }
        let public = Own::Origin(Url::parse("https://chat.example.com/").unwrap());
        assert!(check(same, &public, &[("origin", "https://chat.example.com")]));
        assert!(!check(same, &public, &[("origin", "http://chat.example.com")]), "the scheme is known");
        assert!(!check(same, &host, &[("origin", "https://chat.example.com"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn a_request_without_an_origin_is_judged_by_what_the_browser_says() {
        let host = Own::Host("chat.example.com".to_owned());
        for (site, allowed) in [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)] {
            assert_eq!(check(&["same-origin"], &host, &[("sec-fetch-site", site)]), allowed, "{site}");
        }
        assert!(check(&["same-origin"], &host, &[]), "another program");
    }

    #[test]
    fn a_listed_origin_and_any_origin_may_call() {
        let host = Own::Host("localhost".to_owned());
        assert!(check(&["null"], &host, &[("origin", "null")]));
        assert!(check(&["app://chat"], &host, &[("origin", "app://chat")]));
        assert!(!check(&["app://chat"], &host, &[("origin", "app://other")]));
        assert!(!check(&["https://a.example"], &host, &[("origin", "http://localhost")]), "the list says all");
        assert!(check(&["*"], &host, &[("origin", "https://evil.example")]));
    }
}
