//! The answer to a frame or a request, where it is not simply its event: a refusal or an error.

mod say_error;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio::sync::oneshot;

use super::cluster::RemoteReply;
use super::figures;
use super::history::Shown;
use crate::config::HistoryForm;
use ondol_host_handlers::{Fault, Release};
use ondol_host_model::frame;
use ondol_host_model::{Message, Refusal, RequestId, RoomId};
use ondol_host_process::worker;
use ondol_host_rooms::{Flow, InFlight, Outbox, Room};

pub use say_error::SayError;

/// The code of what comes too fast.
pub(crate) const RATE_LIMITED: &str = "rate_limited";

/// Where an answer goes, and what it answers.
pub(super) struct Reply {
    to: To,
    pub(super) request: RequestId,
}

enum To {
    /// A connection, as an event. It hears of a stored message with its room.
    Socket(Arc<Asker>),
    /// An HTTP request. It is answered with the message in this form.
    Waiting(Waiting, HistoryForm),
    /// A host whose client sent it.
    Remote(Box<RemoteReply>),
}

/// Where an HTTP request waits.
type Waiting = oneshot::Sender<Result<Option<Shown>, Unsaid>>;

/// Why a frame is not stored or sent, and the client's own id for it.
#[derive(Debug)]
pub(super) struct Unsaid {
    pub(super) error: SayError,
    pub(super) client_id: Option<String>,
}

/// A connection whose frames are answered, one after another.
pub(super) struct Asker {
    pub(super) outbox: Arc<Outbox>,
    /// What of its client's is in flight.
    pub(super) flow: Arc<Flow>,
    frames: AtomicU64,
    pause: Pause,
}

/// What a connection's last frame leads to when a handler failed at it and took long.
#[derive(Default)]
struct Pause {
    ms: AtomicU64,
    costly: AtomicBool,
}

impl Asker {
    pub(super) fn new(outbox: Arc<Outbox>, flow: Arc<Flow>) -> Arc<Self> {
        Arc::new(Self { outbox, flow, frames: AtomicU64::new(0), pause: Pause::default() })
    }

    /// The reply to its next frame. Its frames come one after another, so this alone counts them.
    pub(super) fn next(self: &Arc<Self>) -> Reply {
        let number = self.frames.load(Ordering::Relaxed) + 1;
        self.frames.store(number, Ordering::Relaxed);
        Reply { to: To::Socket(Arc::clone(self)), request: RequestId::Frame(self.outbox.id, number) }
    }

    /// Hands the worker off before a frame that may be as costly as the last one.
    pub(super) fn before_next(&self) {
        let costly = &self.pause.costly;
        if costly.load(Ordering::Relaxed) && costly.swap(false, Ordering::Relaxed) {
            worker::hand_off();
        }
    }

    /// Waits out the pause after a costly frame.
    pub(super) async fn rest(&self) {
        let ms = &self.pause.ms;
        if ms.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(ms.swap(0, Ordering::Relaxed))).await;
        }
    }
}

impl Pause {
    fn begin(&self, ms: u64) {
        self.ms.store(ms, Ordering::Relaxed);
        self.costly.store(true, Ordering::Relaxed);
    }
}

impl Reply {
    /// A reply to an HTTP request.
    pub(super) fn waiting(answer: Waiting, form: HistoryForm, request: RequestId) -> Self {
        Self { to: To::Waiting(answer, form), request }
    }

    /// A reply to another host.
    pub(super) fn remote(reply: RemoteReply, request: RequestId) -> Self {
        Self { to: To::Remote(Box::new(reply)), request }
    }

    /// The name of the frame in the cluster, if another host has sent it.
    pub(super) fn origin(&self) -> Option<i64> {
        match &self.to {
            To::Remote(remote) => Some(remote.origin()),
            To::Socket(_) | To::Waiting(..) => None,
        }
    }

    /// The connection that it goes to, if it is one.
    pub(super) fn outbox(&self) -> Option<&Arc<Outbox>> {
        match &self.to {
            To::Socket(asker) => Some(&asker.outbox),
            To::Waiting(..) | To::Remote(_) => None,
        }
    }

    /// What counts the messages of that connection.
    pub(super) fn flow(&self) -> Option<&Arc<Flow>> {
        match &self.to {
            To::Socket(asker) => Some(&asker.flow),
            To::Remote(remote) => Some(remote.flow()),
            To::Waiting(..) => None,
        }
    }

    /// The message is on the disk, and this is its event.
    pub(super) fn stored(self, message: &Message, event: &str) {
        match self.to {
            To::Waiting(waiting, form) => {
                let shown = match form {
                    HistoryForm::Host => Shown::Message(message.clone()),
                    HistoryForm::Events => Shown::event(event.to_owned()),
                };
                drop(waiting.send(Ok(Some(shown))));
            }
            To::Remote(remote) => remote.stored(message),
            To::Socket(_) => {}
        }
    }

    /// The message is on the disk, and this is how it is shown.
    pub(super) fn shown(self, shown: Shown) {
        if let To::Waiting(waiting, _) = self.to {
            drop(waiting.send(Ok(Some(shown))));
        }
    }

    /// The message was on the disk already, in this room. `event` writes its event, where that is needed; a fault of it comes back.
    pub(super) fn repeated(
        mut self,
        room: &Room,
        message: &Message,
        in_flight: InFlight,
        event: impl FnOnce(&RequestId) -> Result<String, Fault>,
    ) -> Result<(), Box<(Self, Fault)>> {
        match self.to {
            To::Waiting(waiting, HistoryForm::Host) => {
                drop(waiting.send(Ok(Some(Shown::Message(message.clone())))));
                return Ok(());
            }
            To::Remote(remote) if remote.is_request() => {
                remote.repeated(message.seq, None);
                return Ok(());
            }
            to => self.to = to,
        }
        match event(&self.request) {
            Ok(event) => match self.to {
                To::Socket(asker) => room.answer(&asker.outbox, &event, message.seq, in_flight),
                To::Waiting(waiting, _) => drop(waiting.send(Ok(Some(Shown::event(event))))),
                To::Remote(remote) => remote.repeated(message.seq, Some(&event)),
            },
            Err(fault) => return Err(Box::new((self, fault))),
        }
        Ok(())
    }

    /// The frame is handled and stores nothing.
    pub(super) fn done(self) {
        match self.to {
            To::Waiting(waiting, _) => drop(waiting.send(Ok(None))),
            To::Remote(remote) => remote.done(),
            To::Socket(_) => {}
        }
    }

    /// It was refused by the host or a handler.
    pub(super) fn refused(self, release: &Release, room: RoomId, refusal: Refusal, client_id: Option<&str>) {
        match self.to {
            To::Waiting(..) => self.failed(SayError::Refused(refusal), client_id),
            To::Remote(remote) if remote.is_request() => remote.failed(SayError::Refused(refusal), client_id),
            to => {
                figures::refused(&refusal.code);
                let event = match release.refusal(&self.request, room, &refusal) {
                    Ok(payload) => named(payload, client_id),
                    Err(_) => error_event("invalid_request", &refusal.message, &refusal.code, client_id, Extra::None),
                };
                match to {
                    To::Socket(asker) => send(&asker.outbox, &event),
                    To::Remote(remote) => remote.event(&event),
                    // Told before.
                    To::Waiting(..) => {}
                }
            }
        }
    }

    /// A handler failed at it. A connection whose frame cost much time is read more slowly: its next one is read
    /// after `pause_ms`.
    pub(super) fn faulted(self, fault: &Fault, pause_ms: u64, client_id: Option<&str>) {
        match &self.to {
            To::Socket(asker) if fault.costly => asker.pause.begin(pause_ms),
            To::Remote(remote) if fault.costly => remote.pause(pause_ms),
            _ => {}
        }
        self.failed(SayError::HandlerFault, client_id);
    }

    /// Has the connection read more slowly, as its room's home asks for.
    pub(super) fn pause(&self, ms: u64) {
        if let To::Socket(asker) = &self.to
            && ms > 0
        {
            asker.pause.begin(ms);
        }
    }

    /// It failed. `client_id`: the client's own id for it.
    pub(super) fn failed(self, error: SayError, client_id: Option<&str>) {
        if let To::Remote(remote) = self.to {
            // Counted where its client is.
            return remote.failed(error, client_id);
        }
        figures::refused(error.code());
        match self.to {
            To::Remote(_) => {}
            To::Waiting(waiting, _) => {
                drop(waiting.send(Err(Unsaid { error, client_id: client_id.map(str::to_owned) })));
            }
            To::Socket(asker) => {
                let logged = match error {
                    SayError::HandlerFault => Extra::Request(&self.request),
                    _ => Extra::None,
                };
                let event = error_event("server_error", &error.to_string(), error.code(), client_id, logged);
                send(&asker.outbox, &event);
            }
        }
    }
}

/// A handler's event with the client's own id as its last member. One that has that member already, or is no JSON object,
/// stays as it is.
fn named(mut payload: String, client_id: Option<&str>) -> String {
    let Some(client_id) = client_id else { return payload };
    let Ok(members) = serde_json::from_str::<serde_json::Map<String, Value>>(&payload) else { return payload };
    if members.contains_key("client_id") {
        return payload;
    }
    let end = payload.rfind('}').unwrap_or(payload.len());
    payload.truncate(end);
    if !members.is_empty() {
        payload.push(',');
    }
    payload.push_str("\"client_id\":");
    payload.push_str(&Value::from(client_id).to_string());
    payload.push('}');
    payload
}

/// Sends one payload to one connection.
pub(crate) fn send(outbox: &Outbox, payload: &str) {
    let mut run = BytesMut::new();
    frame::text(&mut run, payload);
    outbox.send(&run.freeze());
}

/// The error event for a frame that the host answers itself.
pub(crate) fn own_error(message: &str, code: &str) -> String {
    error_event("invalid_request", message, code, None, Extra::None)
}

/// The error event for a frame that came too fast.
pub(crate) fn rate_limited(message: &str, client_id: Option<&str>, retry_after_ms: u64) -> String {
    error_event(RATE_LIMITED, message, RATE_LIMITED, client_id, Extra::RetryAfterMs(retry_after_ms))
}

/// What an error event says beyond what all of them do.
#[derive(Clone, Copy)]
enum Extra<'a> {
    None,
    /// The log has it too.
    Request(&'a RequestId),
    RetryAfterMs(u64),
}

/// The error event in the host's own words, where no handler can write it.
fn error_event(error_type: &str, message: &str, code: &str, client_id: Option<&str>, extra: Extra<'_>) -> String {
    #[derive(serde::Serialize)]
    struct Event<'a> {
        r#type: &'a str,
        error_type: &'a str,
        message: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    }
    let (request_id, retry_after_ms) = match extra {
        Extra::None => (None, None),
        Extra::Request(id) => (Some(id.to_string()), None),
        Extra::RetryAfterMs(ms) => (None, Some(ms)),
    };
    let event = Event { r#type: "error", error_type, message, code, client_id, request_id, retry_after_ms };
    serde_json::to_string(&event).unwrap_or_default()
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_error_event_has_the_keys_of_the_api_in_its_order() {
        assert_eq!(
            error_event("invalid_request", "no \"luck\"", "blank", None, Extra::None),
            r#"{"type":"error","error_type":"invalid_request","message":"no \"luck\"","code":"blank"}"#
        );
        let request = RequestId::of_request(Some("a-1"));
        assert_eq!(
            error_event("server_error", "no", "busy", Some("c-1"), Extra::Request(&request)),
            r#"{"type":"error","error_type":"server_error","message":"no","code":"busy","client_id":"c-1","request_id":"a-1"}"#
        );
        assert_eq!(
            rate_limited("wait", Some("c-1"), 20),
            r#"{"type":"error","error_type":"rate_limited","message":"wait","code":"rate_limited","client_id":"c-1","retry_after_ms":20}"#
        );
    }

    #[test]
    fn a_handlers_event_is_given_the_clients_own_id_where_it_has_none() {
        let named = |payload: &str| named(payload.to_owned(), Some("a\"1"));
        assert_eq!(named(r#"{"type":"error" }"#), r#"{"type":"error" ,"client_id":"a\"1"}"#);
        assert_eq!(named(" {} "), r#" {"client_id":"a\"1"}"#);
        for kept in [r#"{"client_id":null}"#, "[]", "no", "{", ""] {
            assert_eq!(named(kept), kept);
        }
    }
}
