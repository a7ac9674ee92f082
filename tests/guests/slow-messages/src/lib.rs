//! A messages handler that answers as the default one does, after some hundred microseconds of useless work.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The number of useless turns.
const TURNS: u64 = 400_000;

/// The exported component of `default_messages`.
struct Component;

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        for turn in 0..TURNS {
            black_box(turn);
        }
        default_messages::receive(&frame)
    }
}
