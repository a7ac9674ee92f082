//! The public HTTP API: routes, size checks and the upgrade to a WebSocket. Knows the chat and nothing below it.

mod admin;
mod answer;
mod body;
pub mod client;
mod console;
mod docs;
mod exchange;
mod figures;
mod health;
mod host;
mod identity;
mod json_fields;
mod metrics;
mod origin;
mod page;
mod query;
mod rates;
mod rest;
mod routes;
mod socket;
mod state;
mod timed_stream;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use tokio::sync::watch;

pub use admin::{AdminApi, Caller, ReloadConfig, Reloaded};
pub use figures::ListenerFigures;
pub use metrics::{MetricsApi, WriteMetrics};
pub use state::{ConnContext, Phase};
pub(crate) use timed_stream::{TimedStream, Timeouts};

use crate::chat::Chat;
use crate::config::Config;
use answer::{Answer, HttpError, options, refuse};
use body::Body;
use exchange::Exchange;
pub use exchange::Sampling;
use identity::Asked;
pub(crate) use identity::{Identity, assertion_text, secret};
use ondol_host_model::{RequestId, RoomId, trace};
use origin::Asking;
use routes::{READ, Routes};
use state::ApiState;

/// The public API of a listener.
pub struct PublicApi {
    /// Each request takes it once; a socket keeps it.
    state: ArcSwap<ApiState>,
    routes: Routes<Call>,
    sampling: Option<Sampling>,
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

const POST: &[Method] = &[Method::POST];

/// The REST calls, below each prefix.
const CALLS: [(&[Method], &str, Call); 5] = [
    (READ, "/rooms", Call::Rooms),
    (POST, "/create-room", Call::CreateRoom),
    (READ, "/room/{id}", Call::Room),
    (READ, "/room/{id}/messages", Call::Messages),
    (POST, "/message", Call::Message),
];

/// The prefixes of the REST calls: the one in the original's guide, and the one in the original's code.
const PREFIXES: [&str; 2] = ["/chat/v1", "/api/chat"];

fn routes() -> anyhow::Result<Routes<Call>> {
    let below = |prefix| CALLS.map(|(methods, path, call)| (methods, format!("{prefix}{path}"), call));
    let socket = (READ, "/ws/chat/{id}/chat".to_owned(), Call::Socket);
    Routes::new(PREFIXES.into_iter().flat_map(below).chain([socket]))
}

impl PublicApi {
    /// The API of a listener at `local`.
    ///
    /// # Errors
    ///
    /// When a key of the identity cannot be read, or two routes conflict. The table is fixed, so any start would show that.
    pub fn new(
        chat: Arc<Chat>,
        config: &Config,
        local: SocketAddr,
        phase: watch::Receiver<Phase>,
        sampling: Option<Sampling>,
    ) -> anyhow::Result<Self> {
        let state = ApiState::new(chat, config, local, phase)?;
        Ok(Self { state: ArcSwap::from_pointee(state), routes: routes()?, sampling })
    }

    /// How far a shutdown has come.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.state.load().phase()
    }

    /// Prepares a config that was read again. What is returned takes it over, for requests and connections from then on.
    ///
    /// # Errors
    ///
    /// When the page cannot have this policy.
    pub fn prepare(&self, config: &Config) -> anyhow::Result<impl FnOnce() + use<'_>> {
        let state = Arc::new(self.state.load().reloaded(config)?);
        Ok(move || self.state.store(state))
    }

    /// Answers one request. An error becomes a response.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn answer(&self, mut request: Request<Incoming>, connection: ConnContext) -> Result<Answer, Infallible> {
        let exchange = Exchange::begin(&request, self.sampling.as_ref());
        request.extensions_mut().insert(exchange.id().clone());
        let state = &self.state.load_full();
        let (asking, version) = (Asking::of(&request), request.version());
        let answering = self.answer_in(state, request, connection, &exchange);
        let mut answer = match exchange.trace() {
            None => answering.await,
            // In memory of its own, as most requests have no trace.
            trace => Box::pin(trace::within(trace, answering)).await,
        };
        state.origins.share(&asking, &mut answer);
        // HTTP/2 has a frame of its own for it.
        if state.current_phase() > Phase::Running && version < Version::HTTP_2 && !is_upgrade(&answer) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        state.counters.answer(answer.status().as_u16());
        Ok(answer)
    }

    /// What this listener counts.
    #[must_use]
    pub fn figures(&self) -> ListenerFigures {
        let state = self.state.load();
        state.counters.read(state.rates.refused())
    }

    /// Answers a request as a part of its trace.
    async fn answer_in(
        &self,
        state: &Arc<ApiState>,
        request: Request<Incoming>,
        connection: ConnContext,
        exchange: &Exchange,
    ) -> Answer {
        let answer = match read(state, request).await {
            Ok(request) => self.route(state, request, connection).await,
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| refuse(&error, exchange.id()));
        exchange.end(&answer, || self.route_of(exchange.path()));
        answer
    }

    /// The pattern of a path, and the number of the room in it.
    fn route_of(&self, path: &str) -> (Option<String>, Option<u64>) {
        match self.routes.at(path) {
            Ok(matched) => {
                let room = matched.params.get("id").and_then(room_id);
                (Some(matched.value.pattern().to_owned()), room.map(|room| room.0))
            }
            Err(_) => (health::is_path(path).then(|| path.to_owned()), None),
        }
    }

    async fn route(
        &self,
        state: &Arc<ApiState>,
        request: Request<Bytes>,
        connection: ConnContext,
    ) -> Result<Answer, HttpError> {
        check_size(state, &request)?;
        host::of(&request)?;
        // RFC 9110, section 10.1.1.
        let mut expectations = request.headers().get_all(header::EXPECT).iter();
        if expectations.any(|expected| !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(HttpError::Expectation);
        }
        let path = request.uri().path();
        // The whole server (RFC 9110, section 9.3.7).
        if path == "*" && request.method() == Method::OPTIONS {
            return Ok(options(HeaderValue::from_static("GET, HEAD, POST, OPTIONS")));
        }
        if let Some(file) = page::file(path, &state.page_policy) {
            return routes::read_only(request.method(), || Ok(file));
        }
        if let Some(answer) = health::answer(&state.chat, state.current_phase(), &request) {
            return answer;
        }
        // A WebSocket is refused by its own code, in the way that the operator has chosen.
        if !path.starts_with("/ws/") {
            if let Some(max) = connection.refused_at {
                return Err(HttpError::TooManyConnections(max));
            }
            state.rates.request(state.address(request.headers(), connection.peer))?;
        }
        let matched = self.routes.at(path)?;
        if request.method() == Method::OPTIONS {
            return Ok(matched.value.options());
        }
        // Another text cannot name a room: it leads to 404.
        let id = matched.params.get("id").and_then(room_id);
        let known = id.ok_or(HttpError::NotFound);
        let call = matched.value.call(request.method())?;
        match call {
            Call::Rooms | Call::Room | Call::Messages => {
                state.identify(&Asked::of(&request, connection.peer), Identity::may_read)?;
            }
            Call::Socket | Call::CreateRoom | Call::Message => {
                state.origins.check(request.headers(), &state.own(&request, connection.peer))?;
            }
        }
        match call {
            Call::Socket => upgrade::upgrade(Arc::clone(state), request, id, connection).await,
            Call::Rooms => rest::rooms(state, &request, connection.peer).await,
            Call::Room => rest::room(state, &request, known?, connection.peer).await,
            Call::Messages => rest::messages(state, &request, known?).await,
            Call::CreateRoom => rest::create_room(state, request, connection.peer).await,
            Call::Message => rest::message(state, request, connection.peer).await,
        }
    }
}

/// Reads the body of a request first: a client that is refused while it still sends would not read the response.
async fn read(state: &ApiState, request: Request<Incoming>) -> Result<Request<Bytes>, HttpError> {
    let limits = &state.limits;
    let (parts, body) = Body::of(request).into_parts();
    let body = body.read(("body_bytes_max", limits.body_bytes_max), ("body_ms_max", limits.body_ms_max)).await?;
    Ok(Request::from_parts(parts, body))
}

/// hyper only bounds its buffer. This checks the exact limits and answers with their names.
fn check_size(state: &ApiState, request: &Request<Bytes>) -> Result<(), HttpError> {
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url > state.limits.url_bytes_max {
        return Err(HttpError::UrlTooLong(state.limits.url_bytes_max));
    }
    let fields: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    if url + fields > state.limits.header_bytes_max {
        return Err(HttpError::HeadersTooLarge(state.limits.header_bytes_max));
    }
    Ok(())
}

fn is_upgrade(answer: &Answer) -> bool {
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// The answer to a request without TLS on a port with TLS.
pub(crate) fn tls_required() -> Answer {
    refuse(&HttpError::TlsRequired, &RequestId::of_request(None))
}

/// The id of a room, which has one spelling: no sign, no leading zero.
fn room_id(text: &str) -> Option<RoomId> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).map(RoomId)
}

#[cfg(test)]
mod properties;
