//! The frames that the host answers itself, before any handler sees them: heartbeats of clients' libraries, and fresh tokens.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Next, Session};
use crate::chat::{own_error, rate_limited, send};
use crate::http::figures::SocketEnd;
use crate::http::identity::{Caller, IdentityError};
use crate::http::json_fields::Fields;
use crate::http::rates::Address;
use crate::http::state::ApiState;
use crate::http::upgrade::CLOSE_IDENTITY;

/// How long before its end a token's notice comes; a short one's comes at half its time.
const NOTICE: Duration = Duration::from_secs(30);

/// The reserved type of a frame with a token, and of its confirmation.
const TOKEN_TYPE: &str = "chat.token";
/// The type of the notice.
const NOTICE_TYPE: &str = "chat.token.expires";

/// What the host answers a client.
pub(super) enum OwnAnswer {
    Event(String),
    /// The connection ends, for this reason.
    Close(String),
}

impl Session {
    /// Gives the host's own answer to the client.
    pub(super) fn give(&mut self, answer: OwnAnswer) -> Next {
        match answer {
            OwnAnswer::Event(event) => send(&self.outbox, &event),
            OwnAnswer::Close(reason) => return self.close_with(SocketEnd::Token, CLOSE_IDENTITY, reason),
        }
        Next::Wait
    }
}

/// The answer to a frame that is for the host. `expiry` is there where clients have tokens.
pub(super) fn answer(frame: &str, state: &ApiState, expiry: Option<&mut Expiry>) -> Option<OwnAnswer> {
    if let Some(pong) = pong(frame).filter(|_| state.heartbeats) {
        return Some(OwnAnswer::Event(pong.to_owned()));
    }
    let expiry = expiry?;
    let refused = |message: &str, code| OwnAnswer::Event(own_error(message, code));
    let establish = |token: String| state.rates.establish(expiry.address, || state.identity.of_token(&token));
    Some(match token(frame)?.map(establish) {
        Ok(Ok(caller)) => expiry.renew(&caller),
        Ok(Err(IdentityError::TooFast(error))) => {
            OwnAnswer::Event(rate_limited(&error.to_string(), None, error.wait_ms()))
        }
        Ok(Err(error)) => refused(&error.to_string(), "not_authenticated"),
        Err(why) => refused(why, "invalid"),
    })
}

/// The answer to a heartbeat, if a frame is exactly one.
fn pong(frame: &str) -> Option<&'static str> {
    match frame {
        "ping" => Some("pong"),
        r#"{"type":"ping"}"# => Some(r#"{"type":"pong"}"#),
        _ => None,
    }
}

/// The token in a frame of the type `chat.token`. An error says what the frame lacks.
fn token(frame: &str) -> Option<Result<String, &'static str>> {
    // A look that costs nothing leaves the usual frames to the handler. An escape may hide the type.
    if !frame.contains(TOKEN_TYPE) && !frame.contains("\\u") {
        return None;
    }
    let fields = serde_json::from_str::<Fields>(frame).ok()?;
    fields.has("type", TOKEN_TYPE).then(|| match (fields.get("type"), fields.get("token")) {
        (Ok(_), Ok(Some(Value::String(token)))) => Ok(token),
        (Ok(_), Ok(_)) => Err("token: expected a string."),
        _ => Err("A key must not be given twice."),
    })
}

/// Until when a socket's token holds.
pub(in crate::http) struct Expiry {
    user: String,
    /// For which bad tokens are counted.
    address: Option<Address>,
    at: Instant,
    notice_at: Option<Instant>,
}

impl Expiry {
    /// Of a caller whose token ends.
    pub(in crate::http) fn of(caller: &Caller, address: Option<Address>) -> Option<Self> {
        let left = caller.expires?.duration_since(SystemTime::now()).unwrap_or_default();
        let now = Instant::now();
        // Past what a clock can count, a token does not end.
        let at = now.checked_add(left)?;
        Some(Self {
            user: caller.user.id.clone(),
            address,
            at,
            notice_at: now.checked_add(left.saturating_sub(NOTICE).max(left / 2)),
        })
    }

    /// When something is due next.
    pub(super) fn due_at(&self) -> Instant {
        self.notice_at.unwrap_or(self.at)
    }

    /// What is due now: the notice, or the end.
    pub(super) fn due(&mut self) -> Option<OwnAnswer> {
        let now = Instant::now();
        if self.at <= now {
            return Some(OwnAnswer::Close("the token has expired".to_owned()));
        }
        self.notice_at.take_if(|at| *at <= now).map(|_| OwnAnswer::Event(self.event(NOTICE_TYPE)))
    }

    /// Takes the end of a fresh token.
    fn renew(&mut self, caller: &Caller) -> OwnAnswer {
        if caller.user.id != self.user {
            return OwnAnswer::Close("the token is another user's".to_owned());
        }
        if let Some(fresh) = Self::of(caller, self.address) {
            *self = fresh;
        }
        OwnAnswer::Event(self.event(TOKEN_TYPE))
    }

    /// The event that tells a client how long its token holds.
    fn event(&self, kind: &str) -> String {
        let left = self.at.saturating_duration_since(Instant::now()).as_millis();
        json!({ "type": kind, "expires_in_ms": u64::try_from(left).unwrap_or(u64::MAX) }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_exactly_one_of_two_frames() {
        assert_eq!(pong("ping"), Some("pong"));
        assert_eq!(pong(r#"{"type":"ping"}"#), Some(r#"{"type":"pong"}"#));
        for other in ["Ping", "ping ", r#"{"type": "ping"}"#, r#"{"type":"ping","n":1}"#, ""] {
            assert_eq!(pong(other), None, "{other}");
        }
    }

    #[test]
    fn every_frame_with_the_reserved_type_is_a_token() {
        assert_eq!(token(r#"{"type":"chat.token","token":"a.b.c"}"#), Some(Ok("a.b.c".to_owned())));
        assert_eq!(token(r#"{"token":"a.b.c","type":"chat.tok\u0065n"}"#), Some(Ok("a.b.c".to_owned())));
        assert!(matches!(token(r#"{"type":"chat.token","type":"chat.message"}"#), Some(Err(_))));
        assert!(matches!(token(r#"{"type":"chat.token","token":7}"#), Some(Err(_))));
        assert_eq!(token(r#"{"type":"chat.message","message":"chat.token"}"#), None);
        assert_eq!(token("chat.token"), None);
    }
}
