//! A messages handler that answers as the default one does, after some hundred microseconds of useless work; after more
//! or less of it with the setting `turns`. With the setting `slow_calls` only so many calls of an instance are slow: the first.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, settings};
use ondol_messages::Messages;

/// The number of useless turns without a setting.
const TURNS: u64 = 400_000;

/// The calls that this instance has answered.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let setting = |key: &str| settings::get(key).and_then(|value| value.parse().ok());
        if CALLS.fetch_add(1, Ordering::Relaxed) < setting("slow_calls").unwrap_or(u64::MAX) {
            for turn in 0..setting("turns").unwrap_or(TURNS) {
                black_box(turn);
            }
        }
        Messages::receive(sender, room, frame)
    }
}
