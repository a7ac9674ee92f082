//! A messages handler that posts the number of frames that its instance has read, in place of the text.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicU32, Ordering};

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
struct Component;

static READ: AtomicU32 = AtomicU32::new(0);

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let read = READ.fetch_add(1, Ordering::Relaxed) + 1;
        let mut action = default_messages::receive(&frame)?;
        if let Action::Post(draft) = &mut action {
            draft.text = read.to_string();
        }
        Ok(action)
    }
}
