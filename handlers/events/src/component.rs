//! The glue between the contract in `wit/` and [`payload`](crate::payload): it changes types and decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;

use crate::payload::{self, Announce, Message};
use bindings::exports::ondol::chat::events::Guest;
use bindings::ondol::chat::{settings, types, users};

/// How many users are kept in memory.
const KNOWN_MAX: usize = 1_024;

/// What the world `event-handler` asks for.
struct Events;

impl Guest for Events {
    fn message(message: types::Message) -> types::Payload {
        // It has no use for the setting, but settings that make no sense should be found by whatever call comes first.
        announce();
        let sender = user(message.sender);
        payload::message(&Message {
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

/// The user behind a key. The host is asked once for each, which costs as much as writing an event.
fn user(key: types::UserKey) -> Rc<types::User> {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<types::UserKey, Rc<types::User>>> = const { RefCell::new(BTreeMap::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= KNOWN_MAX && !known.contains_key(&key) {
            known.clear();
        }
        Rc::clone(known.entry(key).or_insert_with(|| Rc::new(users::get(key))))
    })
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
