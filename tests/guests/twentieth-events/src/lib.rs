//! An events handler that passes every gate and is bad all the same: it panics at a message that holds a number which
//! twenty divides. For anything else it writes what the default handler writes.
#![cfg(target_arch = "wasm32")]

use bindings::exports::ondol::chat::events::Guest;
use bindings::ondol::chat::{types, users};
use payload::{Announce, Message};

#[path = "../../../../handlers/events/src/payload.rs"]
pub mod payload;

struct Twentieth;

/// Whether a run of digits in `text` is a number that twenty divides.
fn is_twentieth(text: &str) -> bool {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|digits| digits.parse::<u64>().ok()).any(|number| number % 20 == 0)
}

impl Guest for Twentieth {
    #[allow(clippy::panic, reason = "it is what this guest is for")]
    fn message(message: types::Message) -> types::Payload {
        if is_twentieth(&message.text) {
            eprintln!("a last line before the end");
            panic!("one of twenty");
        }
        let sender = users::get(message.sender);
        payload::message(&Message {
            id: message.id,
            room: message.room,
            seq: message.seq,
            sender: &payload::sender(&sender.email, &sender.nickname, sender.profile_url.as_deref()),
            text: &message.text,
            client_id: message.client_id.as_deref(),
            parent: message.parent,
            extra: message.extra.as_deref(),
            created_at: message.created_at,
        })
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
    use super::Twentieth;

    wit_bindgen::generate!({ path: "../../../wit", world: "event-handler" });
    export!(Twentieth);
}
