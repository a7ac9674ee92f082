//! From a request to a WebSocket (RFC 6455, section 4.2), or the reason why not.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::answer::{Answer, HttpError};
use super::socket::Joining;
use super::{Edge, Held, identity};
use crate::chat::Permit;
use crate::config::RefusalStyle;
use ondol_host_model::{RoomId, Speaker};

/// The codes that a socket is closed with at once under `refusal = "close"`.
const CLOSE_IDENTITY: u16 = 4001;
const CLOSE_ROOM: u16 = 4003;
const CLOSE_FULL: u16 = 4008;

impl Edge {
    /// Answers a request for a WebSocket in a room. `held` stays held until that socket is closed.
    ///
    /// A refusal is told before a handshake that does not fit, so that a plain request can ask for the reason, which
    /// browsers keep from a page. Who is let in is in the room before the answer goes out, and what is published from then
    /// on waits for the socket.
    pub(super) async fn upgrade(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        room: Option<RoomId>,
        held: Held,
    ) -> Result<Answer, HttpError> {
        self.check_origin(request.headers())?;
        let admitted = match self.admit(&request, room, held.full).await {
            Ok(admitted) => Ok(admitted),
            Err(error) => match close_code(&error) {
                Some(code) if self.refusal == RefusalStyle::Close => Err((code, error.to_string())),
                _ => return Err(error),
            },
        };
        if request.version() < Version::HTTP_11 {
            return Err(HttpError::UpgradeRequired);
        }
        if !request.body().is_end_stream() {
            return Err(HttpError::Handshake("A request for a WebSocket has no body."));
        }
        let accept = accept_key(request.headers())?;
        let socket = match admitted {
            Ok((room, user, permit)) => Joining::join(&self, room, user, permit).await?,
            Err((code, reason)) => Joining::refused(&self, code, &reason),
        };
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            match upgraded.await {
                Ok(upgraded) => socket.serve(self, upgraded).await,
                Err(error) => tracing::debug!(%error, "an upgrade came to nothing"),
            }
            drop(held);
        });
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(answer)
    }

    /// Whether this request may come into this room, and who it is.
    async fn admit(
        &self,
        request: &Request<Incoming>,
        room: Option<RoomId>,
        full: Option<usize>,
    ) -> Result<(RoomId, Arc<Speaker>, Permit), HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let user = identity::required(query, request.headers(), &self.limits)?;
        let room = room.ok_or(HttpError::NotFound)?;
        if !self.chat.has_room(room).await? {
            return Err(HttpError::NotFound);
        }
        if let Some(max) = full {
            return Err(HttpError::Crowded(max));
        }
        let permit =
            self.chat.connection_permit(&user).ok_or(HttpError::UserCrowded(self.limits.connections_per_user_max))?;
        Ok((room, Arc::new(Speaker::new(user)), permit))
    }

    /// A browser says which page a socket is opened from. Other clients need not.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), HttpError> {
        if self.origins.is_empty() {
            return Ok(());
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) => {
                Ok(())
            }
            _ => Err(HttpError::Origin),
        }
    }
}

fn close_code(error: &HttpError) -> Option<u16> {
    match error {
        HttpError::Identity(_) => Some(CLOSE_IDENTITY),
        HttpError::NotFound => Some(CLOSE_ROOM),
        HttpError::Crowded(_) | HttpError::UserCrowded(_) => Some(CLOSE_FULL),
        _ => None,
    }
}

/// Checks the handshake and answers its key.
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
        _ => return Err(HttpError::Handshake("One Sec-WebSocket-Key is needed.")),
    };
    if !is_key(key) {
        return Err(HttpError::Handshake("Sec-WebSocket-Key has to be 16 bytes in base64."));
    }
    HeaderValue::from_str(&derive_accept_key(key)).map_err(|_| HttpError::Handshake("Sec-WebSocket-Key is not usable."))
}

/// 16 bytes in base64: 22 digits and two signs of padding.
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
