//! A messages handler that relays `{"type":"chat.typing"}` to the room with the nickname of the typing user, ignores
//! `{"type":"chat.silence"}`, and leaves everything else to the default handler.
#![cfg(target_arch = "wasm32")]

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, users};
use ondol_messages::Messages;
use ondol_messages::json::{self, Fields, Value};

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let Frame::Text(text) = &frame else {
            return Messages::receive(sender, room, frame);
        };
        let Ok(Fields { kind: Value::Text(kind), repeated: None, .. }) = json::parse(text) else {
            return Messages::receive(sender, room, frame);
        };
        match kind.as_ref() {
            "chat.typing" => {
                let name = serde_json::Value::String(users::get(sender).nickname);
                Ok(Action::Relay(format!(r#"{{"type":"chat.typing","username":{name}}}"#)))
            }
            "chat.silence" => Ok(Action::Ignore),
            _ => Messages::receive(sender, room, frame),
        }
    }
}
