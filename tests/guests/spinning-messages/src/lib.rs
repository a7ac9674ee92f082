//! A messages handler that loops for ever at a message that contains "spin". Other frames are read as
//! the default handler reads them.
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
        if matches!(&action, Action::Post(draft) if draft.text.contains("spin")) {
            let mut turns = 0_u64;
            loop {
                turns = black_box(turns.wrapping_add(1));
            }
        }
        Ok(action)
    }
}
