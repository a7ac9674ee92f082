//! Shared by the guests that write events: the bindings, and the default handler's events, with the default settings.
//!
//! The default handler's file is included by path. A dependency on its crate would bring that component's exports
//! along, and a component can have them only once.

use bindings::ondol::chat::types::{Message, Payload, Refusal, User};
use payload::Announce;

#[path = "../../handlers/events/src/payload.rs"]
pub mod payload;

/// The default handler's event for a message of `sender`.
#[must_use]
pub fn message(message: &Message, sender: &User) -> Payload {
    payload::message(&payload::Message {
        text: &message.text,
        email: &sender.email,
        nickname: &sender.nickname,
        profile_url: sender.profile_url.as_deref(),
        id: message.id,
        room: message.room,
        seq: message.seq,
        created_at: message.created_at,
        client_id: message.client_id.as_deref(),
        parent: message.parent,
        extra: message.extra.as_deref(),
    })
}

/// The default handler's event for a join.
#[must_use]
pub fn join(user: &User) -> Option<Payload> {
    payload::join(Announce::JoinsAndLeaves, &user.nickname)
}

/// The default handler's event for a leave.
#[must_use]
pub fn leave(user: &User) -> Option<Payload> {
    payload::leave(Announce::JoinsAndLeaves, &user.nickname)
}

/// The default handler's event for a refusal.
#[must_use]
pub fn refusal(refusal: &Refusal) -> Payload {
    payload::refusal(&refusal.code, &refusal.message, refusal.field.as_deref())
}

/// The world `event-handler`, exported by the `Component` at the root of each guest.
pub mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    use crate::Component;

    wit_bindgen::generate!({ path: "../../../wit", world: "event-handler" });
    export!(Component);
}
