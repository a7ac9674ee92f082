//! What the one who said something hears back, when it is not simply its event: a refusal, or that it failed.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::oneshot;

use crate::frame;
use crate::handlers::{Fault, Release};
use crate::model::{Message, Refusal, RoomId};
use crate::rooms::Outbox;

/// Why something that was said has come to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// A considered no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// A handler failed. The operator's log has the rest.
    #[error("the server failed to handle this message")]
    HandlerFault,
    /// It could not be stored.
    #[error("the message could not be stored")]
    NotStored,
    /// Too much waits already.
    #[error("too many messages are waiting, try again")]
    Busy,
}

impl SayError {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::HandlerFault => "handler_fault",
            Self::NotStored => "not_stored",
            Self::Busy => "busy",
        }
    }
}

/// Where an answer goes.
pub(super) enum Reply {
    /// To a connection, as an event. What is stored it hears with the room.
    Socket(Arc<Outbox>),
    /// To somebody who waits for it.
    Waiting(oneshot::Sender<Result<Option<Message>, SayError>>),
}

impl Reply {
    /// The message is on the disk.
    pub(super) fn stored(self, message: Message) {
        if let Self::Waiting(waiting) = self {
            let _ = waiting.send(Ok(Some(message)));
        }
    }

    /// There was nothing to store, and what there was is done.
    pub(super) fn done(self) {
        if let Self::Waiting(waiting) = self {
            let _ = waiting.send(Ok(None));
        }
    }

    /// It was refused by the host or a handler.
    pub(super) fn refused(self, release: &Release, room: RoomId, refusal: Refusal) {
        match self {
            Self::Waiting(waiting) => drop(waiting.send(Err(SayError::Refused(refusal)))),
            Self::Socket(outbox) => match release.refusal(&refusal) {
                Ok(payload) => send(&outbox, &payload),
                Err(fault) => {
                    log_fault(room, &fault, "its sender hears the host's own words of a refusal");
                    send(&outbox, &error_event("invalid_request", &refusal.message, &refusal.code));
                }
            },
        }
    }

    /// A handler failed at it.
    pub(super) fn faulted(self, room: RoomId, fault: &Fault) {
        log_fault(room, fault, "its sender hears of an error");
        self.failed(room, SayError::HandlerFault);
    }

    /// It failed.
    pub(super) fn failed(self, _: RoomId, error: SayError) {
        match self {
            Self::Waiting(waiting) => drop(waiting.send(Err(error))),
            Self::Socket(outbox) => send(&outbox, &error_event("server_error", &error.to_string(), error.code())),
        }
    }
}

/// Sends one payload to one connection.
pub(super) fn send(outbox: &Outbox, payload: &str) {
    let mut run = BytesMut::new();
    frame::text(&mut run, payload);
    outbox.send(&run.freeze());
}

/// The one place where a fault in a room is told to the operator.
pub(super) fn log_fault(room: RoomId, fault: &Fault, outcome: &str) {
    tracing::error!(
        room = room.0,
        handler = %fault.handler,
        version = %fault.version,
        function = fault.function,
        cause = %fault.cause,
        printed = fault.printed.as_deref().unwrap_or_default(),
        "handler failed, {outcome}"
    );
}

/// The error event in the host's own words, for when no handler can write it.
fn error_event(error_type: &str, message: &str, code: &str) -> String {
    #[derive(serde::Serialize)]
    struct Event<'a> {
        r#type: &'a str,
        error_type: &'a str,
        message: &'a str,
        code: &'a str,
    }
    serde_json::to_string(&Event { r#type: "error", error_type, message, code }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_error_event_has_the_keys_of_the_api_in_its_order() {
        assert_eq!(
            error_event("server_error", "no \"luck\"", "busy"),
            r#"{"type":"error","error_type":"server_error","message":"no \"luck\"","code":"busy"}"#
        );
    }
}
