//! An events handler that answers, at a message that is the word for it, what no client should be sent, or nothing at
//! all; at "stranger" it asks for a user who is not in the call; after "sour" it goes on so for as long as its instance lives. For anything else it writes what the default handler
//! writes.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicBool, Ordering};

use bindings::exports::ondol::chat::events::Guest;
use bindings::ondol::chat::{types, users};
use payload::{Announce, Message};

#[path = "../../../../handlers/events/src/payload.rs"]
pub mod payload;

struct Hostile;

/// Whether this instance has turned.
static SOUR: AtomicBool = AtomicBool::new(false);

impl Guest for Hostile {
    fn message(mut message: types::Message) -> types::Payload {
        if SOUR.load(Ordering::Relaxed) {
            return "Once upon a time".to_owned();
        }
        let mut sender = users::get(message.sender);
        match message.text.as_str() {
            "sour" => SOUR.store(true, Ordering::Relaxed),
            "mojibake" => return mojibake(),
            "prose" => return "Once upon a time".to_owned(),
            "two" => return "{} {}".to_owned(),
            "spin" => loop {
                std::hint::black_box(&message);
            },
            // What goes on the wire is this handler's to write, and it may lie there.
            "forge" => {
                "boss@example.com".clone_into(&mut sender.email);
                message.seq += 1_000;
            }
            "stranger" => sender = users::get(message.sender + 1),
            _ => {}
        }
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

/// Text that is none.
#[allow(unsafe_code, reason = "it is what this guest is for")]
fn mojibake() -> String {
    // SAFETY: None: this breaks what `String` promises. Nobody here reads it; the host does, and has to refuse it.
    unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }
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
    use super::Hostile;

    wit_bindgen::generate!({ path: "../../../wit", world: "event-handler" });
    export!(Hostile);
}
