//! A messages handler that loops for ever at a message that contains "spin". Other frames are read as
//! the default handler reads them.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
struct Component;

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let action = default_messages::receive(&frame)?;
        if default_messages::says(&action, "spin") {
            let mut turns = 0_u64;
            loop {
                turns = black_box(turns.wrapping_add(1));
            }
        }
        Ok(action)
    }
}
