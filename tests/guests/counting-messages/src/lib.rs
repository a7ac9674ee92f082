//! A messages handler that posts the number of frames that its instance has read, in place of the text.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicU32, Ordering};

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

static READ: AtomicU32 = AtomicU32::new(0);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let read = READ.fetch_add(1, Ordering::Relaxed) + 1;
        let mut action = Messages::receive(sender, room, frame)?;
        if let Action::Post(draft) = &mut action {
            draft.text = read.to_string();
        }
        Ok(action)
    }
}
