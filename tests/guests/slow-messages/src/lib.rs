//! A messages handler that answers as the default one does, after some hundred microseconds of useless work; after more
//! or less of it with the setting `turns`.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, settings};
use ondol_messages::Messages;

/// The number of useless turns without a setting.
const TURNS: u64 = 400_000;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let turns = settings::get("turns").and_then(|turns| turns.parse().ok()).unwrap_or(TURNS);
        for turn in 0..turns {
            black_box(turn);
        }
        Messages::receive(sender, room, frame)
    }
}
