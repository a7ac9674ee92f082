//! The console: the page's files, logging in and out, and what the page has to know of its session.

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::browser::{COOKIE, cookie, is_secure};
use super::sessions::LIFE;
use super::{AdminApi, ok, same};
use crate::http::answer::{self, Answer, HttpError};
use crate::http::body::{self, Body};
use crate::http::routes::read_only;
use crate::http::{console, host};

/// The size of a login, in bytes.
const LOGIN_BYTES_MAX: usize = 8_192;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// Whether a path is the console's.
pub(super) fn is_path(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with(console::PATH)
}

impl AdminApi {
    pub(super) async fn console(&self, request: Request<Body>) -> Result<Answer, HttpError> {
        let path = request.uri().path();
        if let Some(page) = console::redirect(path).or_else(|| console::file(path)) {
            self.browsers.own_page_or_user(&request)?;
            return read_only(request.method(), || Ok(page));
        }
        match (path, request.method()) {
            ("/console/session", _) => {
                self.browsers.own_page(&request)?;
                read_only(request.method(), || self.session(&request))
            }
            ("/console/login", &Method::POST) => self.log_in(request).await,
            ("/console/logout", &Method::POST) => self.log_out(&request),
            ("/console/login" | "/console/logout", _) => {
                Err(HttpError::Method { allow: HeaderValue::from_static("POST") })
            }
            _ => Err(HttpError::NotFound),
        }
    }

    /// The form token of the session, and the limits that the page tells of.
    fn session(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        let form = self.browsers.form(request)?;
        let limits = self.limits.load();
        ok(&json!({
            "form": form.as_ref().map(|form| form.as_str()),
            "has_token": self.token.is_some(),
            "probation_ms": limits.probation_ms,
            "handler_file_bytes_max": limits.handler_file_bytes_max,
            "handler_cases_bytes_max": limits.handler_cases_bytes_max,
        }))
    }

    /// Compares the token of the form, and begins a session. A page of another site can send a form, but not this one.
    async fn log_in(&self, request: Request<Body>) -> Result<Answer, HttpError> {
        self.browsers.own_page(&request)?;
        if !body::is_json(request.headers()) {
            return Err(HttpError::MediaType);
        }
        let Some(token) = &self.token else { return Err(HttpError::NotFound) };
        let host = host::of(&request)?.unwrap_or_default().to_owned();
        let (secure, former) = (is_secure(request.headers()), cookie(request.headers()).map(<[u8]>::to_vec));
        let limit = ("a fixed limit", LOGIN_BYTES_MAX);
        let time = ("admin_body_ms_max", self.limits.load().admin_body_ms_max);
        let body = request.into_body().read(limit, time).await?;
        // The text of an error would repeat what was given.
        let login: Login =
            serde_json::from_slice(&body).map_err(|_| HttpError::Parse("expected a token alone".to_owned()))?;
        // Wrong tokens do not keep the right one out.
        if !same(&Sha256::digest(login.token.trim()).into(), token) {
            self.browsers.logins.take(1)?;
            tracing::warn!("a login to the console with a wrong token was rejected");
            return Err(HttpError::TokenWrong);
        }
        if let Some(former) = former {
            self.browsers.sessions.end(&former);
        }
        let id = self.browsers.sessions.begin(&host).map_err(|error| {
            tracing::error!(%error, "no random bytes for a session of the console: {error}");
            HttpError::NotReady("the system has no random bytes".to_owned())
        })?;
        tracing::info!("an operator has logged in to the console");
        let mut answer = answer::json(StatusCode::OK, &json!({}));
        set_cookie(&mut answer, &id, LIFE.as_secs(), secure)?;
        Ok(answer)
    }

    fn log_out(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        self.browsers.admit(request)?;
        if let Some(id) = cookie(request.headers()) {
            self.browsers.sessions.end(id);
        }
        let mut answer = answer::json(StatusCode::OK, &json!({}));
        set_cookie(&mut answer, "", 0, is_secure(request.headers()))?;
        Ok(answer)
    }
}

/// No script reads the cookie, and no page of another site makes the browser send it.
fn set_cookie(answer: &mut Answer, id: &str, age_s: u64, secure: bool) -> Result<(), HttpError> {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).map_err(|_| HttpError::NotFound)?;
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}
