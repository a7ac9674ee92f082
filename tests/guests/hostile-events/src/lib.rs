//! An events handler that answers, at a message that is the word for it, what no client should be sent, or nothing at
//! all; at "stranger" it asks for a user who is not in the call; after "sour" it goes on so for as long as its instance lives. For anything else it writes what the default handler
//! writes.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicBool, Ordering};

use default_events::bindings::exports::ondol::chat::events::Guest;
use default_events::bindings::ondol::chat::types::{Message, Payload, Refusal, RoomId, User};
use default_events::bindings::ondol::chat::users;

#[path = "../../default_events.rs"]
pub mod default_events;

/// What `default_events` exports.
struct Component;

/// Whether this instance has turned.
static SOUR: AtomicBool = AtomicBool::new(false);

impl Guest for Component {
    fn message(mut message: Message) -> Payload {
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
        default_events::message(&message, &sender)
    }

    fn join(_room: RoomId, user: User) -> Option<Payload> {
        default_events::join(&user)
    }

    fn leave(_room: RoomId, user: User) -> Option<Payload> {
        default_events::leave(&user)
    }

    fn refusal(refusal: Refusal) -> Payload {
        default_events::refusal(&refusal)
    }
}

/// Text that is none.
#[allow(unsafe_code, reason = "it is what this guest is for")]
fn mojibake() -> String {
    // SAFETY: None: this breaks what `String` promises. Nobody here reads it; the host does, and has to refuse it.
    unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }
}
