//! An events handler whose messages differ from those of the default handler: the text is in capitals, and the last key
//! is `"style":"shout"`. Joins, leaves and refusals are the default ones.
#![cfg(target_arch = "wasm32")]

use default_events::bindings::exports::ondol::chat::events::Guest;
use default_events::bindings::ondol::chat::types::{Message, Payload, Refusal, RoomId, User};
use default_events::bindings::ondol::chat::users;

#[path = "../../default_events.rs"]
pub mod default_events;

/// The exported component of `default_events`.
struct Component;

impl Guest for Component {
    fn message(mut message: Message) -> Payload {
        message.text = message.text.to_uppercase();
        let sender = users::get(message.sender);
        let mut payload = default_events::message(&message, &sender);
        payload.pop();
        payload.push_str(r#","style":"shout"}"#);
        payload
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
