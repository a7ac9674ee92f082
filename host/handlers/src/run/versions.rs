//! A version of each handler with its functions, in the model's words, and what the contract demands of their answers.

use std::sync::Arc;

use ondol_host_model::{Action, Draft, Frame, Message, Refusal, RoomDraft, RoomId, RoomRequest, Speaker, User};
use serde::de::IgnoredAny;
use wasmtime::Store;

use super::contract::{events, messages, rooms};
use super::fault::{Cause, Fault};
use super::state::State;
use super::version::Version;

/// The longest name of a room, in characters after composition (NFC).
const ROOM_NAME_CHARS_MAX: usize = 100;

/// The longest id that a client may give its message, in characters.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// The longest code of a refusal, in bytes.
const REFUSAL_CODE_BYTES_MAX: usize = 64;

/// A version of `rooms`.
pub(crate) struct RoomsVersion(pub(crate) Version<rooms::Guest>);

/// A version of `messages`.
pub(crate) struct MessagesVersion(pub(crate) Version<messages::Guest>);

/// A version of `events`.
pub(crate) struct EventsVersion(pub(crate) Version<events::Guest>);

impl RoomsVersion {
    pub(crate) fn create(
        &self,
        request: &RoomRequest,
        creator: Option<&User>,
    ) -> Result<Result<RoomDraft, Refusal>, Fault> {
        const FUNCTION: &str = "rooms.create";
        let (name, post_id, creator) = (request.name.as_deref(), request.post_id, creator.map(Into::into));
        let request = rooms::Request { name, post_id, creator };
        let answer = self.0.call(FUNCTION, |rooms, store| rooms.call_create(store, request))?;
        let answer = answer.map(RoomDraft::from).map_err(Refusal::from);
        let checked = match &answer {
            Ok(draft) => check_chars("a room's name", &ondol_text::nfc(&draft.name), ROOM_NAME_CHARS_MAX),
            Err(refusal) => check_refusal(refusal),
        };
        checked.map_err(|cause| self.0.fault(FUNCTION, cause))?;
        Ok(answer)
    }
}

impl MessagesVersion {
    pub(crate) fn receive(
        &self,
        sender: &Arc<Speaker>,
        room: RoomId,
        frame: Frame<'_>,
    ) -> Result<Result<Action, Refusal>, Fault> {
        const FUNCTION: &str = "messages.receive";
        let answer = self.0.call(FUNCTION, |messages, store| {
            store.data_mut().present(sender);
            let answer = messages.call_receive(store, sender.key().0, room.0, frame.into())?;
            Ok(answer.map(Action::from).map_err(Refusal::from))
        })?;
        let checked = match &answer {
            Ok(Action::Post(Draft { client_id: Some(id), .. })) => {
                check_chars("a client's id for a message", id, CLIENT_ID_CHARS_MAX)
            }
            Ok(Action::Relay(payload)) => check_payload(payload),
            Ok(Action::Post(_) | Action::Ignore) => Ok(()),
            Err(refusal) => check_refusal(refusal),
        };
        checked.map_err(|cause| self.0.fault(FUNCTION, cause))?;
        Ok(answer)
    }
}

impl EventsVersion {
    pub(crate) fn message(&self, message: &Message) -> Result<String, Fault> {
        self.payload("events.message", |events, store| {
            store.data_mut().present(&message.sender);
            events.call_message(store, message.into())
        })
    }

    pub(crate) fn join(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.announcement("events.join", |events, store| events.call_join(store, room.0, user.into()))
    }

    pub(crate) fn leave(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.announcement("events.leave", |events, store| events.call_leave(store, room.0, user.into()))
    }

    pub(crate) fn refusal(&self, refusal: &Refusal) -> Result<String, Fault> {
        self.payload("events.refusal", |events, store| events.call_refusal(store, refusal.into()))
    }

    fn payload(
        &self,
        function: &'static str,
        call: impl FnOnce(&events::Guest, &mut Store<State>) -> wasmtime::Result<String>,
    ) -> Result<String, Fault> {
        let payload = self.0.call(function, call)?;
        check_payload(&payload).map_err(|cause| self.0.fault(function, cause))?;
        Ok(payload)
    }

    fn announcement(
        &self,
        function: &'static str,
        call: impl FnOnce(&events::Guest, &mut Store<State>) -> wasmtime::Result<Option<String>>,
    ) -> Result<Option<String>, Fault> {
        let payload = self.0.call(function, call)?;
        let checked = payload.as_deref().map_or(Ok(()), check_payload);
        checked.map_err(|cause| self.0.fault(function, cause))?;
        Ok(payload)
    }
}

/// A payload is one JSON value (RFC 8259). What it says is the handler's business.
fn check_payload(payload: &str) -> Result<(), Cause> {
    match serde_json::from_str::<IgnoredAny>(payload) {
        Ok(_) => Ok(()),
        Err(error) => Err(Cause::Answer(format!("a payload is one JSON value: {error}"))),
    }
}

/// A text has 1 to `chars_max` characters.
fn check_chars(what: &str, text: &str, chars_max: usize) -> Result<(), Cause> {
    let chars = text.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(());
    }
    Err(Cause::Answer(format!("{what} has 1 to {chars_max} characters, not {chars}")))
}

/// A refusal has a code.
fn check_refusal(refusal: &Refusal) -> Result<(), Cause> {
    let bytes = refusal.code.len();
    if (1..=REFUSAL_CODE_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    Err(Cause::Answer(format!("a refusal's code has 1 to {REFUSAL_CODE_BYTES_MAX} bytes, not {bytes}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_one_json_value() {
        for payload in [r#"{"type":"chat.message"}"#, "[1]", "\"방\"", " null\n", "-1.5e3", r#"["\u00e9"]"#] {
            assert!(check_payload(payload).is_ok(), "{payload}");
        }
        for payload in ["", "{", "{} {}", "hello", "{\"a\":\"\n\"}", "{'a':1}", "[1,]", "01", "\"\\x\""] {
            assert!(check_payload(payload).is_err(), "{payload}");
        }
        assert!(check_payload(&"[".repeat(100_000)).is_err(), "depth is no danger");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(check_payload(&deep).is_ok(), "nor is it a fault");
    }
}
