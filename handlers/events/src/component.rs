//! The glue between the contract in `wit/` and [`payload`](crate::payload): it changes types and decides nothing.

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::payload::{self, Announce, Message};
use crate::senders::Senders;
use bindings::exports::ondol::chat::events::Guest;
use bindings::ondol::chat::{settings, types, users};

/// What the world `event-handler` asks for.
struct Events;

impl Guest for Events {
    fn message(message: types::Message) -> types::Payload {
        // It has no use for the setting, but settings that make no sense should be found by whatever call comes first.
        announce();
        SENDERS.with_borrow_mut(|senders| {
            let sender = senders.get_or_write(message.sender, || {
                let user = users::get(message.sender);
                payload::sender(&user.email, &user.nickname, user.profile_url.as_deref())
            });
            payload::message(&Message {
                id: message.id,
                room: message.room,
                seq: message.seq,
                sender,
                text: &message.text,
                client_id: message.client_id.as_deref(),
                parent: message.parent,
                extra: message.extra.as_deref(),
                created_at: message.created_at,
            })
        })
    }

    fn join(_room: types::RoomId, user: types::User) -> Option<types::Payload> {
        payload::join(announce(), &user.nickname)
    }

    fn leave(_room: types::RoomId, user: types::User) -> Option<types::Payload> {
        payload::leave(announce(), &user.nickname)
    }

    fn refusal(refusal: types::Refusal) -> types::Payload {
        announce();
        payload::refusal(&refusal.code, &refusal.message, refusal.field.as_deref())
    }
}

thread_local! {
    static SENDERS: RefCell<Senders> = const { RefCell::new(Senders::new()) };
}

/// What the operator wants announced, read by the first call and kept: it never changes while an instance lives.
#[allow(clippy::panic, reason = "a trap at the host's trial call is how a handler turns settings down")]
fn announce() -> Announce {
    static ANNOUNCE: OnceLock<Announce> = OnceLock::new();
    *ANNOUNCE.get_or_init(|| Announce::read(settings::get).unwrap_or_else(|why| panic!("{why}")))
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
    use super::Events;

    wit_bindgen::generate!({ path: "../../wit", world: "event-handler" });
    export!(Events);
}
