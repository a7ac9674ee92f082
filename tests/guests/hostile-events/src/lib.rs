//! An events handler that returns invalid or forged payloads, or nothing at all, each at a message of one word. At
//! "stranger" it asks for a user who is not in the call; after "sour" its instance fails at every message. Other events
//! are those of the default handler.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicBool, Ordering};

use ondol_events::Events;
use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User, users};

struct Component;

ondol_handler::export_events!(Component);

/// Whether this instance fails at every message.
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
            // The payload is written by this handler, and may lie.
            "forge" => {
                "boss@example.com".clone_into(&mut sender.email);
                message.seq += 1_000;
            }
            "stranger" => sender = users::get(message.sender + 1),
            _ => {}
        }
        ondol_events::message(&message, &sender)
    }

    fn join(room: RoomId, user: User) -> Option<Payload> {
        Events::join(room, user)
    }

    fn leave(room: RoomId, user: User) -> Option<Payload> {
        Events::leave(room, user)
    }

    fn refusal(refusal: Refusal) -> Payload {
        Events::refusal(refusal)
    }
}

/// Text that is not UTF-8.
#[allow(unsafe_code, reason = "it is what this guest is for")]
fn mojibake() -> String {
    // SAFETY: None: this breaks the promise of `String`. This guest never reads it; the host does, and has to refuse
    // it.
    unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }
}
