//! An events handler that panics at a message that contains "trap", and prints a line to each of stdout and stderr at
//! one that contains "print". Its events are those of the default handler.
#![cfg(target_arch = "wasm32")]

use default_events::bindings::exports::ondol::chat::events::Guest;
use default_events::bindings::ondol::chat::types::{Message, Payload, Refusal, RoomId, User};
use default_events::bindings::ondol::chat::users;

#[path = "../../default_events.rs"]
pub mod default_events;

/// The exported component of `default_events`.
struct Component;

impl Guest for Component {
    #[allow(clippy::panic, reason = "it is what this guest is for")]
    fn message(message: Message) -> Payload {
        if message.text.contains("print") {
            println!("a line for stdout");
            eprintln!("a line for stderr");
        }
        if message.text.contains("trap") {
            panic!("the trap that was asked for");
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
