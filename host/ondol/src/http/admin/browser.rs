//! Which requests of browsers the admin API takes: those of its own console, and no others.
//!
//! Otherwise any page that an operator opens could reach a listener on their machine. A browser says from which page a request
//! comes, and a page can neither change that nor read another server's answers. What a request needs, see
//! [`Browsers::admit`].

use anyhow::Context as _;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use url::Url;

use super::sessions::{FormToken, Sessions};
use super::{Caller, is_own_host};
use crate::http::answer::HttpError;
use crate::http::host;
use crate::http::origin::Own;
use crate::http::rates::{Bucket, Rate, Refusals};
use crate::http::routes::READ;

/// The cookie of a session.
pub(super) const COOKIE: &str = "ondol_console";

/// The header of the form token.
const FORM: HeaderName = HeaderName::from_static("x-ondol-form");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How many wrong tokens a minute are answered as such, and logged.
const LOGINS_PER_MIN: usize = 10;

/// What the listener knows of browsers.
pub(super) struct Browsers {
    pub(super) sessions: Sessions,
    /// The form token where there are no sessions, as there is no token to log in with.
    without_token: Option<FormToken>,
    /// A token for each wrong login.
    pub(super) logins: Bucket,
}

impl Browsers {
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub(super) fn new(has_token: bool) -> anyhow::Result<Self> {
        let without_token = if has_token { None } else { Some(FormToken::new()?) };
        let rate = Rate::new("console_logins_per_min", LOGINS_PER_MIN, LOGINS_PER_MIN, &Refusals::default());
        let rate = rate.context("a rate of none")?;
        Ok(Self { sessions: Sessions::default(), without_token, logins: Bucket::new(&rate) })
    }

    /// Whether a browser sends this. One that has logged in says so with every request.
    pub(super) fn sent(headers: &HeaderMap) -> bool {
        headers.contains_key(header::ORIGIN) || headers.contains_key(FETCH_SITE) || cookie(headers).is_some()
    }

    /// Admits a call of the console: it comes from this server's own page, belongs to a session if there is a token, and brings
    /// the session's form token if it may change something.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Caller, HttpError> {
        self.own_page(request)?;
        let form = self.form(request)?.ok_or(HttpError::SessionMissing)?;
        if READ.contains(request.method()) || request.method() == Method::OPTIONS {
            return Ok(Caller::Console);
        }
        let mut given = request.headers().get_all(FORM).iter();
        match (given.next(), given.next()) {
            (Some(given), None) if form.is(given.as_bytes()) => Ok(Caller::Console),
            _ => Err(HttpError::Browser),
        }
    }

    /// The form token of the session of a request. None: it has no session.
    pub(super) fn form<B>(&self, request: &Request<B>) -> Result<Option<FormToken>, HttpError> {
        if let Some(form) = &self.without_token {
            return Ok(Some(form.clone()));
        }
        let host = host::of(request)?.unwrap_or_default();
        Ok(cookie(request.headers()).and_then(|id| self.sessions.form(id, host)))
    }

    /// Checks that a request comes from a page of this server.
    pub(super) fn own_page<B>(&self, request: &Request<B>) -> Result<(), HttpError> {
        let site = single(request.headers(), &FETCH_SITE)?;
        self.own_host(request)?;
        if site.is_some_and(|site| site == "same-origin") && own_origin(request)? { Ok(()) } else { refused() }
    }

    /// Checks that a request for the page's files comes from a page of this server, or from the user: the address was typed,
    /// or is a bookmark. Other programs may have them.
    pub(super) fn own_page_or_user<B>(&self, request: &Request<B>) -> Result<(), HttpError> {
        let site = single(request.headers(), &FETCH_SITE)?;
        self.own_host(request)?;
        let allowed = site.is_none_or(|site| site == "same-origin" || site == "none");
        if allowed && own_origin(request)? { Ok(()) } else { refused() }
    }

    /// A page whose own name leads to this machine (DNS rebinding) is of the same origin to its browser, but cannot have one of
    /// these names. With a token it would have to log in first.
    fn own_host<B>(&self, request: &Request<B>) -> Result<(), HttpError> {
        let host = host::of(request)?.unwrap_or_default();
        if self.without_token.is_some() && !is_own_host(host) { refused() } else { Ok(()) }
    }
}

/// Whether the page that sent a request used TLS. A browser names the page with every POST.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The id of the session that a browser names.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&[u8]> {
    let cookies = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut named = cookies.filter_map(|cookie| cookie.trim_ascii_start().strip_prefix(COOKIE.as_bytes()));
    named.find_map(|rest| rest.strip_prefix(b"="))
}

/// Whether the origin of a request is this server's, as far as the request names one. The scheme is unknown: a gateway may have
/// ended TLS.
fn own_origin<B>(request: &Request<B>) -> Result<bool, HttpError> {
    let Some(origin) = single(request.headers(), &header::ORIGIN)? else { return Ok(true) };
    let own = Own::Host(host::of(request)?.unwrap_or_default().to_owned());
    Ok(origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()).is_some_and(|page| own.is(&page)))
}

/// A header that may be given once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, HttpError> {
    let mut given = headers.get_all(name).iter();
    match (given.next(), given.next()) {
        (given, None) => Ok(given),
        _ => refused(),
    }
}

fn refused<T>() -> Result<T, HttpError> {
    Err(HttpError::Browser)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should say where")]
    use super::*;

    fn admitted(browsers: &Browsers, method: Method, headers: &[(&str, &str)]) -> Result<(), HttpError> {
        let mut request = Request::builder().method(method).uri("/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        browsers.admit(&request.body(()).unwrap()).map(drop)
    }

    #[test]
    fn only_the_own_page_is_admitted() {
        let browsers = Browsers::new(false).unwrap();
        let get = |headers: &[(&str, &str)]| admitted(&browsers, Method::GET, headers).is_ok();
        let (host, same) = (("host", "127.0.0.1:8001"), ("sec-fetch-site", "same-origin"));
        assert!(get(&[host, same]));
        assert!(get(&[host, same, ("origin", "http://127.0.0.1:8001")]));
        for refused in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:8001")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, same, ("sec-fetch-site", "cross-site")],
            &[host, same, ("origin", "http://127.0.0.1:8002")],
            &[host, same, ("origin", "null")],
            &[host, same, ("origin", "http://127.0.0.1:8001"), ("origin", "http://evil.example")],
            &[("host", "evil.example:8001"), same],
        ] {
            assert!(!get(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_change_needs_the_form_token() {
        let browsers = Browsers::new(false).unwrap();
        let page = [("host", "localhost:8001"), ("sec-fetch-site", "same-origin")];
        let form = browsers.without_token.clone().unwrap();
        let post = |more: &[(&str, &str)]| admitted(&browsers, Method::POST, &[&page, more].concat()).is_ok();
        assert!(post(&[("x-ondol-form", form.as_str())]));
        assert!(!post(&[]) && !post(&[("x-ondol-form", "")]) && !post(&[("x-ondol-form", "0")]));
        assert!(!post(&[("x-ondol-form", form.as_str()), ("x-ondol-form", form.as_str())]));
    }

    #[test]
    fn with_a_token_a_session_is_needed_and_its_own_form_token() {
        let browsers = Browsers::new(true).unwrap();
        let host = "admin.example.com";
        let (one, other) = (browsers.sessions.begin(host).unwrap(), browsers.sessions.begin(host).unwrap());
        let form = |id: &String| browsers.sessions.form(id.as_bytes(), host).unwrap();
        let with = |host: &str, id: &str, form: &str| {
            let cookie = format!("a=b; {COOKIE}={id}");
            let headers =
                [("host", host), ("sec-fetch-site", "same-origin"), ("cookie", &cookie), ("x-ondol-form", form)];
            admitted(&browsers, Method::POST, &headers)
        };
        assert!(with(host, &one, form(&one).as_str()).is_ok());
        assert!(matches!(with(host, &one, form(&other).as_str()), Err(HttpError::Browser)));
        assert!(matches!(with("admin2.example.com", &one, form(&one).as_str()), Err(HttpError::SessionMissing)));
        assert!(matches!(with(host, "", form(&one).as_str()), Err(HttpError::SessionMissing)));
    }

    #[test]
    fn files_are_for_the_user_and_the_own_page() {
        let browsers = Browsers::new(false).unwrap();
        let file = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/console/").header("host", "localhost");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            browsers.own_page_or_user(&request.body(()).unwrap()).is_ok()
        };
        assert!(file(&[]) && file(&[("sec-fetch-site", "none")]) && file(&[("sec-fetch-site", "same-origin")]));
        assert!(!file(&[("sec-fetch-site", "cross-site")]) && !file(&[("origin", "http://evil.example")]));
    }
}
