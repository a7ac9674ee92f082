//! A messages handler that allocates and uses memory without end at a message that contains "hungry". Other frames are
//! read as the default handler reads them.
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
        if default_messages::says(&action, "hungry") {
            let mut held = Vec::new();
            loop {
                held.push(vec![0x5a_u8; 1 << 20]);
                black_box(&held);
            }
        }
        Ok(action)
    }
}
