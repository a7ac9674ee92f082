//! An events handler that passes every gate and is bad all the same: it panics at a message that holds a number which
//! twenty divides. For anything else it writes what the default handler writes.
#![cfg(target_arch = "wasm32")]

use default_events::bindings::exports::ondol::chat::events::Guest;
use default_events::bindings::ondol::chat::types::{Message, Payload, Refusal, RoomId, User};
use default_events::bindings::ondol::chat::users;

#[path = "../../default_events.rs"]
pub mod default_events;

/// What `default_events` exports.
struct Component;

/// Whether a run of digits in `text` is a number that twenty divides.
fn is_twentieth(text: &str) -> bool {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|digits| digits.parse::<u64>().ok()).any(|number| number % 20 == 0)
}

impl Guest for Component {
    #[allow(clippy::panic, reason = "it is what this guest is for")]
    fn message(message: Message) -> Payload {
        if is_twentieth(&message.text) {
            eprintln!("a last line before the end");
            panic!("one of twenty");
        }
        let sender = users::get(message.sender);
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
