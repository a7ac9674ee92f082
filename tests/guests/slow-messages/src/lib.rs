//! A messages handler that answers as the default one does, after some hundred microseconds of useless work.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

/// The number of useless turns.
const TURNS: u64 = 400_000;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        for turn in 0..TURNS {
            black_box(turn);
        }
        Messages::receive(sender, room, frame)
    }
}
