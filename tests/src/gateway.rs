//! A gateway in front of a server: a real program with the configuration that the repository ships. It verifies tokens and
//! passes identities on. The stories know of it what is here: where it is, whose tokens it takes, and what it changes.
//!
//! A new kind needs an arm in each method of [`Kind`] and a starter beside [`nginx`] and [`spring`].

mod nginx;
mod recorder;
mod spring;

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::SemaphorePermit;

use crate::{
    client::{Client, Knock},
    http::Request,
    log::Log,
    raw::RawSocket,
    signing,
    user::User,
};
pub use recorder::Recorder;

/// The `iss` of the tokens that gateways take.
pub const ISSUER: &str = "https://id.example.com";
/// The `aud` of the tokens that gateways take.
pub const AUDIENCE: &str = "chat";
/// The cookie that may carry a token.
pub const COOKIE: &str = "session";

/// A program that can stand in front of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `deploy/gateways/nginx`.
    Nginx,
    /// `deploy/gateways/spring`.
    Spring,
}

/// The times of a gateway that stories shorten.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a server may be silent.
    pub read_timeout: Duration,
    /// How long the gateway keeps an idle connection to the server.
    pub pool_idle: Duration,
}

impl Default for Timing {
    /// The shipped times.
    fn default() -> Self {
        Self { read_timeout: Duration::from_secs(75), pool_idle: Duration::from_secs(60) }
    }
}

impl Kind {
    /// Starts the program in front of the server at `upstream`. None when it is not installed: then `story` is named as
    /// skipped, except under CI, where that is an error.
    ///
    /// # Errors
    /// When it does not start, or is missing where it must not be.
    pub async fn start(self, story: &str, upstream: &str, timing: Timing) -> Result<Option<Gateway>> {
        match self {
            Self::Nginx => nginx::start(story, upstream, timing).await,
            Self::Spring => spring::start(story, upstream, timing).await,
        }
    }

    /// The algorithms of tokens that it verifies.
    #[must_use]
    pub fn algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Nginx | Self::Spring => &["HS256", "RS256", "ES256"],
        }
    }

    /// The close code that a client sees when the server closes with `code`.
    #[must_use]
    pub fn close_code(self, code: u16) -> u16 {
        match self {
            Self::Nginx | Self::Spring => code,
        }
    }

    /// Whether the fragments of a message reach the server as they were sent.
    #[must_use]
    pub fn passes_fragments(self) -> bool {
        match self {
            Self::Nginx => true,
            Self::Spring => false,
        }
    }

    /// Whether a client sees the status with which the server refuses a WebSocket. A gateway that upgrades first shows a
    /// close.
    #[must_use]
    pub fn shows_refusals(self) -> bool {
        match self {
            Self::Nginx => true,
            Self::Spring => false,
        }
    }
}

/// A running gateway. It is killed when the story ends, and its log is printed, which the test runner shows for a failed
/// story.
#[derive(Debug)]
pub struct Gateway {
    kind: Kind,
    address: String,
    process: Child,
    log: Log,
    _home: TempDir,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Gateway {
    /// What kind it is of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its log so far: errors and requests.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A request to build.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(&self.address, method, target)
    }

    /// A request with the token of `user`.
    ///
    /// # Errors
    /// When the token cannot be made.
    pub fn request_of(&self, user: &User, method: &str, target: &str) -> Result<Request> {
        Ok(self.request(method, target).header("Authorization", bearer(user)?))
    }

    /// Tries a handshake with this target and these headers.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn knock(&self, target: &str, headers: &[(&str, &str)]) -> Result<Knock> {
        Client::knock(&self.address, target, "the caller", headers).await
    }

    /// Opens a tab of `user` in `room`. Waits for no event.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn open(&self, room: u64, user: &User) -> Result<Client> {
        self.knock(&socket(room), &[("Authorization", &bearer(user)?)]).await?.opened()
    }

    /// A bare connection that has shaken hands as `user` in `room`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn upgrade(&self, room: u64, user: &User) -> Result<RawSocket> {
        let mut raw = RawSocket::connect(&self.address).await?;
        let request = self.request_of(user, "GET", &socket(room))?;
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        let request = request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", crate::raw::KEY);
        raw.send(request.bytes()).await?;
        let answer = raw.read_answer("GET").await?;
        if answer.status != 101 {
            bail!("expected 101, got {answer}");
        }
        Ok(raw)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL -{}", self.process.id())]).status();
        let _ = self.process.wait();
        eprintln!("── log of {:?} at {} ──\n{}", self.kind, self.address, self.log.last().join("\n"));
    }
}

/// The target of a room's WebSocket, without a query.
#[must_use]
pub fn socket(room: u64) -> String {
    format!("/ws/chat/{room}/chat/")
}

/// The claims of a token that gateways take.
#[must_use]
pub fn claims(user: &User) -> Value {
    let mut claims = signing::claims(user);
    claims["iss"] = json!(ISSUER);
    claims["aud"] = json!(AUDIENCE);
    claims
}

/// A token that gateways take.
///
/// # Errors
/// When it cannot be made.
pub fn token(user: &User) -> Result<String> {
    signing::token("HS256", &claims(user))
}

/// The value of `Authorization` with such a token.
///
/// # Errors
/// When it cannot be made.
pub fn bearer(user: &User) -> Result<String> {
    Ok(format!("Bearer {}", token(user)?))
}
