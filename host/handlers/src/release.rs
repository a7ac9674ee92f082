//! The three versions that answer together, and their functions in the model's words. Knows nothing of files, nor of
//! which release is active.

use std::sync::Arc;

use serde::de::IgnoredAny;
use wasmtime::Store;

use super::SettingsMap;
use super::bindings::{FrameIn, Message as MessageIn, RefusalIn, Request, User as UserIn};
use super::call::Call;
use super::exports::{EventExports, MessageExports, RoomExports};
use super::fault::{Cause, Fault};
use super::kind::{HandlerKind, VersionId};
use super::probation::Trial;
use super::shadow::Shadow;
use super::state::State;
use super::version::Version;
use ondol_host_model::{Action, Draft, Frame, Message, Refusal, RoomDraft, RoomId, RoomRequest, Speaker, User};

/// The longest name of a room, in characters.
const ROOM_NAME_CHARS_MAX: usize = 100;

/// The longest id that a client may give its message, in characters.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// The longest code of a refusal, in bytes.
const REFUSAL_CODE_BYTES_MAX: usize = 64;

/// One version of each handler. A message takes the active release once, at its start, and keeps to it.
#[derive(Clone)]
pub struct Release {
    pub(super) rooms: Arc<Version<RoomExports>>,
    pub(super) messages: Arc<Version<MessageExports>>,
    pub(super) events: Arc<Version<EventExports>>,
    /// Whoever watches over them for a time.
    pub(super) trial: Option<Arc<Trial>>,
    /// Whoever is asked the same.
    pub(super) shadow: Option<Arc<Shadow>>,
}

impl Release {
    /// The version of one handler in it.
    #[must_use]
    pub fn version(&self, handler: HandlerKind) -> VersionId {
        match handler {
            HandlerKind::Rooms => self.rooms.id,
            HandlerKind::Messages => self.messages.id,
            HandlerKind::Events => self.events.id,
        }
    }

    /// Whether a handler has no version in it.
    #[must_use]
    pub fn lacks(&self, handler: HandlerKind) -> bool {
        self.version(handler) == VersionId::NONE
    }

    /// The versions of all three, in the order of [`HandlerKind::ALL`].
    #[must_use]
    pub fn versions(&self) -> [VersionId; 3] {
        HandlerKind::ALL.map(|handler| self.version(handler))
    }

    /// The versions that another release has not.
    pub(super) fn changes(&self, other: &Self) -> Vec<(HandlerKind, VersionId)> {
        let versions = HandlerKind::ALL.into_iter().zip(self.versions());
        versions.filter(|(handler, version)| other.version(*handler) != *version).collect()
    }

    /// What the operator has set for one handler in it.
    #[must_use]
    pub fn settings(&self, handler: HandlerKind) -> &Arc<SettingsMap> {
        match handler {
            HandlerKind::Rooms => self.rooms.settings(),
            HandlerKind::Messages => self.messages.settings(),
            HandlerKind::Events => self.events.settings(),
        }
    }

    /// Asks `rooms.create` what room is to be made of a request.
    ///
    /// # Errors
    ///
    /// The handler's fault. Its refusal is the inner result.
    pub fn create(&self, request: &RoomRequest, creator: Option<&User>) -> Result<Result<RoomDraft, Refusal>, Fault> {
        let call = || Call::Create(request.clone(), creator.cloned());
        self.ask(HandlerKind::Rooms, |release| release.rooms.create(request, creator), call)
    }

    /// Asks `messages.receive` what becomes of a frame.
    ///
    /// # Errors
    ///
    /// The handler's fault. Its refusal is the inner result.
    pub fn receive(
        &self,
        sender: &Arc<Speaker>,
        room: RoomId,
        frame: Frame<'_>,
    ) -> Result<Result<Action, Refusal>, Fault> {
        let call = || Call::receive(sender, room, frame);
        self.ask(HandlerKind::Messages, |release| release.messages.receive(sender, room, frame), call)
    }

    /// Asks `events.message` for a message's event.
    ///
    /// # Errors
    ///
    /// The handler's fault.
    pub fn message(&self, message: &Message) -> Result<String, Fault> {
        self.ask(HandlerKind::Events, |release| release.events.message(message), || Call::Message(message.clone()))
    }

    /// Asks `events.join` for the event of a user who came.
    ///
    /// # Errors
    ///
    /// The handler's fault.
    pub fn join(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.ask(HandlerKind::Events, |release| release.events.join(room, user), || Call::Join(room, user.clone()))
    }

    /// Asks `events.leave` for the event of a user who left.
    ///
    /// # Errors
    ///
    /// The handler's fault.
    pub fn leave(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.ask(HandlerKind::Events, |release| release.events.leave(room, user), || Call::Leave(room, user.clone()))
    }

    /// Asks `events.refusal` for the event of a refusal.
    ///
    /// # Errors
    ///
    /// The handler's fault.
    pub fn refusal(&self, refusal: &Refusal) -> Result<String, Fault> {
        self.ask(HandlerKind::Events, |release| release.events.refusal(refusal), || Call::Refusal(refusal.clone()))
    }
}

impl Version<RoomExports> {
    pub(super) fn create(
        &self,
        request: &RoomRequest,
        creator: Option<&User>,
    ) -> Result<Result<RoomDraft, Refusal>, Fault> {
        const FUNCTION: &str = "rooms.create";
        let request =
            Request { name: request.name.as_deref(), post_id: request.post_id, creator: creator.map(UserIn::from) };
        let answer = self.call(FUNCTION, |rooms, store| rooms.create(store, request))?;
        let checked = match answer {
            Ok(draft) => {
                let draft = RoomDraft::from(draft);
                within("a room's name", &draft.name, ROOM_NAME_CHARS_MAX).map(|()| Ok(draft))
            }
            Err(refusal) => {
                let refusal = Refusal::from(refusal);
                checked_refusal(&refusal).map(|()| Err(refusal))
            }
        };
        checked.map_err(|cause| self.fault(FUNCTION, cause, None))
    }
}

impl Version<MessageExports> {
    pub(super) fn receive(
        &self,
        sender: &Arc<Speaker>,
        room: RoomId,
        frame: Frame<'_>,
    ) -> Result<Result<Action, Refusal>, Fault> {
        const FUNCTION: &str = "messages.receive";
        let answer = self.call(FUNCTION, |messages, store| {
            store.data_mut().present(sender);
            let answer = messages.receive(store, sender.key().0, room.0, FrameIn::from(frame))?;
            Ok(answer.map(Action::from).map_err(Refusal::from))
        })?;
        conforms(&answer).map_err(|cause| self.fault(FUNCTION, cause, None))?;
        Ok(answer)
    }
}

impl Version<EventExports> {
    pub(super) fn message(&self, message: &Message) -> Result<String, Fault> {
        self.payload("events.message", |events, store| {
            store.data_mut().present(&message.sender);
            events.message(store, MessageIn::from(message))
        })
    }

    pub(super) fn join(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.announcement("events.join", |events, store| events.join(store, room.0, UserIn::from(user)))
    }

    pub(super) fn leave(&self, room: RoomId, user: &User) -> Result<Option<String>, Fault> {
        self.announcement("events.leave", |events, store| events.leave(store, room.0, UserIn::from(user)))
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> Result<String, Fault> {
        self.payload("events.refusal", |events, store| events.refusal(store, RefusalIn::from(refusal)))
    }

    fn payload(
        &self,
        function: &'static str,
        call: impl FnOnce(&EventExports, &mut Store<State>) -> wasmtime::Result<String>,
    ) -> Result<String, Fault> {
        let payload = self.call(function, call)?;
        checked_payload(&payload).map_err(|cause| self.fault(function, cause, None))?;
        Ok(payload)
    }

    fn announcement(
        &self,
        function: &'static str,
        call: impl FnOnce(&EventExports, &mut Store<State>) -> wasmtime::Result<Option<String>>,
    ) -> Result<Option<String>, Fault> {
        let payload = self.call(function, call)?;
        let checked = payload.as_deref().map_or(Ok(()), checked_payload);
        checked.map_err(|cause| self.fault(function, cause, None))?;
        Ok(payload)
    }
}

/// Holds an answer of `messages.receive` to the contract.
fn conforms(answer: &Result<Action, Refusal>) -> Result<(), Cause> {
    match answer {
        Ok(Action::Post(Draft { client_id: Some(id), .. })) => {
            within("a client's id for a message", id, CLIENT_ID_CHARS_MAX)
        }
        Ok(Action::Relay(payload)) => checked_payload(payload),
        Ok(Action::Post(_) | Action::Ignore) => Ok(()),
        Err(refusal) => checked_refusal(refusal),
    }
}

/// Holds a payload to the contract: it is one JSON value (RFC 8259). What stands in it is the handler's business.
fn checked_payload(payload: &str) -> Result<(), Cause> {
    match serde_json::from_str::<IgnoredAny>(payload) {
        Ok(_) => Ok(()),
        Err(error) => Err(Cause::Answer(format!("a payload is one JSON value: {error}"))),
    }
}

/// Holds an answer to the contract: `text` has 1 to `chars_max` characters.
fn within(what: &str, text: &str, chars_max: usize) -> Result<(), Cause> {
    let chars = text.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(());
    }
    Err(Cause::Answer(format!("{what} has 1 to {chars_max} characters, not {chars}")))
}

/// Holds a refusal to the contract.
fn checked_refusal(refusal: &Refusal) -> Result<(), Cause> {
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
            assert!(checked_payload(payload).is_ok(), "{payload}");
        }
        for payload in ["", "{", "{} {}", "hello", "{\"a\":\"\n\"}", "{'a':1}", "[1,]", "01", "\"\\x\""] {
            assert!(checked_payload(payload).is_err(), "{payload}");
        }
        assert!(checked_payload(&"[".repeat(100_000)).is_err(), "depth is no danger");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(checked_payload(&deep).is_ok(), "nor is it a fault");
    }
}
