//! A messages handler that relays `{"type":"chat.typing"}` to the room with the nickname of the typing user, ignores
//! `{"type":"chat.silence"}`, and leaves everything else to the default handler.
#![cfg(target_arch = "wasm32")]

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};
use default_messages::bindings::ondol::chat::users;
use default_messages::json::{self, Fields, Value};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
struct Component;

impl Guest for Component {
    fn receive(sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let Frame::Text(text) = &frame else {
            return default_messages::receive(&frame);
        };
        let Ok(Fields { kind: Value::Text(kind), repeated: None, .. }) = json::parse(text) else {
            return default_messages::receive(&frame);
        };
        match kind.as_ref() {
            "chat.typing" => {
                let name = serde_json::Value::String(users::get(sender).nickname);
                Ok(Action::Relay(format!(r#"{{"type":"chat.typing","username":{name}}}"#)))
            }
            "chat.silence" => Ok(Action::Ignore),
            _ => default_messages::receive(&frame),
        }
    }
}
