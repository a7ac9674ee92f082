//! An events handler whose frames can be told from the default handler's: the text of a message is in capitals, and its
//! last key is `"style":"shout"`. Joins, leaves and refusals are the default ones.
#![cfg(target_arch = "wasm32")]

use bindings::exports::ondol::chat::events::Guest;
use bindings::ondol::chat::{types, users};
use payload::{Announce, Message};

#[path = "../../../../handlers/events/src/payload.rs"]
pub mod payload;

struct Shouting;

impl Guest for Shouting {
    fn message(message: types::Message) -> types::Payload {
        let sender = users::get(message.sender);
        let mut payload = payload::message(&Message {
            id: message.id,
            room: message.room,
            seq: message.seq,
            sender: &payload::sender(&sender.email, &sender.nickname, sender.profile_url.as_deref()),
            text: &message.text.to_uppercase(),
            client_id: message.client_id.as_deref(),
            parent: message.parent,
            extra: message.extra.as_deref(),
            created_at: message.created_at,
        });
        payload.pop();
        payload.push_str(r#","style":"shout"}"#);
        payload
    }

    fn join(_room: types::RoomId, user: types::User) -> Option<types::Payload> {
        payload::join(Announce::JoinsAndLeaves, &user.nickname)
    }

    fn leave(_room: types::RoomId, user: types::User) -> Option<types::Payload> {
        payload::leave(Announce::JoinsAndLeaves, &user.nickname)
    }

    fn refusal(refusal: types::Refusal) -> types::Payload {
        payload::refusal(&refusal.code, &refusal.message, refusal.field.as_deref())
    }
}

mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    use super::Shouting;

    wit_bindgen::generate!({ path: "../../../wit", world: "event-handler" });
    export!(Shouting);
}
