//! The opening handshake of a WebSocket (RFC 6455, section 4.2), or its refusal.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::{Answer, HttpError};
use super::exchange::Failed;
use super::identity::{Asked, Identity, chosen_subprotocol};
use super::query::Query;
use super::socket::{Expiry, Joining};
use super::state::{ApiState, ConnContext, Phase};
use crate::chat::{LastSeen, Permit, SHUTTING_DOWN};
use crate::config::RefusalStyle;
use ondol_host_model::{RoomId, Seq, Speaker, trace};

/// The codes that refuse a WebSocket under `refusal = "close"`.
pub(super) const CLOSE_IDENTITY: u16 = 4001;
const CLOSE_ROOM: u16 = 4003;
const CLOSE_FULL: u16 = 4008;
const CLOSE_TOO_FAST: u16 = 4029;

/// Answers a request for a WebSocket in a room. `connection` is counted until that socket is closed.
///
/// A refusal takes precedence over an invalid handshake: browsers hide the reason from the page, which can then
/// repeat the request as a plain one. A member is in the room before the response goes out, and events from then on
/// wait for the socket; one that resumes joins later.
pub(super) async fn upgrade(
    state: Arc<ApiState>,
    mut request: Request<Bytes>,
    room: Option<RoomId>,
    connection: ConnContext,
) -> Result<Answer, HttpError> {
    let admitted = match admit(&state, &request, room, &connection).await {
        Ok(admitted) => Ok(admitted),
        Err(error) => match close_code(&error) {
            Some(code) if state.refusal == RefusalStyle::Close => Err((code, error)),
            _ => return Err(error),
        },
    };
    if request.version() != Version::HTTP_11 || request.method() != Method::GET {
        return Err(HttpError::UpgradeRequired);
    }
    if !request.body().is_empty() {
        return Err(HttpError::Handshake("A WebSocket request must not have a body."));
    }
    let accept = accept_key(request.headers())?;
    let seen = seen(&request)?;
    let (socket, failed) = match admitted {
        Ok((room, user, permit, expiry)) => (Joining::join(&state, room, user, seen, permit, expiry).await?, None),
        Err((code, error)) => {
            let failed = Failed { close_code: Some(code), ..error.failed() };
            (Joining::refused(&state, code, &error.to_string()), Some(failed))
        }
    };
    let subprotocol = chosen_subprotocol(request.headers(), &state.subprotocols);
    let upgraded = hyper::upgrade::on(&mut request);
    let trace = trace::current().map(|trace| trace.of_socket());
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => match trace {
                None => socket.serve(state, upgraded).await,
                // In memory of its own, as most sockets have no trace.
                trace => Box::pin(trace::within(trace, socket.serve(state, upgraded))).await,
            },
            Err(error) => tracing::debug!(%error, "WebSocket upgrade failed: {error}"),
        }
        drop(connection);
    });
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    if let Some(failed) = failed {
        answer.extensions_mut().insert(failed);
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(answer)
}

/// What a client that resumes knows. None: it does not resume.
fn seen(request: &Request<Bytes>) -> Result<Option<LastSeen>, HttpError> {
    let query = Query::of(request);
    let Some(after) = query.number("after")? else { return Ok(None) };
    let epoch = query.text("epoch")?.map(Cow::into_owned);
    Ok(Some(LastSeen { after: Seq(after), epoch }))
}

/// Checks identity, room and limits. Returns the room, the user, their permit, and until when their token holds.
async fn admit(
    state: &ApiState,
    request: &Request<Bytes>,
    room: Option<RoomId>,
    connection: &ConnContext,
) -> Result<(RoomId, Arc<Speaker>, Permit, Option<Expiry>), HttpError> {
    if state.current_phase() > Phase::NotReady {
        return Err(HttpError::NotReady(SHUTTING_DOWN.to_owned()));
    }
    let address = state.address(request.headers(), connection.peer);
    state.rates.connection(address)?;
    let caller = state.identify(&Asked::of(request, connection.peer), Identity::required)?;
    let room = room.ok_or(HttpError::NotFound)?;
    if !state.chat.has_room(room).await? {
        return Err(HttpError::NotFound);
    }
    if let Some(max) = connection.refused_at {
        return Err(HttpError::TooManyConnections(max));
    }
    state.rates.message(&caller.user)?;
    let permit = state
        .chat
        .connection_permit(&caller.user)
        .await
        .ok_or(HttpError::TooManyUserConnections(state.limits.connections_per_user_max))?;
    let expiry = Expiry::of(&caller, address);
    Ok((room, Arc::new(Speaker::new(caller.user)), permit, expiry))
}

fn close_code(error: &HttpError) -> Option<u16> {
    match error {
        HttpError::Identity(_) => Some(CLOSE_IDENTITY),
        HttpError::NotFound => Some(CLOSE_ROOM),
        HttpError::TooManyConnections(_) | HttpError::TooManyUserConnections(_) => Some(CLOSE_FULL),
        HttpError::TooFast(_) => Some(CLOSE_TOO_FAST),
        _ => None,
    }
}

/// Checks the handshake and returns the value of `Sec-WebSocket-Accept`.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, HttpError> {
    let lists = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if !lists(header::CONNECTION, "upgrade") || !lists(header::UPGRADE, "websocket") {
        return Err(HttpError::UpgradeRequired);
    }
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
        return Err(HttpError::UpgradeRequired);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => key.as_bytes(),
        _ => return Err(HttpError::Handshake("Exactly one Sec-WebSocket-Key is required.")),
    };
    if !is_key(key) {
        return Err(HttpError::Handshake("Sec-WebSocket-Key must be 16 bytes in base64."));
    }
    HeaderValue::from_str(&derive_accept_key(key)).map_err(|_| HttpError::Handshake("Sec-WebSocket-Key is invalid."))
}

/// Whether the key is 16 bytes in base64: 22 digits and two padding characters.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key.split_at_checked(22), Some((digits, b"==")) if digits.iter().all(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBsZSBub25jZ*==", b"dGhlIHNhbXBsZSBub25jZQ==="] {
            assert!(!is_key(bad));
        }
    }
}
