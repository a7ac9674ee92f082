//! Responses: JSON bodies, and the one place where an error becomes a status. Errors have the shape of Django REST
//! framework's, which clients of the original service parse: `{"detail": …}`, or `{"field": […]}` for a field, and
//! always a `code` for programs.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::exchange::Failed;
use super::identity::IdentityError;
use super::rates::TooFast;
use crate::chat::{ActivateError, ChatError, RATE_LIMITED, ReleaseError, SayError};
use ondol_host_model::{Refusal, RequestId};

/// The response of every route.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Identity(IdentityError),
    #[error(transparent)]
    TooFast(#[from] TooFast),
    #[error("{message}")]
    Field { field: &'static str, code: &'static str, message: String },
    #[error("JSON parse error: {0}")]
    Parse(String),
    #[error("Not found.")]
    NotFound,
    #[error("This path does not support the method; the Allow header lists those it does.")]
    Method { allow: HeaderValue },
    #[error("The body did not arrive within {limit} = {ms_max} ms.")]
    BodyTimeout { limit: &'static str, ms_max: u64 },
    #[error("The body is larger than {bytes_max} bytes ({limit}).")]
    BodyTooLarge { limit: &'static str, bytes_max: usize },
    #[error("The path and query are longer than url_bytes_max = {0} bytes.")]
    UrlTooLong(usize),
    #[error("The request head is larger than header_bytes_max = {0} bytes.")]
    HeadersTooLarge(usize),
    #[error("The body must be JSON, with Content-Type: application/json.")]
    MediaType,
    #[error("The body must not be encoded: Content-Encoding is not supported.")]
    Coding,
    #[error("The only expectation that is met is Expect: 100-continue.")]
    Expectation,
    #[error("Pages of this origin may not do this: it is missing from the server's `origins`.")]
    Origin,
    #[error("{0}")]
    Host(&'static str),
    #[error("This port speaks TLS: the address begins with https:// or wss://.")]
    TlsRequired,
    #[error("The server has reached connections_max = {0} connections; try again later.")]
    TooManyConnections(usize),
    #[error("This user has reached connections_per_user_max = {0} open WebSockets; close one first.")]
    TooManyUserConnections(usize),
    #[error("This path is a WebSocket: request an upgrade, version 13.")]
    UpgradeRequired,
    #[error("{0}")]
    Handshake(&'static str),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error("The admin API requires its token: Authorization: Bearer …")]
    TokenMissing,
    #[error("This is not the token of this server's admin API.")]
    TokenWrong,
    #[error("The console needs a login: its session is over, or there was none.")]
    SessionMissing,
    #[error("The admin API takes no requests of browsers but those of its own console.")]
    Browser,
    #[error("{0}")]
    Configuration(String),
    #[error("Not ready: {0}")]
    NotReady(String),
}

impl From<IdentityError> for HttpError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::TooFast(error) => Self::TooFast(error),
            error => Self::Identity(error),
        }
    }
}

impl HttpError {
    /// An invalid field of a body or query.
    pub(super) fn field(field: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field, code, message: message.into() }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Chat(error) => match error {
                ChatError::NotFound => StatusCode::NOT_FOUND,
                ChatError::Refused(_) | ChatError::Say { error: SayError::Refused(_), .. } => StatusCode::BAD_REQUEST,
                ChatError::HandlerFault
                | ChatError::Store(_)
                | ChatError::Busy
                | ChatError::Say {
                    error:
                        SayError::HandlerFault
                        | SayError::NotStored
                        | SayError::Unknown
                        | SayError::Busy
                        | SayError::Unreachable,
                    ..
                } => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Release(error) => match error {
                ReleaseError::Refused(_) | ReleaseError::Elsewhere(_) => StatusCode::UNPROCESSABLE_ENTITY,
                ReleaseError::Activate(ActivateError::Blocked { .. } | ActivateError::Overtaken { .. })
                | ReleaseError::Broken(_)
                | ReleaseError::Conflict(_) => StatusCode::CONFLICT,
                ReleaseError::Unknown(_) => StatusCode::NOT_FOUND,
                ReleaseError::Activate(_) | ReleaseError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Configuration(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Identity(_) | Self::TokenMissing | Self::TokenWrong | Self::SessionMissing => {
                StatusCode::UNAUTHORIZED
            }
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Field { .. } | Self::Parse(_) | Self::Handshake(_) | Self::Host(_) | Self::TlsRequired => {
                StatusCode::BAD_REQUEST
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MediaType | Self::Coding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Origin | Self::Browser => StatusCode::FORBIDDEN,
            Self::TooManyConnections(_) | Self::TooManyUserConnections(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Chat(error) => match error {
                ChatError::NotFound => "not_found",
                ChatError::Refused(refusal) => &refusal.code,
                ChatError::Say { error, .. } => error.code(),
                ChatError::HandlerFault => "handler_fault",
                ChatError::Busy => "busy",
                ChatError::Store(_) => "unavailable",
            },
            Self::Release(error) => match error {
                ReleaseError::Refused(_) | ReleaseError::Elsewhere(_) => "refused",
                ReleaseError::Activate(ActivateError::Blocked { .. }) => "marked_bad",
                ReleaseError::Activate(ActivateError::Overtaken { .. }) => "overtaken",
                ReleaseError::Broken(_) => "broken",
                ReleaseError::Conflict(_) => "conflict",
                ReleaseError::Unknown(_) => "not_found",
                ReleaseError::Activate(_) | ReleaseError::Store(_) => "unavailable",
            },
            Self::Identity(_) | Self::TokenMissing | Self::TokenWrong | Self::SessionMissing => "not_authenticated",
            Self::Configuration(_) => "configuration",
            Self::Browser => "browser",
            Self::NotReady(_) => "not_ready",
            Self::Field { code, .. } => code,
            Self::Parse(_) => "parse_error",
            Self::NotFound => "not_found",
            Self::Method { .. } => "method_not_allowed",
            Self::BodyTimeout { .. } => "timeout",
            Self::BodyTooLarge { .. } => "request_too_large",
            Self::UrlTooLong(_) => "uri_too_long",
            Self::HeadersTooLarge(_) => "headers_too_large",
            Self::MediaType | Self::Coding => "unsupported_media_type",
            Self::Expectation => "expectation_failed",
            Self::Origin => "origin_not_allowed",
            Self::Host(_) => "invalid_host",
            Self::TlsRequired => "tls_required",
            Self::TooManyConnections(_) | Self::TooManyUserConnections(_) => "unavailable",
            Self::UpgradeRequired => "upgrade_required",
            Self::Handshake(_) => "invalid_handshake",
            Self::TooFast(_) => RATE_LIMITED,
        }
    }

    /// The field at fault, if there is one, and the message.
    fn about(&self) -> (Option<&str>, String) {
        match self {
            Self::Chat(ChatError::Refused(refusal) | ChatError::Say { error: SayError::Refused(refusal), .. }) => {
                let Refusal { message, field, .. } = refusal;
                (field.as_deref(), message.clone())
            }
            Self::Field { field, message, .. } => (Some(field), message.clone()),
            Self::Chat(ChatError::NotFound) => (None, Self::NotFound.to_string()),
            // The cause is for the log, not for the client.
            Self::Chat(ChatError::Store(_)) => (None, "The server cannot do this now; try again.".to_owned()),
            Self::Chat(ChatError::HandlerFault) => (None, "the server failed to handle this request".to_owned()),
            other => (None, other.to_string()),
        }
    }

    /// What the log says of it.
    pub(super) fn failed(&self) -> Failed {
        let cause = match self {
            Self::Chat(ChatError::Store(error)) | Self::Release(ReleaseError::Store(error)) => Some(error.to_string()),
            _ => None,
        };
        let (status, is_serious) = (self.status(), self.is_serious());
        Failed { status, code: self.code().to_owned(), is_serious, cause, close_code: None }
    }

    /// Whether the server failed. What a client can bring about as often as it likes would fill the log, and that the server is
    /// not ready has lines of its own.
    fn is_serious(&self) -> bool {
        let by_clients = matches!(
            self,
            Self::TooManyConnections(_)
                | Self::TooManyUserConnections(_)
                | Self::Chat(ChatError::Busy | ChatError::Say { error: SayError::Busy | SayError::Unreachable, .. })
                | Self::NotReady(_)
        );
        self.status().is_server_error() && !by_clients
    }

    /// The rest of an unread body is not worth reading, and a connection over the limit has to go.
    fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::BodyTimeout { .. } | Self::BodyTooLarge { .. } | Self::TooManyConnections(_) | Self::TlsRequired
        )
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Self::Method { allow } => return Some((header::ALLOW, allow.clone())),
            Self::TooFast(error) => return Some((header::RETRY_AFTER, HeaderValue::from(error.wait_s()))),
            Self::Identity(error) => (header::WWW_AUTHENTICATE, error.challenge()),
            Self::TokenMissing | Self::TokenWrong | Self::SessionMissing => {
                (header::WWW_AUTHENTICATE, "Bearer realm=\"ondol\"")
            }
            Self::Coding => (header::ACCEPT_ENCODING, "identity"),
            Self::UpgradeRequired => (header::SEC_WEBSOCKET_VERSION, "13"),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "1"),
            _ => return None,
        };
        Some((name, HeaderValue::from_static(value)))
    }
}

/// Turns an error into a response. A handler's fault carries the request id that the log has.
pub(super) fn refuse(error: &HttpError, id: &RequestId) -> Answer {
    let (field, message) = error.about();
    let mut body = Map::new();
    match field {
        Some(field) => body.insert(field.to_owned(), Value::Array(vec![message.into()])),
        None => body.insert("detail".to_owned(), message.into()),
    };
    body.insert("code".to_owned(), error.code().into());
    if let HttpError::Chat(ChatError::Say { client_id: Some(client_id), .. }) = error {
        body.insert("client_id".to_owned(), client_id.clone().into());
    }
    if matches!(error, HttpError::Chat(ChatError::HandlerFault | ChatError::Say { error: SayError::HandlerFault, .. }))
    {
        body.insert("request_id".to_owned(), id.to_string().into());
    }
    if let HttpError::TooFast(error) = error {
        body.insert("retry_after_ms".to_owned(), error.wait_ms().into());
    }
    if let HttpError::Release(ReleaseError::Refused(refused)) = error {
        let each = refused.iter().map(|(handler, error)| (handler.name().to_owned(), serde_json::json!(error)));
        body.insert("handlers".to_owned(), Value::Object(each.collect()));
    }
    let mut answer = json(error.status(), &body);
    answer.extensions_mut().insert(error.failed());
    if error.ends_connection() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((name, value)) = error.header() {
        answer.headers_mut().insert(name, value);
    }
    if matches!(error, HttpError::UpgradeRequired) {
        answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    answer
}

/// A JSON body.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => bytes(status, "application/json", Bytes::from(body)),
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response: {error}");
            bytes(StatusCode::INTERNAL_SERVER_ERROR, "application/json", Bytes::new())
        }
    }
}

/// A body of any type, with headers against caching and content sniffing.
pub(super) fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A response without a body that lists the methods of a path.
pub(super) fn options(allow: HeaderValue) -> Answer {
    let mut answer = bytes(StatusCode::NO_CONTENT, "application/json", Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer.headers_mut().insert(header::ALLOW, allow);
    answer
}
