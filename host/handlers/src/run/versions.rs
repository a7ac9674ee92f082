//! A version of each handler with its functions, in the model's words.

use std::sync::Arc;

use ondol_host_model::{Action, Frame, Message, Refusal, RoomDraft, RoomId, RoomRequest, Speaker, User};
use wasmtime::Store;

use super::answers;
use super::contract::{events, messages, rooms};
use super::fault::Fault;
use super::state::State;
use super::version::Version;

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
            Ok(draft) => answers::check_name(&draft.name),
            Err(refusal) => answers::check_code(&refusal.code),
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
            Ok(Action::Post(draft)) => answers::check_draft(draft),
            Ok(Action::Relay(payload)) => answers::check_payload(payload),
            Ok(Action::Ignore) => Ok(()),
            Err(refusal) => answers::check_code(&refusal.code),
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
        answers::check_payload(&payload).map_err(|cause| self.0.fault(function, cause))?;
        Ok(payload)
    }

    fn announcement(
        &self,
        function: &'static str,
        call: impl FnOnce(&events::Guest, &mut Store<State>) -> wasmtime::Result<Option<String>>,
    ) -> Result<Option<String>, Fault> {
        let payload = self.0.call(function, call)?;
        let checked = payload.as_deref().map_or(Ok(()), answers::check_payload);
        checked.map_err(|cause| self.0.fault(function, cause))?;
        Ok(payload)
    }
}
