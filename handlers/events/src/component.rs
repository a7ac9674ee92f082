//! The glue between the contract in `wit/` and [`payload`](crate::payload): it changes types and decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::OnceLock;

use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User, UserKey, settings, users};

use crate::payload::{self, Announce};

/// How many users are kept in memory.
const KNOWN_MAX: usize = 1_024;

/// The handler, under the settings of the component that it is a part of.
#[derive(Debug)]
pub struct Events;

#[cfg(feature = "component")]
ondol_handler::export_events!(Events);

impl Guest for Events {
    fn message(accepted: Message) -> Payload {
        // It has no use for the setting, but settings that make no sense should be found by whatever call comes first.
        announce();
        message(&accepted, &user(accepted.sender))
    }

    fn join(_room: RoomId, user: User) -> Option<Payload> {
        payload::join(announce(), &user.nickname)
    }

    fn leave(_room: RoomId, user: User) -> Option<Payload> {
        payload::leave(announce(), &user.nickname)
    }

    fn refusal(refusal: Refusal) -> Payload {
        announce();
        payload::refusal(&refusal.code, &refusal.message, refusal.field.as_deref())
    }
}

/// The event of a message, with whatever is to be shown as its sender.
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

/// The user behind a key. The host is asked once for each, which costs as much as writing an event.
fn user(key: UserKey) -> Rc<User> {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<UserKey, Rc<User>>> = const { RefCell::new(BTreeMap::new()) };
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
