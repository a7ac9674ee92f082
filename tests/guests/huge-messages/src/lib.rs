//! A messages handler that answers a message that contains "huge" with a payload of 100 MB for the room. Everything else
//! is the default handler's.
#![cfg(target_arch = "wasm32")]

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// What `default_messages` exports.
struct Component;

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let action = default_messages::receive(&frame)?;
        if default_messages::says(&action, "huge") {
            return Ok(Action::Relay("x".repeat(100_000_000)));
        }
        Ok(action)
    }
}
