//! An events handler that passes the admission checks and still fails: it panics at a message that contains a multiple
//! of twenty. Other events are those of the default handler.
#![cfg(target_arch = "wasm32")]

use default_events::bindings::exports::ondol::chat::events::Guest;
use default_events::bindings::ondol::chat::types::{Message, Payload, Refusal, RoomId, User};
use default_events::bindings::ondol::chat::users;

#[path = "../../default_events.rs"]
pub mod default_events;

/// The exported component of `default_events`.
struct Component;

/// Whether `text` contains a multiple of twenty.
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
