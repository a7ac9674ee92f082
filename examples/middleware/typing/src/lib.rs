//! Middleware for a typing indicator: a frame `{"type":"chat.typing"}` is sent on to the room with the name of its sender,
//! and is not stored. The sender receives it as well, like everything that is relayed.

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

#[cfg(target_arch = "wasm32")]
mod component {
    use bindings::exports::ondol::chat::messages::Guest;
    use bindings::ondol::chat::types::{Action, Frame, Refusal, RoomId, UserKey};
    use bindings::ondol::chat::{messages, users};

    struct Component;

    impl Guest for Component {
        fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
            match &frame {
                Frame::Text(text) if super::is_typing(text) => {
                    Ok(Action::Relay(super::event(&users::get(sender).nickname)))
                }
                _ => messages::receive(sender, room, &frame),
            }
        }
    }

    mod bindings {
        #![allow(
            unsafe_code,
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "written by wit-bindgen"
        )]
        use super::Component;

        wit_bindgen::generate!({ path: "../../../wit", world: "message-middleware" });
        export!(Component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_type_makes_a_frame_typing() {
        assert!(is_typing(r#"{"type":"chat.typing"}"#));
        for frame in [r#"{"type":"chat.message"}"#, r#"{"message":"chat.typing"}"#, "chat.typing", ""] {
            assert!(!is_typing(frame), "{frame}");
        }
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(event("\"minji\""), r#"{"type":"chat.typing","username":"\"minji\""}"#);
    }
}
