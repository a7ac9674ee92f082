//! A messages handler that allocates and uses memory without end at a message that contains "hungry". Other frames are
//! read as the default handler reads them.
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
        if matches!(&action, Action::Post(draft) if draft.text.contains("hungry")) {
            let mut held = Vec::new();
            loop {
                held.push(vec![0x5a_u8; 1 << 20]);
                black_box(&held);
            }
        }
        Ok(action)
    }
}
