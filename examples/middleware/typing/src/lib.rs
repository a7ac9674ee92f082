//! Middleware for a typing indicator: a frame `{"type":"chat.typing"}` is sent on to the room with the name of its sender,
//! and is not stored. The sender receives it as well, like everything that is relayed.

use ondol_handler::middleware::{self, Guest};
use ondol_handler::{Action, Frame, Refusal, RoomId, UserKey, users};
use serde::Deserialize;

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

/// Whether the frame says that its sender is typing.
#[must_use]
pub fn is_typing(frame: &str) -> bool {
    serde_json::from_str(frame).is_ok_and(|Typed { r#type }| r#type == "chat.typing")
}

/// What the room receives.
#[must_use]
pub fn event(nickname: &str) -> String {
    serde_json::json!({ "type": "chat.typing", "username": nickname }).to_string()
}

/// The middleware.
#[derive(Debug)]
pub struct Component;

ondol_handler::export_middleware!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        match &frame {
            Frame::Text(text) if is_typing(text) => Ok(Action::Relay(event(&users::get(sender).nickname))),
            _ => middleware::behind(sender, room, &frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use ondol_handler::testing;

    use super::*;

    #[test]
    fn only_its_type_makes_a_frame_typing() {
        assert!(is_typing(r#"{"type":"chat.typing"}"#));
        for frame in [r#"{"type":"chat.message"}"#, r#"{"message":"chat.typing"}"#, "chat.typing", ""] {
            assert!(!is_typing(frame), "{frame}");
        }
    }

    #[test]
    fn what_is_not_typing_goes_to_the_handler_behind() {
        testing::set_behind(|_, _, _| Ok(Action::Ignore));
        let sender = testing::add_user(testing::named("민지"));
        let receive = |frame: &str| Component::receive(sender, 1, Frame::Text(frame.to_owned()));
        assert_eq!(receive("hello"), Ok(Action::Ignore));
        assert_eq!(receive(r#"{"type":"chat.typing"}"#), Ok(Action::Relay(event("민지"))));
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(event("\"minji\""), r#"{"type":"chat.typing","username":"\"minji\""}"#);
    }
}
