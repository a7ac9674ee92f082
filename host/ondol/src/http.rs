//! The public HTTP API: routes, size checks and the upgrade to a WebSocket. Knows the chat and nothing below it.

mod admin;
mod answer;
mod body;
pub mod client;
mod health;
mod identity;
mod page;
mod rest;
mod socket;
mod state;
mod timed_stream;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};
use matchit::Router;
use tokio::sync::watch;

pub use admin::{AdminApi, Caller};
pub use state::{ConnContext, Phase};
pub(crate) use timed_stream::{TimedStream, Timeouts};

use crate::chat::Chat;
use crate::config::Config;
use answer::{Answer, HttpError, options, refuse};
use ondol_host_model::{RequestId, RoomId};
use state::ApiState;

/// The public API of a listener.
pub struct PublicApi {
    state: Arc<ApiState>,
    routes: Router<Route>,
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
    /// The methods of a path, as the `Allow` header lists them.
    fn allow(self) -> &'static str {
        match self {
            Self::Rooms | Self::Room | Self::Messages => "GET, HEAD, OPTIONS",
            Self::CreateRoom | Self::Message => "POST, OPTIONS",
            Self::Socket => "GET, OPTIONS",
        }
    }
}

/// The prefixes of the REST calls: the one in the original's guide, and the one in the original's code.
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

impl PublicApi {
    /// The API of a listener at `local`.
    ///
    /// # Errors
    ///
    /// When two routes conflict. The table is fixed, so any start would show it.
    pub fn new(
        chat: Arc<Chat>,
        config: &Config,
        local: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) -> anyhow::Result<Self> {
        Ok(Self { state: Arc::new(ApiState::new(chat, config, local, phase)), routes: routes()? })
    }

    /// How far a shutdown has come.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.state.phase()
    }

    /// Answers one request. An error becomes a response.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn answer(&self, mut request: Request<Incoming>, connection: ConnContext) -> Result<Answer, Infallible> {
        let given = request.headers().get("x-request-id").and_then(|given| given.to_str().ok());
        let id = RequestId::of_request(given);
        request.extensions_mut().insert(id.clone());
        Ok(self.route(request, connection).await.unwrap_or_else(|error| refuse(&error, &id)))
    }

    async fn route(&self, request: Request<Incoming>, connection: ConnContext) -> Result<Answer, HttpError> {
        self.check_size(&request)?;
        let path = request.uri().path();
        if let Some(file) = page::file(path) {
            return match *request.method() {
                Method::GET | Method::HEAD => Ok(file),
                Method::OPTIONS => Ok(options("GET, HEAD, OPTIONS")),
                _ => Err(HttpError::Method { allow: "GET, HEAD, OPTIONS" }),
            };
        }
        if let Some(answer) = health::answer(&self.state.chat, self.state.current_phase(), &request) {
            return answer;
        }
        if let (Some(max), false) = (connection.refused_at, path.starts_with("/ws/")) {
            return Err(HttpError::TooManyConnections(max));
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let matched = self.routes.at(path).map_err(|_| HttpError::NotFound)?;
        let route = *matched.value;
        // An id that is not a number cannot name a room: it leads to 404.
        let id = matched.params.get("id").map(|id| id.parse().map(RoomId)).transpose();
        let method = request.method().clone();
        match (route, method) {
            (_, Method::OPTIONS) => Ok(options(route.allow())),
            (Route::Socket, Method::GET) => {
                upgrade::upgrade(Arc::clone(&self.state), request, id.ok().flatten(), connection).await
            }
            (Route::Rooms, Method::GET | Method::HEAD) => rest::rooms(&self.state, &request).await,
            (Route::Room, Method::GET | Method::HEAD) => rest::room(&self.state, &request, known(id)?).await,
            (Route::Messages, Method::GET | Method::HEAD) => rest::messages(&self.state, &request, known(id)?).await,
            (Route::CreateRoom, Method::POST) => rest::create_room(&self.state, request).await,
            (Route::Message, Method::POST) => rest::message(&self.state, request).await,
            _ => Err(HttpError::Method { allow: route.allow() }),
        }
    }

    /// hyper only bounds its buffer. This checks the exact limits and answers with their names.
    fn check_size(&self, request: &Request<Incoming>) -> Result<(), HttpError> {
        let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
        if url > self.state.limits.url_bytes_max {
            return Err(HttpError::UrlTooLong(self.state.limits.url_bytes_max));
        }
        let fields: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
        if url + fields > self.state.limits.header_bytes_max {
            return Err(HttpError::HeadersTooLarge(self.state.limits.header_bytes_max));
        }
        Ok(())
    }
}

fn known(id: Result<Option<RoomId>, std::num::ParseIntError>) -> Result<RoomId, HttpError> {
    id.ok().flatten().ok_or(HttpError::NotFound)
}
