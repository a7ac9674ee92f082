//! A messages handler that recurses without end at a message that contains "deep". Other frames are read as the default
//! handler reads them.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let action = Messages::receive(sender, room, frame)?;
        if matches!(&action, Action::Post(draft) if draft.text.contains("deep")) {
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
