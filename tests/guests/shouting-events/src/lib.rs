//! An events handler whose messages differ from those of the default handler: the text is in capitals, and the last key
//! is `"style":"shout"`. Joins, leaves and refusals are the default ones.
#![cfg(target_arch = "wasm32")]

use ondol_events::Events;
use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User};

struct Component;

ondol_handler::export_events!(Component);

impl Guest for Component {
    fn message(mut message: Message) -> Payload {
        message.text = message.text.to_uppercase();
        let mut payload = Events::message(message);
        payload.pop();
        payload.push_str(r#","style":"shout"}"#);
        payload
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
