//! The edge: which path is which call, and who may call it. Knows the chat and nothing below it.

mod admin;
mod answer;
mod body;
pub mod client;
mod health;
mod identity;
mod pace;
mod page;
mod rest;
mod routes;
mod socket;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Request};
use tokio::sync::watch;

pub use admin::{Admin, Caller};
pub(crate) use pace::{Paced, Times};

use crate::chat::Chat;
use crate::config::{Config, Limits, RefusalStyle};
use answer::{Answer, HttpError, refuse};
use ondol_host_model::{RequestId, RoomId};
use routes::{READ, Routes};

/// Everything that the edge answers with. One for a listener.
pub struct Edge {
    chat: Arc<Chat>,
    limits: Limits,
    refusal: RefusalStyle,
    origins: Vec<String>,
    local: SocketAddr,
    routes: Routes<Call>,
    /// Never marked as seen: it has changed as soon as the process does anything but serve.
    phase: watch::Receiver<Phase>,
}

/// How far the process is with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Running,
    /// What clients send is not read any more; what was accepted is being finished, then connections are closed.
    Ending,
}

/// What a connection carries for as long as it is open, whatever it is by then.
#[derive(Clone)]
pub struct Held {
    /// Its place among all connections.
    pub place: Arc<dyn std::any::Any + Send + Sync>,
    /// It is one too many: how many there may be.
    pub full: Option<usize>,
}

#[derive(Clone, Copy)]
enum Call {
    Rooms,
    CreateRoom,
    Room,
    Messages,
    Message,
    Socket,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];

/// The calls of REST, below each prefix.
const CALLS: [(&[Method], &str, Call); 5] = [
    (READ, "/rooms", Call::Rooms),
    (POST, "/create-room", Call::CreateRoom),
    (READ, "/room/{id}", Call::Room),
    (READ, "/room/{id}/messages", Call::Messages),
    (POST, "/message", Call::Message),
];

/// The prefixes that the calls stand under: the guide's, and the one of the original's code.
const PREFIXES: [&str; 2] = ["/chat/v1", "/api/chat"];

fn routes() -> anyhow::Result<Routes<Call>> {
    let below = |prefix| CALLS.map(|(methods, path, call)| (methods, format!("{prefix}{path}"), call));
    let socket = (GET, "/ws/chat/{id}/chat".to_owned(), Call::Socket);
    Routes::new(PREFIXES.into_iter().flat_map(below).chain([socket]))
}

impl Edge {
    /// The edge of a listener at `local`.
    ///
    /// # Errors
    ///
    /// None that a release has: the table of routes is fixed.
    pub fn new(
        chat: Arc<Chat>,
        config: &Config,
        local: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            chat,
            limits: config.limits.clone(),
            refusal: config.refusal,
            origins: config.origins.clone(),
            local,
            routes: routes()?,
            phase,
        })
    }

    /// Whether the process has begun to end. Costs one look at a number.
    fn is_ending(&self) -> bool {
        self.phase.has_changed().unwrap_or(true)
    }

    /// How far the process is with its end.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Answers one request. Never fails: what goes wrong is an answer too.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn answer(self: Arc<Self>, mut request: Request<Incoming>, held: Held) -> Result<Answer, Infallible> {
        let given = request.headers().get("x-request-id").and_then(|given| given.to_str().ok());
        let id = RequestId::of_request(given);
        request.extensions_mut().insert(id.clone());
        Ok(self.route(request, held).await.unwrap_or_else(|error| refuse(&error, &id)))
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>, held: Held) -> Result<Answer, HttpError> {
        self.check_size(&request)?;
        let path = request.uri().path();
        if let Some(file) = page::file(path) {
            return routes::read_only(request.method(), || Ok(file));
        }
        if let Some(answer) = health::answer(&self.chat, *self.phase.borrow(), &request) {
            return answer;
        }
        if let (Some(max), false) = (held.full, path.starts_with("/ws/")) {
            return Err(HttpError::Crowded(max));
        }
        let matched = self.routes.at(path)?;
        if request.method() == Method::OPTIONS {
            return Ok(matched.value.options());
        }
        // An id that is no number is the id of nothing.
        let id = matched.params.get("id").and_then(|id| id.parse().ok()).map(RoomId);
        let known = id.ok_or(HttpError::NotFound);
        match matched.value.call(request.method())? {
            Call::Socket => self.upgrade(request, id, held).await,
            Call::Rooms => rest::rooms(&self, &request).await,
            Call::Room => rest::room(&self, &request, known?).await,
            Call::Messages => rest::messages(&self, &request, known?).await,
            Call::CreateRoom => rest::create_room(&self, request).await,
            Call::Message => rest::message(&self, request).await,
        }
    }

    /// hyper bounds what it reads; this bounds it exactly, and with an answer that says so.
    fn check_size(&self, request: &Request<Incoming>) -> Result<(), HttpError> {
        let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
        if url > self.limits.url_bytes_max {
            return Err(HttpError::UrlTooLong(self.limits.url_bytes_max));
        }
        let fields: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
        if url + fields > self.limits.header_bytes_max {
            return Err(HttpError::HeadersTooLarge(self.limits.header_bytes_max));
        }
        Ok(())
    }

    /// What the client called this server.
    fn host_of(&self, request: &Request<Incoming>) -> String {
        let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        header.map_or_else(|| self.local.to_string(), str::to_owned)
    }
}
