//! A messages handler that recurses without end at a message that contains "deep". Other frames are read as the default
//! handler reads them.
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
        if default_messages::says(&action, "deep") {
            black_box(dig(0));
        }
        Ok(action)
    }
}

/// Has an end that it never reaches and uses the result of the inner call, so that no optimiser can make a loop of it.
#[inline(never)]
fn dig(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    black_box(dig(depth + 1) ^ depth)
}
