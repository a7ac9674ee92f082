//! A messages handler that relays a payload of 100 MB at a message that contains "huge". Other frames are read as the
//! default handler reads them.
#![cfg(target_arch = "wasm32")]

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
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
