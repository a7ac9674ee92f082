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
mod socket;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use matchit::Router;
use tokio::sync::watch;

pub use admin::{Admin, Caller};
pub(crate) use pace::{Paced, Times};

use crate::chat::Chat;
use crate::config::{Config, Limits, RefusalStyle};
use answer::{Answer, HttpError, refuse};
use ondol_host_model::{RequestId, RoomId};

/// Everything that the edge answers with. One for a listener.
pub struct Edge {
    chat: Arc<Chat>,
    limits: Limits,
    refusal: RefusalStyle,
    origins: Vec<String>,
    local: SocketAddr,
    routes: Router<Route>,
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
enum Route {
    Rooms,
    CreateRoom,
    Room,
    Messages,
    Message,
    Socket,
}

impl Route {
    /// The methods that a path knows.
    fn allow(self) -> &'static str {
        match self {
            Self::Rooms | Self::Room | Self::Messages => "GET, HEAD, OPTIONS",
            Self::CreateRoom | Self::Message => "POST, OPTIONS",
            Self::Socket => "GET, OPTIONS",
        }
    }
}

/// The prefixes that the calls stand under: the guide's, and the one of the original's code.
const PREFIXES: [&str; 2] = ["/chat/v1", "/api/chat"];

fn routes() -> Result<Router<Route>, matchit::InsertError> {
    let mut routes = Router::new();
    for prefix in PREFIXES {
        routes.insert(format!("{prefix}/rooms"), Route::Rooms)?;
        routes.insert(format!("{prefix}/create-room"), Route::CreateRoom)?;
        routes.insert(format!("{prefix}/room/{{id}}"), Route::Room)?;
        routes.insert(format!("{prefix}/room/{{id}}/messages"), Route::Messages)?;
        routes.insert(format!("{prefix}/message"), Route::Message)?;
    }
    routes.insert("/ws/chat/{id}/chat", Route::Socket)?;
    Ok(routes)
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
            return match *request.method() {
                Method::GET | Method::HEAD => Ok(file),
                Method::OPTIONS => Ok(options("GET, HEAD, OPTIONS")),
                _ => Err(HttpError::Method { allow: "GET, HEAD, OPTIONS" }),
            };
        }
        if let Some(answer) = health::answer(&self.chat, *self.phase.borrow(), &request) {
            return answer;
        }
        if let (Some(max), false) = (held.full, path.starts_with("/ws/")) {
            return Err(HttpError::Crowded(max));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let matched = self.routes.at(path).map_err(|_| HttpError::NotFound)?;
        let route = *matched.value;
        // An id that is no number is the id of nothing.
        let id = matched.params.get("id").map(|id| id.parse().map(RoomId)).transpose();
        let method = request.method().clone();
        match (route, method) {
            (_, Method::OPTIONS) => Ok(options(route.allow())),
            (Route::Socket, Method::GET) => self.upgrade(request, id.ok().flatten(), held).await,
            (Route::Rooms, Method::GET | Method::HEAD) => rest::rooms(&self, &request).await,
            (Route::Room, Method::GET | Method::HEAD) => rest::room(&self, &request, known(id)?).await,
            (Route::Messages, Method::GET | Method::HEAD) => rest::messages(&self, &request, known(id)?).await,
            (Route::CreateRoom, Method::POST) => rest::create_room(&self, request).await,
            (Route::Message, Method::POST) => rest::message(&self, request).await,
            _ => Err(HttpError::Method { allow: route.allow() }),
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

fn known(id: Result<Option<RoomId>, std::num::ParseIntError>) -> Result<RoomId, HttpError> {
    id.ok().flatten().ok_or(HttpError::NotFound)
}

fn options(allow: &'static str) -> Answer {
    let mut answer = answer::bytes(StatusCode::NO_CONTENT, "application/json", bytes::Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}
